//! Images from which this import moves a tag away; `replaced_keeper` keeps them.

use serde::Serialize;

use crate::model::{Digest, Reference, Repository};
use crate::plan::naming::digest_tag;

/// An image from which a tag is to be moved away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) digest: Digest,
    /// True if it gets a tag made of its digest first.
    pub(super) keep: bool,
}

/// An image from which a tag was moved away, for the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplacedImage {
    /// Its digest.
    pub digest: Digest,
    /// The tag under which it stays; `None` if only its digest is left, which some registries
    /// delete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_as: Option<Reference>,
}

impl Replaced {
    /// Returns the report of a dry run.
    pub(super) fn planned(&self, repository: &Repository) -> ReplacedImage {
        let tag = digest_tag(&self.digest).ok().filter(|_| self.keep);
        ReplacedImage {
            digest: self.digest,
            kept_as: tag.map(|tag| repository.tagged(tag)),
        }
    }
}
