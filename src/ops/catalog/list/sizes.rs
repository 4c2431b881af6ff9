//! Computes sizes of a catalog's images in a bundle.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{CatalogEntry, Digest, Inventory, Reference};

/// Sizes of a catalog's images in a bundle.
pub(super) struct Sizes<'a> {
    inventory: &'a Inventory,
    /// Digests of top manifests, by the reference of the image as the catalog writes it.
    roots: BTreeMap<&'a str, Digest>,
}

impl<'a> Sizes<'a> {
    pub(super) fn new(inventory: &'a Inventory, entry: &'a CatalogEntry) -> Self {
        let root = |image: &Reference| inventory.image(image)?.root;
        let roots = entry.members.iter();
        let roots =
            roots.filter_map(|member| Some((member.written.as_str(), root(&member.image)?)));
        Self {
            inventory,
            roots: roots.collect(),
        }
    }

    /// Returns the bytes of all blobs of the given images, each blob counted once.
    pub(super) fn of<'b>(&self, images: impl Iterator<Item = &'b str>) -> u64 {
        let roots = images.filter_map(|image| self.roots.get(image).copied());
        let manifests = self.inventory.reach(roots);
        let blobs: BTreeSet<&Digest> = manifests.iter().flat_map(|row| &row.blobs).collect();
        let sizes = blobs.iter().filter_map(|blob| self.inventory.blob(blob));
        sizes.fold(0, |sum, blob| sum.saturating_add(blob.size))
    }
}
