//! The request of a verification.

use std::path::PathBuf;

use crate::bundle::trust::Trust;
use crate::ops::release::proof::ReleaseKeys;

/// The request of `airferry verify`.
#[derive(Debug)]
pub struct Request {
    /// Directory of the bundle.
    pub bundle: PathBuf,
    /// Keys that are trusted for bundles.
    pub trust: Trust,
    /// True to accept a bundle that no trusted key signed.
    pub allow_unsigned: bool,
    /// True to accept an incomplete bundle.
    pub allow_incomplete: bool,
    /// True if foreign files, and releases that were not compared, are failures.
    pub strict: bool,
    /// Keys that are trusted for releases.
    pub release_keys: ReleaseKeys,
    /// True to accept releases without signatures.
    pub allow_unsigned_release: bool,
    /// Number of threads; one for each core when absent.
    pub jobs: Option<usize>,
}
