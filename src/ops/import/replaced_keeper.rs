//! Keeps an image from which this import moves a tag away, under a tag made of its digest.
//!
//! Pods and catalog sources name images by digest. A registry that deletes a manifest with its last
//! tag would take the image from them, so the other tag is set before the tag moves.

use std::sync::Arc;

use super::failure::Failure;
use super::image_tags::ImageTags;
use super::manifest_pusher::ManifestPusher;
use super::replaced::{Replaced, ReplacedImage};
use crate::error::chain;
use crate::model::{Digest, Repository, Tag};
use crate::plan::naming::{digest_tag, root_tag};
use crate::registry::{self, Client, Selector};

/// Gives images their tags.
pub(super) struct ReplacedKeeper {
    client: Client,
    pusher: Arc<ManifestPusher>,
    image_tags: Arc<ImageTags>,
}

impl ReplacedKeeper {
    pub(super) fn new(
        client: Client,
        pusher: Arc<ManifestPusher>,
        image_tags: Arc<ImageTags>,
    ) -> Self {
        Self {
            client,
            pusher,
            image_tags,
        }
    }

    /// Keeps an image that is on the target. On failure its tag must not move.
    pub(super) async fn keep(
        &self,
        repository: &Repository,
        replaced: &Replaced,
    ) -> Result<ReplacedImage, Failure> {
        let digest = replaced.digest;
        let kept = match replaced.keep {
            true => self.tag(repository, &digest).await,
            false => Ok(None),
        };
        match kept {
            Ok(tag) => Ok(ReplacedImage {
                digest,
                kept_as: tag.map(|tag| repository.tagged(tag)),
            }),
            Err(mut failure) => {
                failure.reason = format!(
                    "its tag points to {digest}, which cannot be kept under another tag: {}; \
                     --keep-replaced=no moves the tag anyway",
                    failure.reason
                );
                Err(failure)
            }
        }
    }

    /// Returns the tag, or `None` if the target does not have the image any more.
    async fn tag(&self, repository: &Repository, digest: &Digest) -> Result<Option<Tag>, Failure> {
        let no_tag = |error| Failure::of_target(chain(&error));
        let own = digest_tag(digest).map_err(no_tag)?;
        // The first tag may hold the list of the image's referrers.
        let other = root_tag(digest).map_err(no_tag)?;
        for tag in [own, other] {
            let owner = self.image_tags.owner(repository, &tag);
            let there = self
                .client
                .head_manifest(repository, &Selector::from(&tag))
                .await?
                .map(|head| head.value.digest);
            match (there, owner) {
                (Some(there), _) if there == *digest => return Ok(Some(tag)),
                (None, None) => {
                    return Ok(self.set(repository, digest, &tag).await?.then_some(tag));
                }
                (None, Some(owner)) if owner == digest => {
                    return Ok(self.set(repository, digest, &tag).await?.then_some(tag));
                }
                _ => {}
            }
        }
        Err(Failure::of_target(
            "both tags that could keep it belong to other content".to_owned(),
        ))
    }

    async fn set(
        &self,
        repository: &Repository,
        digest: &Digest,
        tag: &Tag,
    ) -> registry::Result<bool> {
        let selector = Selector::from(*digest);
        let manifest = match self.client.manifest(repository, &selector).await {
            Ok(manifest) => manifest.value,
            Err(error) if error.is_not_found() => return Ok(false),
            Err(error) => return Err(error),
        };
        self.pusher.tag_made(repository, tag, &manifest).await?;
        Ok(true)
    }
}
