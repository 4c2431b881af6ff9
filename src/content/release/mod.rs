//! Release payloads of OKD and OpenShift: their content, and the verification of their signatures.

pub(crate) mod contents;
pub(crate) mod difference;
mod fingerprint;
pub mod image_references;
pub mod judgement;
mod keyring;
pub mod metadata;
pub mod signature;
pub mod signature_file;
mod signed_message;
#[cfg(test)]
pub(crate) mod testing;
pub mod trust;
pub mod verification_config;

pub use fingerprint::{FingerprintError, KeyFingerprint};
pub use image_references::{Component, ComponentName, ImageReferences};
pub use keyring::{ExpiredKeys, Keyring, KeyringError, ReleaseKey};
pub use metadata::ReleaseMetadata;
