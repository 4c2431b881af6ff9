//! The OCI manifests of a bundle: read once from the metadata chunks, every one verified.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::Result;
use super::examine::Bundle;
use super::finding::{Finding, FindingKind, as_error};
use super::metadata;
use crate::model::{Digest, Inventory, ManifestEntry, RawManifest};

/// All OCI manifests of a bundle, in memory.
pub(crate) struct Manifests {
    bundle: Arc<Bundle>,
    by_digest: BTreeMap<Digest, RawManifest>,
}

impl Manifests {
    /// Reads and verifies all metadata chunks.
    pub(crate) fn read(bundle: &Arc<Bundle>) -> Result<Self> {
        let mut by_digest = BTreeMap::new();
        let mut findings = metadata::read(
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

    /// A manifest's bytes.
    pub(crate) fn get(&self, digest: &Digest) -> Option<&RawManifest> {
        self.by_digest.get(digest)
    }

    /// What the inventory says of a manifest.
    pub(crate) fn entry(&self, digest: &Digest) -> Option<&ManifestEntry> {
        self.inventory().manifest(digest)
    }

    /// The size of a blob in bytes.
    pub(crate) fn blob_size(&self, digest: &Digest) -> u64 {
        self.inventory().blob(digest).map_or(0, |blob| blob.size)
    }
}

impl std::fmt::Debug for Manifests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} manifests", self.by_digest.len())
    }
}
