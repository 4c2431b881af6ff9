//! Release payloads of OKD and OpenShift: what they hold, and who signed them.

pub mod image_references;
mod keyring;
pub mod metadata;
pub mod signature;
mod signed_message;
pub mod trust;
pub mod verification_config;

pub use image_references::{Component, ComponentName, ImageReferences};
pub use keyring::{Keyring, KeyringError, ReleaseKey};
pub use metadata::ReleaseMetadata;
