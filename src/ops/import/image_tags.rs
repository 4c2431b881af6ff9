//! The tags of the plan's images on the target; attached artifacts must not take them.

use std::collections::BTreeMap;

use super::failure::Failure;
use super::tags::TagDecision;
use crate::model::{Digest, Repository, Tag};
use crate::plan::import::ImportPlan;

/// Root digests of the plan's images, by repository and tag.
#[derive(Debug, Default)]
pub(super) struct ImageTags(BTreeMap<Repository, BTreeMap<Tag, Digest>>);

impl ImageTags {
    /// Takes one decision for each image of the plan, in the same order.
    pub(super) fn new(plan: &ImportPlan, decided: &[TagDecision]) -> Self {
        let mut tags = Self::default();
        for (image, decision) in plan.images.iter().zip(decided) {
            let own = tags.0.entry(image.repository().clone()).or_default();
            own.insert(decision.tag.clone(), image.placed.image.root);
        }
        tags
    }

    /// Returns the image that has a tag.
    pub(super) fn owner(&self, repository: &Repository, tag: &Tag) -> Option<&Digest> {
        self.0.get(repository)?.get(tag)
    }

    /// Fails if a tag for an attached artifact belongs to an image.
    pub(super) fn require_free(&self, repository: &Repository, tag: &Tag) -> Result<(), Failure> {
        match self.owner(repository, tag) {
            None => Ok(()),
            Some(image) => Err(Failure::of_target(format!(
                "{} is the tag of the image {image} of this bundle",
                repository.tagged(tag.clone())
            ))),
        }
    }
}
