//! Decides about the tags on the target before anything is changed there.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream;

use super::failure::Failure;
use super::opened::Opened;
use super::probe::{JOBS, Probe, target_error};
use super::referrers_api::ReferrersApis;
use super::replaced::Replaced;
use super::request::{ExistingTags, KeepReplaced, Request, SparseIndex};
use crate::error::{Result, chain};
use crate::model::{Digest, Tag};
use crate::plan::import::{ImageUpload, ImportPlan};
use crate::plan::naming::{digest_tag, root_tag};
use crate::registry::{self, Selector};

/// Decision about an image's tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TagDecision {
    /// The image's tag on the target. Differs from the planned one if that is needed for the index
    /// of its referrers.
    pub(super) tag: Tag,
    pub(super) action: TagAction,
    /// The image from which the tag is moved away, if there is one.
    pub(super) replaces: Option<Replaced>,
    /// Reason why the tag could not be checked; then this image fails, and others go on.
    pub(super) failure: Option<Failure>,
}

/// Action for a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TagAction {
    /// Set the tag to the image.
    Set,
    /// Nothing: the tag points to the image already.
    Same,
    /// Keep the tag, which points to another digest.
    Skip,
}

impl TagDecision {
    fn new(tag: &Tag, action: TagAction) -> Self {
        Self {
            tag: tag.clone(),
            action,
            replaces: None,
            failure: None,
        }
    }
}

/// Reason why there is no decision.
enum Refusal {
    /// The tag points to another digest and must not be overwritten.
    Conflict(String),
    /// The target did not answer, or refused.
    Unknown(registry::Error),
}

impl From<registry::Error> for Refusal {
    fn from(error: registry::Error) -> Self {
        Self::Unknown(error)
    }
}

/// Decides about every image's tag. Adds tags that must not be overwritten to the problems. A
/// failed request makes only its image fail, unless all of the first requests fail.
pub(super) async fn decide(
    request: &Request,
    opened: &Opened,
    plan: &ImportPlan,
    probe: &Probe<'_>,
    problems: &mut Vec<String>,
) -> Result<Vec<TagDecision>> {
    let asker = TagProbe {
        request,
        opened,
        probe,
        plan,
        apis: ReferrersApis::new(request.client.clone()),
    };
    let mut decisions = stream::iter(&plan.images)
        .map(|image| {
            let asker = &asker;
            async move {
                let decision = probe.item(image.placed.target(), asker.decide(image)).await;
                (image, decision)
            }
        })
        .buffered(JOBS);
    let mut decided = Vec::with_capacity(plan.images.len());
    let mut answers = 0;
    while let Some((image, decision)) = decisions.next().await {
        match decision {
            Ok(decision) => {
                answers += 1;
                decided.push(decision);
            }
            Err(Refusal::Conflict(message)) => {
                answers += 1;
                problems.push(message);
                decided.push(TagDecision::new(&image.placed.tag, TagAction::Skip));
            }
            Err(Refusal::Unknown(error))
                if error.may_concern_one_object()
                    && (answers > 0 || decided.len() + 1 < plan.images.len().min(JOBS)) =>
            {
                let mut failure = Failure::from(error);
                failure.reason = format!(
                    "the target cannot be queried for its tag: {}",
                    failure.reason
                );
                decided.push(TagDecision {
                    failure: Some(failure),
                    ..TagDecision::new(&image.placed.tag, TagAction::Skip)
                });
            }
            Err(Refusal::Unknown(error)) => {
                let what = image.placed.target();
                return Err(target_error(
                    format!("The target cannot be queried for {what}"),
                    error,
                ));
            }
        }
    }
    Ok(decided)
}

/// Asks the target for the tags of images.
struct TagProbe<'a> {
    request: &'a Request,
    opened: &'a Opened,
    probe: &'a Probe<'a>,
    plan: &'a ImportPlan,
    apis: ReferrersApis,
}

impl TagProbe<'_> {
    async fn decide(&self, image: &ImageUpload) -> std::result::Result<TagDecision, Refusal> {
        let (own, root) = (&image.placed.tag, image.placed.image.root);
        let there = self.points_to(image, own).await?;
        let may_be_referrers_tag = digest_tag(&root).is_ok_and(|tag| tag == *own);
        if !may_be_referrers_tag || !self.is_referrers_tag(image, there.as_ref()).await? {
            return self.by_policy(image, own, there);
        }
        let tag = root_tag(&root).map_err(|error| Refusal::Conflict(chain(&error)))?;
        let there = self.points_to(image, &tag).await?;
        self.by_policy(image, &tag, there)
    }

    async fn points_to(&self, image: &ImageUpload, tag: &Tag) -> registry::Result<Option<Digest>> {
        let selector = Selector::from(tag);
        let head = self
            .request
            .client
            .head_manifest(image.repository(), &selector);
        let there = head.await.map(|head| head.map(|head| head.value.digest));
        self.probe.unless_hidden(image.repository(), there, None)
    }

    /// True if the tag `sha256-<hex>`, the default for an image without a tag, belongs to the
    /// index of its referrers: that index exists, or will be needed.
    async fn is_referrers_tag(
        &self,
        image: &ImageUpload,
        there: Option<&Digest>,
    ) -> registry::Result<bool> {
        let root = image.placed.image.root;
        let points_to_image = there.is_none_or(|there| *there == root);
        if points_to_image && image.attached.is_empty() {
            return Ok(false);
        }
        let client = &self.request.client;
        if self.probe.is_hidden(image.repository()) {
            // Only writing shows if the repository has the API, so the tag is kept free for the
            // list.
            return Ok(true);
        }
        if points_to_image {
            // Without an answer, keep the tag free for the list.
            return Ok(!self.apis.has_one(image.repository(), root).await);
        }
        // Independent of the API: the tag holds a list only if all its entries have this subject.
        let index = client.referrers_index(image.repository(), root).await?;
        Ok(index.is_some_and(|index| Some(&index.digest) == there))
    }

    /// Decides about a tag by the policy for existing tags.
    fn by_policy(
        &self,
        image: &ImageUpload,
        tag: &Tag,
        there: Option<Digest>,
    ) -> std::result::Result<TagDecision, Refusal> {
        let root = image.placed.image.root;
        let decided = |action| Ok(TagDecision::new(tag, action));
        let Some(there) = there else {
            return decided(TagAction::Set);
        };
        if there == root {
            return decided(TagAction::Same);
        }
        // Neither of these loses an image: one gets a tag of its own, the other is a child of the
        // new one.
        let stays =
            self.shares_the_tag(image, &there) || self.is_platform_substitute(&root, &there);
        let is_of_base = self.known_from_bases(image).contains(&there);
        let replace = || {
            let mut decision = TagDecision::new(tag, TagAction::Set);
            decision.replaces = (!stays).then_some(Replaced {
                digest: there,
                keep: match self.request.keep_replaced {
                    KeepReplaced::OfBases => is_of_base,
                    KeepReplaced::Always => true,
                    KeepReplaced::Never => false,
                },
            });
            Ok(decision)
        };
        match self.request.existing_tags {
            ExistingTags::Overwrite => replace(),
            ExistingTags::Skip => decided(TagAction::Skip),
            ExistingTags::Forward if is_of_base || stays => replace(),
            ExistingTags::Forward | ExistingTags::Error => Err(Refusal::Conflict(format!(
                "{} points to {there} on the target, and to {root} in the bundle; \
                 --existing-tags=overwrite replaces it, --existing-tags=skip leaves it",
                image.repository().tagged(tag.clone())
            ))),
        }
    }

    /// True if a tag points to the manifest that an earlier run put in place of a sparse index.
    fn is_platform_substitute(&self, root: &Digest, there: &Digest) -> bool {
        self.request.sparse_index == SparseIndex::PlatformManifest
            && self
                .opened
                .manifests
                .entry(root)
                .is_some_and(|entry| entry.is_sparse() && entry.children == [*there])
    }

    /// True if the tag's digest is in the bundle under the same tag of the same source, pinned by
    /// digest. That image now has a tag made of its digest, so moving the tag loses nothing.
    fn shares_the_tag(&self, image: &ImageUpload, there: &Digest) -> bool {
        let own = &image.placed.image;
        let mut all = self.plan.images.iter().map(|other| &other.placed);
        all.any(|other| {
            other.kept_by == Some(own.root)
                && other.repository == image.placed.repository
                && other.image.root == *there
                && (&other.image.source, &other.image.tag) == (&own.source, &own.tag)
        })
    }

    /// Returns the digests to which the tag pointed in the bases.
    fn known_from_bases(&self, image: &ImageUpload) -> BTreeSet<Digest> {
        let reference = image.placed.image.reference();
        let bases = &self.opened.bundle.inventory.bases;
        let roots = bases.iter().flat_map(|base| &base.roots);
        roots
            .filter(|root| root.reference == reference)
            .map(|root| root.root)
            .collect()
    }
}
