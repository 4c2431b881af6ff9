//! Names of files and directories in a bundle's directory.

/// The root document: chunk table, and hashes of the chunks and the inventory.
pub(crate) const MANIFEST: &str = "manifest.cbor";
/// The list of images, manifests, blobs and extents.
pub(crate) const INVENTORY: &str = "inventory.cbor";
/// The label, for people.
pub(crate) const LABEL: &str = "LABEL.txt";
/// The checksums, for `sha256sum -c`.
pub(crate) const SUMS: &str = "SHA256SUMS";
/// The plan of an unfinished bundle.
pub(crate) const PLAN: &str = "export.plan";
/// The statement about the plan.
pub(crate) const PLAN_STATEMENT: &str = "export.plan.statement";
/// The signature of the plan's statement.
pub(crate) const PLAN_SIGNATURE: &str = "export.plan.sig";
/// Directory of blobs that an unfinished export made itself, so that no registry has them.
pub(crate) const MADE: &str = "export.made";
/// A note about one medium, which is not part of the bundle.
pub(crate) const VOLUME: &str = "VOLUME.txt";
/// Directory of the chunks.
pub(crate) const CHUNKS: &str = "chunks";
/// Directory of statements and signatures.
pub(crate) const SIGNATURES: &str = "signatures";

/// Directories of a bundle, or of an unfinished export.
pub(crate) const OWN_DIRECTORIES: [&str; 3] = [CHUNKS, SIGNATURES, MADE];

/// Returns true if a path is that of a blob in [`MADE`], or of its temporary file.
pub(crate) fn is_made(path: &str) -> bool {
    let name = path
        .strip_prefix(MADE)
        .and_then(|rest| rest.strip_prefix("/sha256-"));
    let hex = name.map(|name| name.strip_suffix(".tmp").unwrap_or(name));
    hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
