//! What a release payload says, as far as it is compared with what is said of it.

use super::ImageReferences;
use super::judgement::Subject;
use super::verification_config::VerificationConfig;
use crate::model::Digest;

/// What a payload says that was read.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The top manifest.
    pub(crate) root: Digest,
    /// The images of a list, in its order; empty for a payload that is one image.
    pub(crate) children: Vec<Digest>,
    /// The architecture, or `multi` for a list.
    pub(crate) architecture: String,
    /// Version and components; the same for all images of a list.
    pub(crate) references: ImageReferences,
    /// How the release wants to be verified; absent when it does not say.
    pub(crate) verification: Option<VerificationConfig>,
}

impl Contents {
    /// What has to be signed.
    pub(crate) fn subject(&self) -> Subject {
        Subject {
            root: self.root,
            images: self.children.clone(),
        }
    }
}
