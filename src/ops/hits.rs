//! Which images a damaged piece of a bundle hits.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{BlobPlace, ChunkId, Digest, Extent, Inventory};

/// The inventory, asked the other way round.
#[derive(Debug)]
pub(super) struct Hits<'a> {
    inventory: &'a Inventory,
    images: BTreeMap<Digest, BTreeSet<usize>>,
}

impl<'a> Hits<'a> {
    /// Follows every image to everything that it needs.
    pub(super) fn new(inventory: &'a Inventory) -> Self {
        let mut images: BTreeMap<Digest, BTreeSet<usize>> = BTreeMap::new();
        for (index, image) in inventory.images.iter().enumerate() {
            let attached = image.attached.iter().map(|attachment| attachment.root);
            let mut stack: Vec<Digest> = image.root.into_iter().chain(attached).collect();
            while let Some(digest) = stack.pop() {
                if !images.entry(digest).or_default().insert(index) {
                    continue;
                }
                if let Some(manifest) = inventory.manifest(&digest) {
                    stack.extend(&manifest.children);
                    for blob in &manifest.blobs {
                        images.entry(*blob).or_default().insert(index);
                    }
                }
            }
        }
        Self { inventory, images }
    }

    /// Images that need a blob or manifest.
    pub(super) fn content(&self, digest: &Digest) -> BTreeSet<String> {
        self.names(self.images.get(digest).into_iter().flatten())
    }

    /// Images with something in a chunk.
    pub(super) fn chunk(&self, chunk: ChunkId) -> BTreeSet<String> {
        self.range(chunk, 0, u64::MAX)
    }

    /// Images with something in the bytes from `start` (inclusive) to `end` (exclusive) of a
    /// chunk's tar.
    pub(super) fn range(&self, chunk: ChunkId, start: u64, end: u64) -> BTreeSet<String> {
        let touches = |extent: &Extent| {
            extent.chunk == chunk
                && extent.offset < end
                && extent.offset.saturating_add(extent.stored) > start
        };
        let mut found = BTreeSet::new();
        for blob in &self.inventory.blobs {
            if let BlobPlace::Carried(carried) = &blob.place
                && carried.extents.iter().any(touches)
            {
                found.extend(self.images.get(&blob.digest).into_iter().flatten());
            }
        }
        for manifest in &self.inventory.manifests {
            if touches(&manifest.extent) {
                found.extend(self.images.get(&manifest.digest).into_iter().flatten());
            }
        }
        self.names(found.iter())
    }

    fn names<'b>(&self, indexes: impl Iterator<Item = &'b usize>) -> BTreeSet<String> {
        indexes
            .filter_map(|index| self.inventory.images.get(*index))
            .map(|image| image.requested.to_string())
            .collect()
    }
}
