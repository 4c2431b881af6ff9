//! Computes platforms and bytes of a bundle's images.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::bundle::read::StoredBlob;
use crate::format::hash::sha256;
use crate::model::{
    BlobPlace, Carried, Graph, ImageEntry, Inventory, ManifestEntry, Platform, Walk,
};
use crate::oci;
use crate::sys::media::Media;

/// Limit of a config that is read for its platform, in bytes.
const CONFIG_CAP: u64 = 1 << 20;

/// Limit of steps through manifests and blobs, for all images together. Images after it have no
/// sums.
const STEPS: usize = 20_000_000;

/// Platforms and bytes of an image.
#[derive(Debug, Clone, Default)]
pub(super) struct ImageSum {
    pub(super) platforms: BTreeSet<Platform>,
    pub(super) sparse: bool,
    pub(super) bytes: Option<u64>,
}

/// Computes the sums of images; images with the same roots are computed once.
pub(super) struct ImageSums<'c, 'a> {
    inventory: &'a Inventory,
    graph: &'c Graph<'a>,
    walk: Walk<'c, 'a>,
    known: BTreeMap<(Option<u32>, Vec<u32>), ImageSum>,
    /// Platforms by manifest row, as far as they were read.
    platforms: BTreeMap<u32, Option<Platform>>,
    media: &'c Arc<dyn Media>,
}

impl<'c, 'a> ImageSums<'c, 'a> {
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

    pub(super) fn of(&mut self, image: &ImageEntry) -> ImageSum {
        let own = image.root.and_then(|root| self.graph.manifest(&root));
        let key = (own, self.graph.roots(image));
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        if self.walk.steps() > STEPS {
            return ImageSum::default();
        }
        let blobs = self.walk.reach(&key.1).blobs;
        let sizes = blobs
            .iter()
            .filter_map(|blob| self.inventory.blobs.get(*blob as usize));
        let bytes = sizes.fold(0u64, |sum, blob| sum.saturating_add(blob.size));
        // Only the image's own manifests count for platforms, not those of attached artifacts.
        let own = self.walk.reach(own.as_slice()).manifests;
        let mut content = ImageSum {
            bytes: Some(bytes),
            ..ImageSum::default()
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

/// Returns the platform of an image manifest: from its index, or else from its config.
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
