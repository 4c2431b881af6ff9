//! Which images need each blob.

use crate::model::{Graph, Inventory};

/// Which images need something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// None.
    Nobody,
    /// The image with this index alone.
    One(usize),
    /// More than one.
    Several,
}

impl Owner {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nobody, owner) | (owner, Self::Nobody) => owner,
            (one, other) if one == other => one,
            _ => Self::Several,
        }
    }
}

/// Which images need each blob: from the top down, every row once.
pub(super) struct Owners {
    pub(super) of_blobs: Vec<Owner>,
}

impl Owners {
    pub(super) fn of(inventory: &Inventory, graph: &Graph<'_>) -> Self {
        let mut rows = vec![Owner::Nobody; inventory.manifests.len()];
        let mut of_blobs = vec![Owner::Nobody; inventory.blobs.len()];
        for (index, image) in inventory.images.iter().enumerate() {
            for root in graph.roots(image) {
                meet(&mut rows, root, Owner::One(index));
            }
        }
        // Parents come before their children when the longest chains come first.
        let mut order: Vec<(u32, u32)> = (0u32..)
            .zip(graph.below())
            .map(|(row, below)| (below.levels, row))
            .collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        for (_, row) in order {
            let owner = rows.get(row as usize).copied().unwrap_or(Owner::Nobody);
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

fn meet(owners: &mut [Owner], index: u32, owner: Owner) {
    if let Some(known) = owners.get_mut(index as usize) {
        *known = known.and(owner);
    }
}
