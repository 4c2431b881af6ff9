//! The content of a release payload, as far as it is compared with a bundle's inventory.

use super::ImageReferences;
use super::judgement::Subject;
use super::verification_config::VerificationConfig;
use crate::model::Digest;

/// The content of a release payload that was read.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Digest of the top manifest.
    pub(crate) root: Digest,
    /// Digests of the images of a manifest list, in its order; empty for a payload that is one
    /// image.
    pub(crate) children: Vec<Digest>,
    /// The architecture, or `multi` for a manifest list.
    pub(crate) architecture: String,
    /// Version and components; the same for all images of a manifest list.
    pub(crate) references: ImageReferences,
    /// The payload's verification ConfigMap, if it has one.
    pub(crate) verification: Option<VerificationConfig>,
}

impl Contents {
    /// The manifests that signatures must cover.
    pub(crate) fn subject(&self) -> Subject {
        Subject {
            root: self.root,
            images: self.children.clone(),
        }
    }
}
