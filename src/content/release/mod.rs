//! Release payloads of OKD and OpenShift: what they hold, and who signed them.

mod keyring;
pub mod signature;
mod signed_message;
pub mod trust;
pub mod verification_config;

pub use keyring::{Keyring, KeyringError, ReleaseKey};
