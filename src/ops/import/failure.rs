//! The reason why an image could not be imported.

use serde::Serialize;

use crate::error::{Class, chain};
use crate::model::{Digest, Repository};
use crate::registry;

/// The reason why an image could not be imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Failure {
    #[serde(skip)]
    pub(super) class: Class,
    pub(super) reason: String,
    /// Advice for the operator.
    #[serde(skip)]
    pub(super) hint: Option<String>,
    /// True if the network failed, so that the target may not be reachable for other images
    /// either.
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

    /// The failure of a blob that is in an earlier bundle, not in this one, if the target refuses
    /// to mount it from the repository that has it.
    pub(super) fn of_unmountable(digest: &Digest, repository: &Repository) -> Self {
        let reason = format!(
            "{digest} is left out of this bundle, because a base carried it, and the target \
             refuses to mount it into {repository}"
        );
        let hint = "let this account read the repositories into which the base was imported, so \
                    that the target can mount from them; or export again without --base";
        Self {
            hint: Some(hint.to_owned()),
            ..Self::of_target(reason)
        }
    }

    /// The failure of an image that was not finished when the operator stopped the run.
    pub(super) fn interrupted() -> Self {
        Self {
            class: Class::Interrupted,
            reason: "the run was interrupted".to_owned(),
            hint: None,
            network: false,
        }
    }

    /// The failure of uploading a blob.
    pub(super) fn of_blob(digest: &Digest, error: registry::Error) -> Self {
        use registry::Error as E;

        match error {
            // The bytes came from the medium, so wrong bytes are not the target's fault.
            E::DigestMismatch { .. } | E::SizeMismatch { .. } => Self {
                class: Class::VerificationFailed,
                reason: format!("{digest} is damaged in the bundle"),
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
