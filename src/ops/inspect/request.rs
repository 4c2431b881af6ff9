//! The request of an inspection.

use std::path::PathBuf;

use crate::bundle::trust::Trust;

/// The request of `airferry inspect`.
#[derive(Debug)]
pub struct Request {
    /// Directory of the bundle.
    pub bundle: PathBuf,
    /// Keys that are trusted. If there are any and none of them signed, the bundle is not read.
    pub trust: Trust,
    /// True to read it even then.
    pub allow_unsigned: bool,
}
