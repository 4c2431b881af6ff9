//! Brings one image to the target: blobs, child manifests, attached artifacts, and last the top
//! manifest with its tag.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;

use super::attachments::{AttachmentRule, RefusedAttachment};
use super::blob_uploader::{BlobUploader, Expect};
use super::failure::Failure;
use super::image_tags::ImageTags;
use super::manifest_pusher::ManifestPusher;
use super::opened::Opened;
use super::preflight::TargetFacts;
use super::referrers::ReferrerLists;
use super::replaced::{Replaced, ReplacedImage};
use super::replaced_keeper::ReplacedKeeper;
use super::request::{ExistingTags, KeepReplaced, Request, SparseIndex};
use super::tags::{TagAction, TagDecision};
use crate::bundle::read::Manifests;
use crate::model::{Digest, ManifestEntry, Repository};
use crate::plan::import::{Artifact, ImageUpload, ImportPlan};
use crate::registry::{self, Client, Selector};

/// Number of blobs of one image that are handled at the same time.
const BLOBS: usize = 8;

/// Reason for tagging one platform's manifest in place of an index.
pub(super) const NO_SPARSE_INDEXES: &str = "the target refuses sparse indexes";

/// The content of an image as it is on the target, without its tag.
pub(super) struct Content {
    /// Digest to tag: the root, or one platform's manifest in its place.
    top: Digest,
    /// Attached artifacts that the target refused.
    pub(super) refused: Vec<RefusedAttachment>,
}

/// Result for an image's tag.
pub(super) struct Tagged {
    /// Digest to which the tag points, or would have pointed.
    pub(super) top: Digest,
    /// Action taken for the tag.
    pub(super) action: TagAction,
    /// Image from which the tag was moved away.
    pub(super) replaced: Option<ReplacedImage>,
}

/// Writes the content of images to the target.
pub(super) struct ContentWriter {
    manifests: Arc<Manifests>,
    uploader: Arc<BlobUploader>,
    pusher: Arc<ManifestPusher>,
    referrer_lists: ReferrerLists,
    image_tags: Arc<ImageTags>,
    client: Client,
    sparse_index: SparseIndex,
    existing_tags: ExistingTags,
    keep_replaced: KeepReplaced,
    replaced: ReplacedKeeper,
    /// Repositories that the target did not show before the upload.
    hidden: BTreeSet<Repository>,
    requires_attachments: bool,
}

impl ContentWriter {
    pub(super) fn new(
        request: &Request,
        opened: &Opened,
        plan: &ImportPlan,
        facts: &TargetFacts,
        uploader: Arc<BlobUploader>,
        pusher: Arc<ManifestPusher>,
    ) -> Self {
        let manifests = Arc::clone(&opened.manifests);
        let client = request.client.clone();
        let image_tags = Arc::new(ImageTags::new(plan, &facts.tags));
        Self {
            replaced: ReplacedKeeper::new(
                client.clone(),
                Arc::clone(&pusher),
                Arc::clone(&image_tags),
            ),
            referrer_lists: ReferrerLists::new(
                client.clone(),
                Arc::clone(&manifests),
                Arc::clone(&pusher),
                Arc::clone(&image_tags),
            ),
            image_tags,
            manifests,
            uploader,
            pusher,
            client,
            sparse_index: request.sparse_index,
            existing_tags: request.existing_tags,
            keep_replaced: request.keep_replaced,
            hidden: facts.hidden.clone(),
            requires_attachments: request.attachments.attachments == AttachmentRule::Required,
        }
    }

    /// Writes all content of an image except its tag. The top manifest is sent with its tag,
    /// unless it is needed by its digest before.
    pub(super) async fn write(
        &self,
        image: &ImageUpload,
        decision: &TagDecision,
    ) -> Result<Content, Failure> {
        let repository = image.repository();
        let expect = match decision.action {
            TagAction::Set => Expect::Absent,
            // The image was probably imported before: ask first, so that nothing is sent twice.
            TagAction::Same | TagAction::Skip => Expect::There,
        };
        self.blobs(repository, image.own_blobs(), expect).await?;
        let mut top = image.placed.image.root;
        for digest in &image.manifests {
            if *digest == image.placed.image.root && !is_needed_by_digest(image, decision) {
                continue;
            }
            // An index may list an artifact as a child, so the artifact's manifest must exist
            // before the index. A failure is ignored here: `attached` tries again and reports it.
            if image.is_attached(digest) {
                let _ = self.pusher.ensure(repository, digest, expect).await;
                continue;
            }
            if let Err(error) = self.pusher.ensure(repository, digest, expect).await {
                let child = self.platform_substitute(image, digest, &error);
                top = child.ok_or_else(|| self.refusal(digest, error))?;
            }
        }
        let refused = self.attached(image, expect).await;
        match refused.first() {
            Some(first) if self.requires_attachments => Err(first.as_failure()),
            _ => Ok(Content { top, refused }),
        }
    }

    async fn blobs(
        &self,
        repository: &Repository,
        digests: &[Digest],
        expect: Expect,
    ) -> Result<(), Failure> {
        let mut blobs = stream::iter(digests)
            .map(|digest| async move {
                let ensured = self.uploader.ensure(repository, digest, expect).await;
                match ensured {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(Failure::of_unmountable(digest, repository)),
                    Err(error) => Err(Failure::of_blob(digest, error)),
                }
            })
            .buffer_unordered(BLOBS);
        let mut failure = None;
        // After a failure, the other blobs are still sent, so that a later run does not send them.
        while let Some(blob) = blobs.next().await {
            if let Err(why) = blob {
                failure.get_or_insert(why);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Writes attached artifacts, and the tags and indexes by which they are found. If the target
    /// refuses one, only that one fails; artifacts that refer to it are still tried.
    async fn attached(&self, image: &ImageUpload, expect: Expect) -> Vec<RefusedAttachment> {
        let repository = image.repository();
        let mut refused: BTreeMap<Digest, Failure> = BTreeMap::new();
        for artifact in &image.attached {
            if let Err(failure) = self.artifact(repository, artifact, expect).await {
                refused.insert(artifact.root, failure);
            }
        }
        let is_there = |artifact: &&Artifact| !refused.contains_key(&artifact.root);
        let there: Vec<&Artifact> = image.attached.iter().filter(is_there).collect();
        let manifests = there.iter().flat_map(|artifact| &artifact.manifests);
        let unlisted = self.referrer_lists.list(repository, manifests).await;
        for artifact in there {
            let mut own = artifact.manifests.iter();
            let failure = match own.find_map(|digest| unlisted.get(digest)) {
                Some(failure) => Some(failure.clone()),
                None => self.tag_artifact(repository, artifact).await.err(),
            };
            refused.extend(failure.map(|failure| (artifact.root, failure)));
        }
        let refused = image.attached.iter().filter_map(|artifact| {
            let failure = refused.remove(&artifact.root)?;
            Some(RefusedAttachment::new(artifact, failure))
        });
        refused.collect()
    }

    /// Writes the content of an attached artifact.
    async fn artifact(
        &self,
        repository: &Repository,
        artifact: &Artifact,
        expect: Expect,
    ) -> Result<(), Failure> {
        self.blobs(repository, &artifact.blobs, expect).await?;
        for digest in &artifact.manifests {
            // A manifest without subject is found by its tag alone, and is sent with the tag.
            let by_tag = *digest == artifact.root && !artifact.tags.is_empty();
            let entry = self.manifests.entry(digest);
            if !by_tag || entry.is_some_and(|entry| entry.subject.is_some()) {
                self.pusher.ensure(repository, digest, expect).await?;
            }
        }
        Ok(())
    }

    async fn tag_artifact(
        &self,
        repository: &Repository,
        artifact: &Artifact,
    ) -> Result<(), Failure> {
        for tag in &artifact.tags {
            if self.image_tags.owner(repository, tag) == Some(&artifact.root) {
                // It is also an image of the plan, and gets the tag as such.
                continue;
            }
            self.image_tags.require_free(repository, tag)?;
            let united = self
                .referrer_lists
                .merge_cosign_tag(repository, tag, &artifact.root);
            if !united.await? {
                return Err(Failure::of_target(format!(
                    "{} exists on the target with content that cannot be merged with the bundle's",
                    repository.tagged(tag.clone())
                )));
            }
        }
        Ok(())
    }

    /// Sets an image's tag.
    pub(super) async fn tag(
        &self,
        image: &ImageUpload,
        content: Content,
        decision: &TagDecision,
    ) -> Result<Tagged, Failure> {
        let (repository, top) = (image.repository(), content.top);
        let mut tagged = Tagged {
            top,
            action: decision.action,
            replaced: None,
        };
        if decision.action != TagAction::Set {
            return Ok(tagged);
        }
        let mut replaces = decision.replaces;
        if self.hidden.contains(repository) {
            let there = self.tag_of_hidden(image, decision).await?;
            replaces = there.filter(|there| *there != top).map(|digest| Replaced {
                digest,
                keep: self.keep_replaced == KeepReplaced::Always,
            });
            if let Some(replaced) = &replaces
                && self.existing_tags != ExistingTags::Overwrite
            {
                self.require_skip(image, decision, &replaced.digest)?;
                // Keep the tag, but send the manifest by digest.
                self.pusher.ensure(repository, &top, Expect::Absent).await?;
                tagged.action = TagAction::Skip;
                return Ok(tagged);
            }
        }
        if let Some(replaced) = &replaces {
            tagged.replaced = Some(self.replaced.keep(repository, replaced).await?);
        }
        let Err(error) = self.pusher.tag(repository, &decision.tag, &top).await else {
            return Ok(tagged);
        };
        let child = self.platform_substitute(image, &top, &error);
        let child = child.ok_or_else(|| self.refusal(&top, error))?;
        self.pusher.tag(repository, &decision.tag, &child).await?;
        tagged.top = child;
        Ok(tagged)
    }

    /// Returns the digest of a tag that was not visible before the upload. The token for writing
    /// shows it.
    async fn tag_of_hidden(
        &self,
        image: &ImageUpload,
        decision: &TagDecision,
    ) -> Result<Option<Digest>, Failure> {
        let selector = Selector::from(&decision.tag);
        let there = self.client.head_manifest(image.repository(), &selector);
        match there.await {
            Ok(there) => Ok(there.map(|there| there.value.digest)),
            Err(error) if error.is_hidden() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Fails unless a tag that points elsewhere is to be kept with `--existing-tags=skip`.
    fn require_skip(
        &self,
        image: &ImageUpload,
        decision: &TagDecision,
        there: &Digest,
    ) -> Result<(), Failure> {
        match self.existing_tags {
            ExistingTags::Skip => Ok(()),
            _ => Err(Failure::of_target(format!(
                "{} already points to {there} on the target, which this account could see only \
                 after the upload: run the same command again, or use --existing-tags=overwrite",
                image.repository().tagged(decision.tag.clone())
            ))),
        }
    }

    /// Returns the failure for a refused manifest, with advice if it is a sparse index.
    fn refusal(&self, digest: &Digest, error: registry::Error) -> Failure {
        let mut failure = Failure::from(error);
        let entry = self.manifests.entry(digest);
        let lacks = |entry: &ManifestEntry| {
            let mut omitted = entry.omitted.iter();
            omitted.any(|child| self.manifests.entry(child).is_none())
        };
        if !failure.network && entry.is_some_and(lacks) {
            failure.reason.push_str(
                "; its other platforms were left out at export: --sparse-index=platform-manifest \
                 tags the only exported platform instead (with a different digest)",
            );
        }
        failure
    }

    /// Returns the only child of a sparse index, if it may be tagged because the target refused
    /// the index.
    fn platform_substitute(
        &self,
        image: &ImageUpload,
        digest: &Digest,
        error: &registry::Error,
    ) -> Option<Digest> {
        let refused = matches!(
            error,
            registry::Error::ContentUnknown { .. } | registry::Error::ManifestRejected { .. }
        );
        let entry = self.manifests.entry(digest)?;
        let is_root = *digest == image.placed.image.root;
        match entry.children.as_slice() {
            [child] if refused && is_root && entry.is_sparse() => {
                (self.sparse_index == SparseIndex::PlatformManifest).then_some(*child)
            }
            _ => None,
        }
    }
}

/// True if an image's top manifest must be there by its digest before its tag is set.
fn is_needed_by_digest(image: &ImageUpload, decision: &TagDecision) -> bool {
    match decision.action {
        // The target's tag points to it, so it is there.
        TagAction::Same => false,
        TagAction::Skip => true,
        // Signatures must be sent before the tag, and after the manifest that they sign.
        TagAction::Set => !image.attached.is_empty(),
    }
}
