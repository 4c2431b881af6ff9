//! Maintains lists of referrers on targets without referrers API, and cosign's tags.
//!
//! Other clients write both on the same target, so they are read, merged with ours, written, and
//! read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::failure::Failure;
use super::image_tags::ImageTags;
use super::manifest_pusher::ManifestPusher;
use super::referrers_api::ReferrersApis;
use crate::bundle::read::Manifests;
use crate::error::chain;
use crate::format::hash::sha256;
use crate::model::{Digest, MediaType, RawManifest, Repository, Tag};
use crate::plan::naming::digest_tag;
use crate::registry::{self, Client, Referrers, Selector};

/// Number of attempts to write a list, in case other clients overwrite it in between.
const ATTEMPTS: usize = 3;

/// Maintains the lists of attached artifacts on the target.
pub(super) struct ReferrerLists {
    client: Client,
    manifests: Arc<Manifests>,
    pusher: Arc<ManifestPusher>,
    apis: ReferrersApis,
    image_tags: Arc<ImageTags>,
    writers: Mutex<BTreeMap<Repository, Arc<tokio::sync::Mutex<()>>>>,
}

impl ReferrerLists {
    pub(super) fn new(
        client: Client,
        manifests: Arc<Manifests>,
        pusher: Arc<ManifestPusher>,
        image_tags: Arc<ImageTags>,
    ) -> Self {
        Self {
            apis: ReferrersApis::new(client.clone()),
            client,
            manifests,
            pusher,
            image_tags,
            writers: Mutex::default(),
        }
    }

    /// Returns the lock for writing a repository's lists: one writer at a time. Readers do not
    /// take it.
    fn writer(&self, repository: &Repository) -> Arc<tokio::sync::Mutex<()>> {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(writers.entry(repository.clone()).or_default())
    }

    /// Makes sure that artifacts with a subject can be found from it. Returns those for which that
    /// failed.
    pub(super) async fn list(
        &self,
        repository: &Repository,
        artifacts: impl Iterator<Item = &Digest>,
    ) -> BTreeMap<Digest, Failure> {
        let mut by_subject: BTreeMap<Digest, BTreeSet<Digest>> = BTreeMap::new();
        for artifact in artifacts {
            let entry = self.manifests.entry(artifact);
            if let Some(subject) = entry.and_then(|entry| entry.subject) {
                by_subject.entry(subject).or_default().insert(*artifact);
            }
        }
        let mut failed = BTreeMap::new();
        for (subject, artifacts) in by_subject {
            if let Err(failure) = self.list_of(repository, subject, &artifacts).await {
                failed.extend(
                    artifacts
                        .into_iter()
                        .map(|digest| (digest, failure.clone())),
                );
            }
        }
        failed
    }

    async fn list_of(
        &self,
        repository: &Repository,
        subject: Digest,
        artifacts: &BTreeSet<Digest>,
    ) -> std::result::Result<(), Failure> {
        if self.apis.has_one(repository, subject).await {
            return Ok(());
        }
        let listed = || self.client.referrers_without_api(repository, subject);
        if unlisted(&listed().await?, artifacts).is_empty() {
            return Ok(());
        }
        let writer = self.writer(repository);
        let _writer = writer.lock().await;
        for _ in 0..ATTEMPTS {
            // Another task or client may have written the list in the meantime.
            let known = listed().await?;
            let missing = unlisted(&known, artifacts);
            if missing.is_empty() {
                break;
            }
            self.add_to_index(repository, &subject, &known, &missing)
                .await?;
        }
        Ok(())
    }

    /// Writes the fallback index with additional entries (distribution-spec, "Pushing Manifests
    /// with Subject").
    async fn add_to_index(
        &self,
        repository: &Repository,
        subject: &Digest,
        known: &Referrers,
        artifacts: &[Digest],
    ) -> std::result::Result<(), Failure> {
        let tag = digest_tag(subject).map_err(|error| Failure::of_target(chain(&error)))?;
        self.image_tags.require_free(repository, &tag)?;
        let mut entries = match &known.index {
            Some(index) => array_of(index, "manifests"),
            None => {
                self.require_no_other_content(repository, &tag, subject)
                    .await?;
                Vec::new()
            }
        };
        for artifact in artifacts {
            entries.extend(self.descriptor(artifact));
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_INDEX,
            "manifests": entries,
        });
        let index = raw(&index, MediaType::OCI_INDEX);
        self.pusher.tag_made(repository, &tag, &index).await?;
        Ok(())
    }

    /// Fails if the tag needed for the list points to something else. The subject itself under
    /// this tag is accepted: it gets another tag.
    async fn require_no_other_content(
        &self,
        repository: &Repository,
        tag: &Tag,
        subject: &Digest,
    ) -> std::result::Result<(), Failure> {
        let selector = Selector::from(tag);
        match self.client.head_manifest(repository, &selector).await? {
            Some(there) if there.value.digest != *subject => Err(Failure::of_target(format!(
                "{} is reserved for the list of its referrers, but points to {}, which is not \
                 such a list",
                repository.tagged(tag.clone()),
                there.value.digest
            ))),
            _ => Ok(()),
        }
    }

    /// Returns the descriptor of an artifact for an index.
    fn descriptor(&self, artifact: &Digest) -> Option<Value> {
        self.manifests.as_referrer(artifact)
    }

    /// Sets one of cosign's tags. If it exists with other content, the layers of both are merged;
    /// each layer is a signature or an attestation. Returns `false`, and keeps the tag, if they
    /// cannot be merged.
    pub(super) async fn merge_cosign_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> registry::Result<bool> {
        let Some(ours) = self.manifests.get(digest) else {
            return Ok(true);
        };
        if let Merge::Nothing = self.merge(repository, tag, ours).await? {
            return Ok(true);
        }
        let writer = self.writer(repository);
        let _writer = writer.lock().await;
        match self.merge(repository, tag, ours).await? {
            Merge::Nothing => {}
            Merge::Ours => self.pusher.tag(repository, tag, digest).await?,
            Merge::Both(united) => self.pusher.tag_made(repository, tag, &united).await?,
            Merge::Impossible => return Ok(false),
        }
        Ok(true)
    }

    /// Compares one of cosign's tags on the target with ours.
    async fn merge(
        &self,
        repository: &Repository,
        tag: &Tag,
        ours: &RawManifest,
    ) -> registry::Result<Merge> {
        let selector = Selector::from(tag);
        let there = match self.client.manifest(repository, &selector).await {
            Ok(found) => found.value,
            Err(error) if error.is_not_found() => return Ok(Merge::Ours),
            Err(error) => return Err(error),
        };
        if there.digest == ours.digest {
            return Ok(Merge::Nothing);
        }
        Ok(match unite_layers(ours, &there) {
            Some(united) if united.digest == there.digest => Merge::Nothing,
            Some(united) => Merge::Both(united),
            None => Merge::Impossible,
        })
    }
}

/// Change that one of cosign's tags needs.
enum Merge {
    Nothing,
    /// The tag does not exist: set it to our manifest.
    Ours,
    Both(RawManifest),
    /// The existing content cannot be merged with ours.
    Impossible,
}

/// Returns the artifacts that a list lacks.
fn unlisted(known: &Referrers, artifacts: &BTreeSet<Digest>) -> Vec<Digest> {
    let listed: BTreeSet<Digest> = known
        .entries
        .iter()
        .map(|entry| entry.descriptor.digest)
        .collect();
    artifacts.difference(&listed).copied().collect()
}

/// Returns the existing manifest with those of our layers that it lacks. `None` if one of the two
/// is no image manifest.
fn unite_layers(ours: &RawManifest, there: &RawManifest) -> Option<RawManifest> {
    let own: Value = serde_json::from_slice(&ours.bytes).ok()?;
    own.get("layers")?.as_array()?;
    let mut document: Value = serde_json::from_slice(&there.bytes).ok()?;
    let layers = document.get_mut("layers")?.as_array_mut()?;
    let mut changed = false;
    for layer in array_of(ours, "layers") {
        if !layers
            .iter()
            .any(|known| known.get("digest") == layer.get("digest"))
        {
            layers.push(layer);
            changed = true;
        }
    }
    if changed {
        Some(raw(&document, there.media_type.as_str()))
    } else {
        Some(there.clone())
    }
}

fn array_of(manifest: &RawManifest, key: &str) -> Vec<Value> {
    let document: Option<Value> = serde_json::from_slice(&manifest.bytes).ok();
    document
        .as_ref()
        .and_then(|document| document.get(key))
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

fn raw(document: &Value, media_type: &str) -> RawManifest {
    let bytes = document.to_string().into_bytes();
    RawManifest {
        digest: sha256(&bytes),
        media_type: MediaType::new(media_type),
        bytes,
    }
}
