//! Names in a bundle's directory.

/// The root.
pub(crate) const MANIFEST: &str = "manifest.cbor";
/// What is in the bundle.
pub(crate) const INVENTORY: &str = "inventory.cbor";
/// For people.
pub(crate) const LABEL: &str = "LABEL.txt";
/// For `sha256sum -c`.
pub(crate) const SUMS: &str = "SHA256SUMS";
/// The plan of an unfinished bundle.
pub(crate) const PLAN: &str = "export.plan";
/// The statement on the plan.
pub(crate) const PLAN_STATEMENT: &str = "export.plan.statement";
/// Its signature.
pub(crate) const PLAN_SIGNATURE: &str = "export.plan.sig";
/// What was made for an unfinished export and no registry has.
pub(crate) const MADE: &str = "export.made";
/// What is special to one medium.
pub(crate) const VOLUME: &str = "VOLUME.txt";
/// Directory of chunks.
pub(crate) const CHUNKS: &str = "chunks";
/// Directory of statements.
pub(crate) const SIGNATURES: &str = "signatures";

/// Directories that belong to a bundle, or to an export that makes one.
pub(crate) const OWN_DIRECTORIES: [&str; 3] = [CHUNKS, SIGNATURES, MADE];

/// Whether a path is one of a blob in [`MADE`], or of one that is being written.
pub(crate) fn is_made(path: &str) -> bool {
    let name = path
        .strip_prefix(MADE)
        .and_then(|rest| rest.strip_prefix("/sha256-"));
    let hex = name.map(|name| name.strip_suffix(".tmp").unwrap_or(name));
    hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
