//! Manifests on the target: each goes up, or is asked for, once for each repository.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::blob_uploader::{BlobUploader, Expect};
use crate::bundle::read::Manifests;
use crate::model::{Digest, RawManifest, Repository, Tag};
use crate::registry::{self, Client, Selector};

/// Whether a manifest is known to be in a repository; held while somebody finds out.
type Known = Arc<tokio::sync::Mutex<bool>>;

/// Puts manifests where they are needed.
pub(super) struct ManifestPusher {
    client: Client,
    manifests: Arc<Manifests>,
    uploader: Arc<BlobUploader>,
    known: Mutex<BTreeMap<(Repository, Digest), Known>>,
    /// What this run has put there.
    put: Mutex<BTreeSet<(Repository, Digest)>>,
}

impl ManifestPusher {
    pub(super) fn new(
        client: Client,
        manifests: Arc<Manifests>,
        uploader: Arc<BlobUploader>,
    ) -> Self {
        Self {
            client,
            manifests,
            uploader,
            known: Mutex::default(),
            put: Mutex::default(),
        }
    }

    /// Hands over what this run has put on the target: repositories and manifests.
    pub(super) fn take_put(&self) -> BTreeSet<(Repository, Digest)> {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut put)
    }

    fn known(&self, repository: &Repository, digest: &Digest) -> Known {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry((repository.clone(), *digest)).or_default())
    }

    /// Makes sure that a repository has a manifest, by its digest.
    pub(super) async fn ensure(
        &self,
        repository: &Repository,
        digest: &Digest,
        expect: Expect,
    ) -> registry::Result<()> {
        let known = self.known(repository, digest);
        let mut known = known.lock().await;
        if *known {
            return Ok(());
        }
        let selector = Selector::from(*digest);
        if expect == Expect::There {
            *known = match self.client.head_manifest(repository, &selector).await {
                Ok(head) => head.is_some(),
                // Not there, or not for this account: writing decides.
                Err(error) if error.is_hidden() => false,
                Err(error) => return Err(error),
            };
        }
        if !*known {
            self.push(repository, &selector, digest).await?;
            *known = true;
        }
        Ok(())
    }

    /// Sends a manifest to a tag. The repository has it by its digest as well then
    /// (distribution-spec, "Pushing Manifests").
    pub(super) async fn tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> registry::Result<()> {
        let known = self.known(repository, digest);
        let mut known = known.lock().await;
        self.push(repository, &Selector::from(tag), digest).await?;
        *known = true;
        Ok(())
    }

    /// Sends a manifest that the bundle does not hold: one that was made here.
    pub(super) async fn tag_made(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &RawManifest,
    ) -> registry::Result<()> {
        let selector = Selector::from(tag);
        self.client
            .push_manifest(repository, &selector, manifest)
            .await?;
        self.note_put(repository, &manifest.digest);
        Ok(())
    }

    /// Sends a manifest; when the target lacks a blob that it said it had, sends that first.
    async fn push(
        &self,
        repository: &Repository,
        selector: &Selector,
        digest: &Digest,
    ) -> registry::Result<()> {
        let (Some(manifest), Some(entry)) =
            (self.manifests.get(digest), self.manifests.entry(digest))
        else {
            return Ok(());
        };
        let push = || self.client.push_manifest(repository, selector, manifest);
        match push().await {
            Ok(_) => {}
            Err(registry::Error::ContentUnknown { digests, .. }) if !entry.blobs.is_empty() => {
                let named = entry.blobs.iter().filter(|blob| digests.contains(blob));
                let named: Vec<Digest> = named.copied().collect();
                let lacking = if named.is_empty() {
                    &entry.blobs
                } else {
                    &named
                };
                self.uploader.upload_again(repository, lacking).await?;
                push().await?;
            }
            Err(error) => return Err(error),
        }
        self.note_put(repository, digest);
        Ok(())
    }

    fn note_put(&self, repository: &Repository, digest: &Digest) {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        put.insert((repository.clone(), *digest));
    }
}
