//! Release payloads of OKD and OpenShift: what they hold, who signed them, and the programs
//! that are made for them.

mod fingerprint;
pub mod image_references;
mod keyring;
pub mod macho;
pub mod metadata;
pub mod patch;
pub mod signature;
pub mod signature_file;
mod signed_message;
#[cfg(test)]
pub(crate) mod testing;
pub mod tools;
pub mod trust;
pub mod verification_config;

pub use fingerprint::{FingerprintError, KeyFingerprint};
pub use image_references::{Component, ComponentName, ImageReferences};
pub use keyring::{ExpiredKeys, Keyring, KeyringError, ReleaseKey};
pub use metadata::ReleaseMetadata;
