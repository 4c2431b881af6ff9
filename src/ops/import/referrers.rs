//! Lists of referrers where the target has no API for them, and cosign's tags.
//!
//! Both are shared with whoever else attaches things on the target: they are read, united with
//! ours, written, and read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::format::hash::sha256;
use crate::model::{Digest, MediaType, RawManifest, Repository, Tag};
use crate::ops::manifests::Manifests;
use crate::registry::{self, Client, ReferrersSource, Selector};

/// How often a list is united again because somebody else wrote it meanwhile.
const ATTEMPTS: usize = 3;

/// Keeps lists of attached artifacts.
pub(super) struct Referrals {
    client: Client,
    manifests: Arc<Manifests>,
    /// One writer at a time: lists of one repository are read, changed and written.
    writer: tokio::sync::Mutex<()>,
}

impl Referrals {
    pub(super) fn new(client: Client, manifests: Arc<Manifests>) -> Self {
        Self {
            client,
            manifests,
            writer: tokio::sync::Mutex::new(()),
        }
    }

    /// Makes sure that artifacts with a subject are found from it.
    pub(super) async fn list(
        &self,
        repository: &Repository,
        artifacts: &[Digest],
    ) -> registry::Result<()> {
        let mut by_subject: BTreeMap<Digest, BTreeSet<Digest>> = BTreeMap::new();
        for artifact in artifacts {
            if let Some(subject) = self
                .manifests
                .entry(artifact)
                .and_then(|entry| entry.subject)
            {
                by_subject.entry(subject).or_default().insert(*artifact);
            }
        }
        for (subject, artifacts) in by_subject {
            let _writer = self.writer.lock().await;
            for _ in 0..ATTEMPTS {
                let known = self.client.referrers(repository, subject).await?;
                let listed: BTreeSet<Digest> = known
                    .entries
                    .iter()
                    .map(|entry| entry.descriptor.digest)
                    .collect();
                let missing: Vec<&Digest> = artifacts
                    .iter()
                    .filter(|artifact| !listed.contains(artifact))
                    .collect();
                // A registry with the API lists what it was sent, on its own.
                if missing.is_empty() || known.source == ReferrersSource::Api {
                    break;
                }
                self.add_to_index(repository, &subject, &missing).await?;
            }
        }
        Ok(())
    }

    /// Writes the fallback index with more entries (distribution-spec, "Pushing Manifests with
    /// Subject").
    async fn add_to_index(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifacts: &[&Digest],
    ) -> registry::Result<()> {
        let Ok(tag) = format!("sha256-{}", subject.hex()).parse::<Tag>() else {
            return Ok(());
        };
        let mut entries = match self
            .client
            .manifest(repository, &Selector::from(&tag))
            .await
        {
            Ok(found) => array_of(&found.value, "manifests"),
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(error),
        };
        for artifact in artifacts {
            entries.extend(self.descriptor(artifact));
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_INDEX,
            "manifests": entries,
        });
        let manifest = raw(&index, MediaType::OCI_INDEX);
        self.client
            .push_manifest(repository, &Selector::from(&tag), &manifest)
            .await
            .map(drop)
    }

    /// An artifact as an index lists it.
    fn descriptor(&self, artifact: &Digest) -> Option<Value> {
        self.manifests.as_referrer(artifact)
    }

    /// Sets one of cosign's tags. When it is there with other content, the layers of both (each
    /// is a signature or an attestation) are united. Returns `false`, and leaves the tag as it
    /// is, when they cannot be.
    pub(super) async fn merge_cosign_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> registry::Result<bool> {
        let Some(ours) = self.manifests.get(digest) else {
            return Ok(true);
        };
        let _writer = self.writer.lock().await;
        let selector = Selector::from(tag);
        let there = match self.client.manifest(repository, &selector).await {
            Ok(found) => Some(found.value),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let united = match there {
            Some(there) if there.digest == *digest => return Ok(true),
            Some(there) => match unite_layers(ours, &there) {
                Some(united) if united.digest == there.digest => return Ok(true),
                None => return Ok(false),
                united => united,
            },
            None => None,
        };
        let manifest = united.as_ref().unwrap_or(ours);
        self.client
            .push_manifest(repository, &selector, manifest)
            .await
            .map(|_| true)
    }
}

/// What is there, with those of our layers that it lacks. `None` when one of them is no image
/// manifest.
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
