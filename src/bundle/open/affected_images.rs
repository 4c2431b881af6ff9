//! Finds the images that a damaged part of a bundle belongs to.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bundle::finding::HitImages;
use crate::format::Placement;
use crate::model::{ChunkId, Digest, Graph, Inventory, Parents};

/// Limit on rows visited and images named, for all queries together. Beyond it, the bundle is so
/// damaged that more names would explain nothing.
const ALLOWANCE: usize = 5_000_000;

/// Reverse index of an inventory: from content to images. Built at the first query, so that a
/// bundle without damage costs nothing.
#[derive(Debug)]
pub(crate) struct AffectedImages<'a> {
    inventory: &'a Inventory,
    index: OnceLock<ReverseIndex<'a>>,
    left: AtomicUsize,
}

/// The reverse index.
#[derive(Debug)]
struct ReverseIndex<'a> {
    graph: Graph<'a>,
    parents: Parents,
    /// Pairs of a manifest's index and the index of an image that has it as root or attachment,
    /// sorted.
    images: Vec<(u32, usize)>,
    placement: Placement,
}

impl<'a> AffectedImages<'a> {
    /// Creates the index without building it.
    pub(crate) fn new(inventory: &'a Inventory) -> Self {
        Self {
            inventory,
            index: OnceLock::new(),
            left: AtomicUsize::new(ALLOWANCE),
        }
    }

    fn index(&self) -> &ReverseIndex<'a> {
        self.index.get_or_init(|| ReverseIndex::of(self.inventory))
    }

    /// Returns the images that need a blob or manifest.
    pub(crate) fn content(&self, digest: &Digest) -> HitImages {
        self.above([*digest])
    }

    /// Returns the images with content in a chunk.
    pub(crate) fn chunk(&self, chunk: ChunkId) -> HitImages {
        self.range(chunk, 0, u64::MAX)
    }

    /// Returns the images with content in the bytes from `start` (inclusive) to `end` (exclusive)
    /// of a chunk's tar.
    pub(crate) fn range(&self, chunk: ChunkId, start: u64, end: u64) -> HitImages {
        let extents = self.index().placement.range(chunk, start, end);
        self.above(extents.map(|extent| extent.digest))
    }

    /// Follows parents from content up to the images that reach it, visiting each row once.
    fn above(&self, content: impl IntoIterator<Item = Digest>) -> HitImages {
        let index = self.index();
        let (mut seen, mut waiting) = (BTreeSet::new(), Vec::new());
        let mut hit: Vec<usize> = Vec::new();
        'content: for digest in content {
            waiting.extend(index.graph.manifest(&digest));
            let blob = index.graph.blob(&digest);
            waiting.extend(blob.iter().flat_map(|blob| index.parents.of_blob(*blob)));
            while let Some(row) = waiting.pop() {
                if !seen.insert(row) {
                    continue;
                }
                let parents = index.parents.of_manifest(row);
                let images = index.images_of(row);
                if !self.afford(1 + parents.len() + images.len()) {
                    break 'content;
                }
                waiting.extend(parents);
                hit.extend(images.iter().map(|(_, image)| *image));
            }
        }
        hit.sort_unstable();
        hit.dedup();
        let more = hit.len().saturating_sub(HitImages::NAMED);
        // The inventory lists images by name, so the lowest indexes have the first names.
        let named = hit.iter().take(HitImages::NAMED);
        let named = named.filter_map(|image| self.inventory.images.get(*image));
        HitImages::new(named.map(|image| image.requested.to_string()), more)
    }

    /// Takes steps from the allowance; returns false if too few were left.
    fn afford(&self, steps: usize) -> bool {
        let take = |left: usize| left.checked_sub(steps);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok()
    }
}

impl<'a> ReverseIndex<'a> {
    fn of(inventory: &'a Inventory) -> Self {
        let graph = Graph::new(inventory);
        let mut images: Vec<(u32, usize)> = Vec::new();
        for (index, image) in inventory.images.iter().enumerate() {
            images.extend(graph.roots(image).into_iter().map(|root| (root, index)));
        }
        images.sort_unstable();
        images.dedup();
        Self {
            parents: graph.parents(),
            graph,
            images,
            placement: Placement::new(inventory),
        }
    }

    fn images_of(&self, row: u32) -> &[(u32, usize)] {
        let begin = self.images.partition_point(|(root, _)| *root < row);
        let end = self.images.partition_point(|(root, _)| *root <= row);
        self.images.get(begin..end).unwrap_or_default()
    }
}
