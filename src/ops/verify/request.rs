//! What a verification is asked for.

use std::path::PathBuf;

use crate::bundle::trust::Trust;
use crate::ops::release::proof::ReleaseKeys;

/// What `airferry verify` is asked for.
#[derive(Debug)]
pub struct Request {
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Whom to trust.
    pub trust: Trust,
    /// Accept that no trusted key has signed.
    pub allow_unsigned: bool,
    /// Accept that images are missing.
    pub allow_incomplete: bool,
    /// Foreign files are a failure.
    pub strict: bool,
    /// Whose word counts for releases.
    pub release_keys: ReleaseKeys,
    /// Accept releases that have no signatures.
    pub allow_unsigned_release: bool,
    /// Threads; all cores when absent.
    pub jobs: Option<usize>,
}
