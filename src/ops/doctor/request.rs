//! The request of a doctor.

use std::path::PathBuf;

use crate::model::Reference;
use crate::plan::naming::Target;
use crate::registry::Client;

/// The request of a doctor.
#[derive(Debug)]
pub struct Request {
    /// Checks of this machine.
    pub here: HereRequest,
    /// Images whose registries are asked once each.
    pub sources: Vec<Reference>,
    /// The target to look at.
    pub target: Option<TargetRequest>,
    /// Client of sources and target.
    pub client: Client,
}

/// Checks of this machine.
#[derive(Debug, Default)]
pub struct HereRequest {
    /// Keys that were looked at.
    pub keys: Vec<KeyCheck>,
    /// The medium.
    pub medium: Option<MediumRequest>,
    /// Proxy variables that are set, without their secrets.
    pub proxies: Vec<(String, String)>,
    /// Directories and files of certificates in use.
    pub certificates: Vec<String>,
    /// Problems of certificate directories.
    pub certificate_problems: Vec<String>,
}

/// A key that was looked at.
#[derive(Debug)]
pub struct KeyCheck {
    /// The flag that named it.
    pub flag: &'static str,
    /// Its path.
    pub path: PathBuf,
    /// What it is, or why it cannot be used, with advice.
    pub result: Result<String, (String, Option<String>)>,
}

/// The medium to look at.
#[derive(Debug)]
pub struct MediumRequest {
    /// A directory on it.
    pub path: PathBuf,
    /// True to write a test file there and measure the speed.
    pub write_test: bool,
}

/// The target to look at.
#[derive(Debug)]
pub struct TargetRequest {
    /// Registry and namespace.
    pub target: Target,
    /// True to try out writes.
    pub probe_writes: bool,
    /// Makes the names of this run unique.
    pub nonce: String,
}
