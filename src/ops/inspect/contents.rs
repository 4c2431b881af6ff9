//! What the images of a bundle reach: platforms and bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::bundle::read::StoredBlob;
use crate::format::hash::sha256;
use crate::model::{
    BlobPlace, Carried, Graph, ImageEntry, Inventory, ManifestEntry, Platform, Walk,
};
use crate::oci;
use crate::sys::media::Media;

/// Configs up to this many bytes are read for their platform.
const CONFIG_CAP: u64 = 1 << 20;

/// Rows and digests that are looked at to add up what images need, all of them together.
const STEPS: usize = 20_000_000;

/// What an image reaches.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub(super) platforms: BTreeSet<Platform>,
    pub(super) sparse: bool,
    pub(super) bytes: Option<u64>,
}

/// Adds up what images reach; those with the same roots once.
pub(super) struct Contents<'c, 'a> {
    inventory: &'a Inventory,
    graph: &'c Graph<'a>,
    walk: Walk<'c, 'a>,
    known: BTreeMap<(Option<u32>, Vec<u32>), Content>,
    /// Platforms by the manifest that was asked.
    platforms: BTreeMap<u32, Option<Platform>>,
    media: &'c Arc<dyn Media>,
}

impl<'c, 'a> Contents<'c, 'a> {
    pub(super) fn new(
        inventory: &'a Inventory,
        graph: &'c Graph<'a>,
        media: &'c Arc<dyn Media>,
    ) -> Self {
        Self {
            inventory,
            walk: Walk::new(graph),
            graph,
            known: BTreeMap::new(),
            platforms: BTreeMap::new(),
            media,
        }
    }

    pub(super) fn of(&mut self, image: &ImageEntry) -> Content {
        let own = image.root.and_then(|root| self.graph.manifest(&root));
        let key = (own, self.graph.roots(image));
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        if self.walk.steps() > STEPS {
            return Content::default();
        }
        let blobs = self.walk.reach(&key.1).blobs;
        let sizes = blobs
            .iter()
            .filter_map(|blob| self.inventory.blobs.get(*blob as usize));
        let bytes = sizes.fold(0u64, |sum, blob| sum.saturating_add(blob.size));
        // Platforms are those of the image itself.
        let own = self.walk.reach(own.as_slice()).manifests;
        let mut content = Content {
            bytes: Some(bytes),
            ..Content::default()
        };
        for row in own {
            let Some(entry) = self.inventory.manifests.get(row as usize) else {
                continue;
            };
            content.sparse |= entry.is_sparse();
            let platforms = &mut self.platforms;
            let platform = platforms
                .entry(row)
                .or_insert_with(|| platform(entry, self.inventory, self.media));
            content.platforms.extend(platform.clone());
        }
        self.known.insert(key, content.clone());
        content
    }
}

/// The platform of an image manifest: from its index, else from its config.
fn platform(
    entry: &ManifestEntry,
    inventory: &Inventory,
    media: &Arc<dyn Media>,
) -> Option<Platform> {
    if let Some(platform) = &entry.platform {
        return Some(platform.clone());
    }
    let config = inventory.blob(entry.blobs.first()?)?;
    let carried: &Carried = match &config.place {
        BlobPlace::Carried(carried) if config.size <= CONFIG_CAP => carried,
        _ => return None,
    };
    let bytes = StoredBlob::new(Arc::clone(media), carried)
        .read(CONFIG_CAP)
        .ok()?;
    if sha256(&bytes) != config.digest {
        return None;
    }
    oci::config_platform(&bytes)
}
