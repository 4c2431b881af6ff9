//! Caps on everything that is read before it is authenticated (bundle-format.md, section 11).

/// The caps, in bytes unless said otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Limits;

impl Limits {
    /// `manifest.cbor`.
    pub const MANIFEST: u64 = 64 << 20;
    /// `inventory.cbor`.
    pub const INVENTORY: u64 = 128 << 20;
    /// A statement.
    pub const STATEMENT: u64 = 16 << 10;
    /// A signature file: exactly this long.
    pub const SIGNATURE: u64 = 64;
    /// `LABEL.txt`.
    pub const LABEL: u64 = 64 << 10;
    /// `SHA256SUMS`.
    pub const SUMS: u64 = 128 << 20;
    /// An OCI manifest or index (OCI distribution-spec, "Pushing Manifests").
    pub const OCI_MANIFEST: u64 = 4 << 20;
    /// All OCI manifests of one metadata chunk together, decompressed.
    pub const METADATA: u64 = 1 << 30;
    /// Window of a metadata chunk's zstd frame, as a power of two.
    pub const ZSTD_WINDOW_LOG: u32 = 23;
    /// Nesting of CBOR items.
    pub const CBOR_DEPTH: usize = 16;
    /// CBOR items in one document (a count).
    pub const CBOR_ITEMS: u64 = 20_000_000;
    /// Statements that are listed as claimed (a count).
    pub const STATEMENTS: usize = 64;
    /// Nesting of OCI indexes (a count).
    pub const INDEX_DEPTH: usize = 8;
    /// A PEM key file.
    pub const KEY_FILE: u64 = 64 << 10;
    /// An OpenPGP keyring of a release.
    pub const KEYRING: u64 = 1 << 20;
    /// An OpenPGP message that signs a release.
    pub const RELEASE_SIGNATURE: u64 = 50 << 10;
    /// `export.plan`.
    pub const PLAN: u64 = 1 << 30;
}
