//! Finds the images that need each blob.

use crate::model::{Graph, Inventory};

/// The images that need a manifest or blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnedBy {
    /// No image.
    NoImage,
    /// Only the image with this index.
    One(usize),
    /// Several images.
    Several,
}

impl OwnedBy {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::NoImage, owner) | (owner, Self::NoImage) => owner,
            (one, other) if one == other => one,
            _ => Self::Several,
        }
    }
}

/// The images that need each blob. Computed from the top down, visiting every row once.
pub(super) struct Owners {
    pub(super) of_blobs: Vec<OwnedBy>,
}

impl Owners {
    pub(super) fn of(inventory: &Inventory, graph: &Graph<'_>) -> Self {
        let mut rows = vec![OwnedBy::NoImage; inventory.manifests.len()];
        let mut of_blobs = vec![OwnedBy::NoImage; inventory.blobs.len()];
        for (index, image) in inventory.images.iter().enumerate() {
            for root in graph.roots(image) {
                meet(&mut rows, root, OwnedBy::One(index));
            }
        }
        // Sorted by the length of the longest chain below, parents come before their children.
        let mut order: Vec<(u32, u32)> = (0u32..)
            .zip(graph.below())
            .map(|(row, below)| (below.levels, row))
            .collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        for (_, row) in order {
            let owner = rows.get(row as usize).copied().unwrap_or(OwnedBy::NoImage);
            for child in graph.children(row) {
                meet(&mut rows, *child, owner);
            }
            for blob in graph.blobs(row) {
                meet(&mut of_blobs, *blob, owner);
            }
        }
        Self { of_blobs }
    }
}

fn meet(owners: &mut [OwnedBy], index: u32, owner: OwnedBy) {
    if let Some(known) = owners.get_mut(index as usize) {
        *known = known.and(owner);
    }
}
