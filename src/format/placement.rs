//! Maps each chunk to its extents, in the order of their offsets.
//!
//! The inventory lists the extents of each blob; reading or writing a chunk from start to end
//! needs the reverse.

use crate::model::{BlobPlace, ChunkId, Digest, Inventory};

/// An extent, as seen from its chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedExtent {
    /// Offset of the data in the tar, in bytes.
    pub offset: u64,
    /// Number of bytes stored.
    pub stored: u64,
    /// Digest of the blob or OCI manifest.
    pub digest: Digest,
    /// Number of the extent within its blob, from 1; `None` if the blob was not cut.
    pub part: Option<u32>,
    /// Offset of the extent in the blob, in bytes.
    pub offset_in_blob: u64,
    /// True for an OCI manifest, false for a blob.
    pub is_manifest: bool,
}

/// All extents of an inventory, by chunk and offset.
#[derive(Debug, Clone)]
pub struct Placement {
    extents: Vec<(ChunkId, PlacedExtent)>,
}

impl Placement {
    /// Sorts the extents of an inventory. Checks nothing: they may be wrong.
    pub fn new(inventory: &Inventory) -> Self {
        let mut extents = Vec::new();
        for blob in &inventory.blobs {
            let BlobPlace::Carried(carried) = &blob.place else {
                continue;
            };
            let cut = carried.extents.len() > 1;
            let mut offset_in_blob = 0u64;
            for (part, extent) in (1u32..).zip(&carried.extents) {
                let placed = PlacedExtent {
                    offset: extent.offset,
                    stored: extent.stored,
                    digest: blob.digest,
                    part: cut.then_some(part),
                    offset_in_blob,
                    is_manifest: false,
                };
                offset_in_blob = offset_in_blob.saturating_add(extent.decoded);
                extents.push((extent.chunk, placed));
            }
        }
        for manifest in &inventory.manifests {
            let placed = PlacedExtent {
                offset: manifest.extent.offset,
                stored: manifest.extent.stored,
                digest: manifest.digest,
                part: None,
                offset_in_blob: 0,
                is_manifest: true,
            };
            extents.push((manifest.extent.chunk, placed));
        }
        extents.sort_by_key(|(chunk, extent)| (*chunk, extent.offset));
        Self { extents }
    }

    /// Returns the extents of one chunk by ascending offset.
    pub fn chunk(&self, number: ChunkId) -> impl ExactSizeIterator<Item = &PlacedExtent> {
        let begin = self.extents.partition_point(|(chunk, _)| *chunk < number);
        let end = self.extents.partition_point(|(chunk, _)| *chunk <= number);
        let here = self.extents.get(begin..end).unwrap_or_default();
        here.iter().map(|(_, extent)| extent)
    }

    /// Returns the extents of one chunk that have bytes between `start` (inclusive) and `end`
    /// (exclusive), by ascending offset. The extents must not overlap, which is certain for an
    /// inventory that was checked.
    pub fn range(
        &self,
        number: ChunkId,
        start: u64,
        end: u64,
    ) -> impl Iterator<Item = &PlacedExtent> {
        let ends = |extent: &PlacedExtent| extent.offset.saturating_add(extent.stored);
        let begin = self
            .extents
            .partition_point(|(chunk, extent)| (*chunk, ends(extent)) <= (number, start));
        let from = self.extents.get(begin..).unwrap_or_default();
        from.iter()
            .take_while(move |(chunk, extent)| *chunk == number && extent.offset < end)
            .map(|(_, extent)| extent)
    }
}
