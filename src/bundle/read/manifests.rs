//! The OCI manifests of a bundle: read once from the metadata chunks, and verified.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::metadata::read_metadata;
use crate::bundle::finding::{Finding, FindingKind, as_error};
use crate::bundle::open::Bundle;
use crate::error::Result;
use crate::model::{Digest, Inventory, ManifestEntry, RawManifest};
use crate::oci;

/// All OCI manifests of a bundle, in memory.
pub(crate) struct Manifests {
    bundle: Arc<Bundle>,
    by_digest: BTreeMap<Digest, RawManifest>,
}

impl Manifests {
    /// Reads and verifies all metadata chunks.
    pub(crate) fn read(bundle: &Arc<Bundle>) -> Result<Self> {
        let mut by_digest = BTreeMap::new();
        let mut findings = read_metadata(
            bundle.media.as_ref(),
            &bundle.manifest,
            &bundle.inventory,
            |raw| {
                by_digest.insert(raw.digest, raw);
            },
        )?;
        for entry in &bundle.inventory.manifests {
            if findings.is_empty() && !by_digest.contains_key(&entry.digest) {
                let message = format!("manifest {} is in no metadata chunk", entry.digest);
                findings.push(Finding::new(FindingKind::NotClosed, message));
            }
        }
        match as_error("The bundle cannot be used:", &findings) {
            Some(error) => Err(error),
            None => Ok(Self {
                bundle: Arc::clone(bundle),
                by_digest,
            }),
        }
    }

    fn inventory(&self) -> &Inventory {
        &self.bundle.inventory
    }

    /// Returns a manifest's bytes.
    pub(crate) fn get(&self, digest: &Digest) -> Option<&RawManifest> {
        self.by_digest.get(digest)
    }

    /// Returns the descriptor of a manifest with a subject, as the response to "Listing
    /// Referrers" has it (OCI distribution-spec).
    pub(crate) fn as_referrer(&self, digest: &Digest) -> Option<Value> {
        let manifest = self.get(digest)?;
        let document = oci::parse(&manifest.bytes, Some(&manifest.media_type)).ok()?;
        let mut entry = json!({
            "mediaType": manifest.media_type,
            "digest": digest,
            "size": manifest.bytes.len(),
        });
        let kind = document.facts.artifact_type.map(Value::String);
        let more = [
            ("artifactType", kind),
            ("annotations", annotations(&manifest.bytes)),
        ];
        if let Some(object) = entry.as_object_mut() {
            for (key, value) in more {
                object.extend(value.map(|value| (key.to_owned(), value)));
            }
        }
        Some(entry)
    }

    /// Returns the inventory's row of a manifest.
    pub(crate) fn entry(&self, digest: &Digest) -> Option<&ManifestEntry> {
        self.inventory().manifest(digest)
    }

    /// Returns the size of a blob in bytes; 0 if the inventory does not have the blob.
    pub(crate) fn blob_size(&self, digest: &Digest) -> u64 {
        self.inventory().blob(digest).map_or(0, |blob| blob.size)
    }
}

/// The annotations of an OCI manifest; `None` when it has none that can be read.
fn annotations(bytes: &[u8]) -> Option<Value> {
    #[derive(serde::Deserialize)]
    struct Annotated {
        annotations: Option<Map<String, Value>>,
    }
    let annotated: Annotated = serde_json::from_slice(bytes).ok()?;
    annotated.annotations.map(Value::Object)
}

impl std::fmt::Debug for Manifests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} manifests", self.by_digest.len())
    }
}
