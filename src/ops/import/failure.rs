//! Why an image is not on the target.

use serde::Serialize;

use crate::error::{Class, chain};
use crate::model::Digest;
use crate::registry;

/// Why an image is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Failure {
    #[serde(skip)]
    pub(super) class: Class,
    pub(super) reason: String,
    /// What the person can do about it.
    #[serde(skip)]
    pub(super) hint: Option<String>,
    /// It may be that nothing reaches the target any more.
    #[serde(skip)]
    pub(super) network: bool,
}

impl Failure {
    pub(super) fn of_target(reason: String) -> Self {
        Self {
            class: Class::Target,
            reason,
            hint: None,
            network: false,
        }
    }

    /// The person stopped the run before the image was whole.
    pub(super) fn interrupted() -> Self {
        Self {
            class: Class::Interrupted,
            reason: "the run was interrupted".to_owned(),
            hint: None,
            network: false,
        }
    }

    /// What a blob's way from the medium to the target ended with.
    pub(super) fn of_blob(digest: &Digest, error: registry::Error) -> Self {
        use registry::Error as E;

        match error {
            // The bytes came from the medium: that they are wrong is not the target's fault.
            E::DigestMismatch { .. } | E::SizeMismatch { .. } => Self {
                class: Class::VerificationFailed,
                reason: format!("the bytes of {digest} in the bundle are not its bytes"),
                hint: None,
                network: false,
            },
            other => other.into(),
        }
    }
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        use registry::Error as E;

        let class = match &error {
            E::Source { .. } | E::Session { .. } => Class::Media,
            _ => Class::Target,
        };
        Self {
            class,
            reason: chain(&error),
            hint: error.hint(),
            network: error.is_network(),
        }
    }
}
