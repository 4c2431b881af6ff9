//! Brings manifests to the target: asks for or sends each once for each repository.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::blob_uploader::{BlobUploader, Expect};
use crate::bundle::read::Manifests;
use crate::model::{Digest, RawManifest, Repository, Tag};
use crate::registry::{self, Client, Selector};

/// True if a manifest is known to be in a repository. Locked by the task that asks or sends.
type Known = Arc<tokio::sync::Mutex<bool>>;

/// Brings manifests to the repositories that need them.
pub(super) struct ManifestPusher {
    client: Client,
    manifests: Arc<Manifests>,
    uploader: Arc<BlobUploader>,
    known: Mutex<BTreeMap<(Repository, Digest), Known>>,
    /// Manifests that this run has put on the target, by repository.
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

    /// Takes the pairs of repository and manifest that this run has put on the target.
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
                // Absent, or not visible to this account: sending it will show.
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

    /// Sends a manifest under a tag. This also stores it under its digest (distribution-spec,
    /// "Pushing Manifests").
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

    /// Sends a manifest that is not in the bundle because this program made it.
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

    /// Sends a manifest. If the target lacks a blob that it reported as present, sends the blob
    /// and then the manifest again.
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
