//! Which images a damaged piece of a bundle hits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use crate::format::Placement;
use crate::model::{ChunkId, Digest, Inventory};

/// The inventory, asked the other way round. It is turned round when the first question comes:
/// a bundle without damage costs nothing.
#[derive(Debug)]
pub(super) struct Hits<'a> {
    inventory: &'a Inventory,
    turned: OnceLock<Turned>,
}

/// An inventory, turned round.
#[derive(Debug)]
struct Turned {
    /// Indices of the images that need a blob or manifest.
    images: BTreeMap<Digest, BTreeSet<usize>>,
    placement: Placement,
}

impl<'a> Hits<'a> {
    /// Does nothing yet.
    pub(super) fn new(inventory: &'a Inventory) -> Self {
        Self {
            inventory,
            turned: OnceLock::new(),
        }
    }

    fn turned(&self) -> &Turned {
        self.turned.get_or_init(|| Turned::of(self.inventory))
    }

    /// Images that need a blob or manifest.
    pub(super) fn content(&self, digest: &Digest) -> BTreeSet<String> {
        self.names(self.turned().images.get(digest).into_iter().flatten())
    }

    /// Images with something in a chunk.
    pub(super) fn chunk(&self, chunk: ChunkId) -> BTreeSet<String> {
        self.range(chunk, 0, u64::MAX)
    }

    /// Images with something in the bytes from `start` (inclusive) to `end` (exclusive) of a
    /// chunk's tar.
    pub(super) fn range(&self, chunk: ChunkId, start: u64, end: u64) -> BTreeSet<String> {
        let turned = self.turned();
        let mut found = BTreeSet::new();
        for extent in turned.placement.range(chunk, start, end) {
            found.extend(turned.images.get(&extent.digest).into_iter().flatten());
        }
        self.names(found.into_iter())
    }

    fn names<'b>(&self, indexes: impl Iterator<Item = &'b usize>) -> BTreeSet<String> {
        indexes
            .filter_map(|index| self.inventory.images.get(*index))
            .map(|image| image.requested.to_string())
            .collect()
    }
}

impl Turned {
    /// Follows every image to everything that it needs.
    fn of(inventory: &Inventory) -> Self {
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
        Self {
            images,
            placement: Placement::new(inventory),
        }
    }
}
