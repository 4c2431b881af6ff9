//! Upper limits for everything that is read before it is authenticated (bundle-format.md, section
//! 11).

/// The limits, in bytes unless stated otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Limits;

impl Limits {
    /// `manifest.cbor`.
    pub const MANIFEST: u64 = 64 << 20;
    /// `inventory.cbor`.
    pub const INVENTORY: u64 = 128 << 20;
    /// A statement.
    pub const STATEMENT: u64 = 16 << 10;
    /// A signature file: this is its exact length.
    pub const SIGNATURE: u64 = 64;
    /// `LABEL.txt`.
    pub const LABEL: u64 = 64 << 10;
    /// `SHA256SUMS`.
    pub const SUMS: u64 = 128 << 20;
    /// An OCI manifest or index (OCI distribution-spec, "Pushing Manifests").
    pub const OCI_MANIFEST: u64 = 4 << 20;
    /// Objects and arrays of an OCI manifest that lie in each other (a count).
    pub const JSON_DEPTH: usize = 512;
    /// Tars of all metadata chunks together, and also all of these files as stored.
    pub const METADATA: u64 = 1 << 30;
    /// Window of a metadata chunk's zstd frame, as a power of two.
    pub const ZSTD_WINDOW_LOG: u32 = 23;
    /// Nesting of CBOR items.
    pub const CBOR_DEPTH: usize = 16;
    /// CBOR items in one document (a count).
    pub const CBOR_ITEMS: u64 = 20_000_000;
    /// Entries of `requires` (a count).
    pub const FEATURES: u64 = 64;
    /// The name of a feature.
    pub const FEATURE_NAME: u64 = 64;
    /// Any text of a document that has no limit of its own: `problem`, `reason`, a URL, a
    /// reference.
    pub const TEXT: u64 = 4 << 10;
    /// `filter` in a catalog's row.
    pub const FILTER: u64 = 64 << 10;
    /// Items below `ext` (a count).
    pub const EXT_ITEMS: u64 = 1000;
    /// All bytes below `ext`.
    pub const EXT: u64 = 64 << 10;
    /// Images of an inventory (a count).
    pub const IMAGES: u64 = 100_000;
    /// OCI manifests of an inventory (a count).
    pub const MANIFESTS: u64 = 200_000;
    /// Blobs of an inventory (a count).
    pub const BLOBS: u64 = 500_000;
    /// Extents of all blobs (a count).
    pub const EXTENTS: u64 = 1_000_000;
    /// Digests in `blobs`, `children`, `omitted` and `needs` of all rows together (a count).
    pub const EDGES: u64 = 1_500_000;
    /// Attachments of all images (a count).
    pub const ATTACHED: u64 = 200_000;
    /// Platforms in the filters of all images (a count).
    pub const PLATFORMS: u64 = 200_000;
    /// Different platform filters of images, the empty filter included (a count).
    pub const FILTERS: usize = 16;
    /// URLs of all foreign blobs (a count).
    pub const URLS: u64 = 20_000;
    /// Bases (a count).
    pub const BASES: u64 = 1000;
    /// Roots of all bases (a count).
    pub const BASE_ROOTS: u64 = 200_000;
    /// Releases, and catalogs (a count of each).
    pub const CONTENTS: u64 = 1000;
    /// Components of all releases (a count).
    pub const COMPONENTS: u64 = 200_000;
    /// Keyrings of all releases, and signatures of all releases (a count of each).
    pub const RELEASE_PROOFS: u64 = 10_000;
    /// Members of all catalogs (a count).
    pub const MEMBERS: u64 = 200_000;
    /// Generations of a bundle (a count).
    pub const GENERATIONS: u64 = 100;
    /// Registry-shaped names of a metadata chunk (a count): as many as a tar of
    /// [`Self::METADATA`] bytes can hold.
    pub const NAMES: usize = 1 << 21;
    /// Rows and digests visited in order to find the names, summed over repositories (a count).
    pub const NAME_STEPS: usize = 100_000_000;
    /// `VOLUME.txt`.
    pub const VOLUME: u64 = 64 << 10;
    /// One file left by an operating system, or all files in one directory left by it.
    pub const SYSTEM: u64 = 1 << 20;
    /// All files left by operating systems together.
    pub const SYSTEM_ALL: u64 = 64 << 20;
    /// Files in one directory left by an operating system (a count).
    pub const SYSTEM_ENTRIES: u64 = 1000;
    /// Files and directories in a bundle's own directories (a count): twice as many as a bundle
    /// manifest can list.
    pub const LISTED: usize = 400_000;
    /// Files and directories visited in foreign directories (a count).
    pub const ENTRIES: usize = 1_000_000;
    /// Nesting of directories below a bundle's directory (a count of levels).
    pub const DIRECTORY_DEPTH: usize = 100;
    /// Statements listed without being verified (a count).
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
