//! What an inspection is asked for.

use std::path::PathBuf;

use crate::bundle::trust::Trust;

/// What `airferry inspect` is asked for.
#[derive(Debug)]
pub struct Request {
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Whom to trust. When somebody is named here and has not signed, nothing is read.
    pub trust: Trust,
    /// Look inside even so.
    pub allow_unsigned: bool,
}
