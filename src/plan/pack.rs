//! Packs blobs into lanes and chunks: computes which bytes of which blob are at which place of
//! which file.
//!
//! Uses the lengths of the tar profile (512-byte headers, padding, trailer) but writes no tar.
//! The result depends only on the blobs and the layout, never on timing.

mod cursor;
mod lanes;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;

pub use cursor::LaneCursor;

use crate::model::{ChunkId, Digest, Extent};

/// Length of a tar block in bytes: headers have this length, and data is padded to a multiple of
/// it.
pub const TAR_BLOCK: u64 = 512;

/// Zero bytes at the end of a tar.
pub const TAR_TRAILER: u64 = 2 * TAR_BLOCK;

/// Upper limit of an extent in bytes: the greatest multiple of a tar block below the 8 GiB that a
/// ustar header can express (POSIX.1-2024, pax, "ustar Interchange Format").
pub const MAX_EXTENT: u64 = (8 << 30) - TAR_BLOCK;

/// Upper limit of the pieces of a blob: their names have four digits.
pub const MAX_PARTS: usize = 9999;

/// A blob that does not fit into the rest of a chunk is cut if it is larger than this fraction of
/// the chunk limit. A smaller blob goes into the next chunk whole.
const CUT_FRACTION: u64 = 8;

/// The error for blobs that cannot be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A chunk of this size has no room for the smallest piece.
    #[error("A chunk size of {limit} bytes is too small: the minimum is {needed} bytes")]
    ChunkTooSmall {
        /// The chunk limit in bytes.
        limit: u64,
        /// Length in bytes of the smallest chunk that has room for a piece.
        needed: u64,
    },
    /// The blobs need more chunks than there are chunk numbers.
    #[error(
        "The bundle would need more than {} chunks: choose larger chunks",
        ChunkId::MAX
    )]
    TooManyChunks,
    /// A blob needs more pieces than there are names for pieces.
    #[error(
        "A blob of {size} bytes would be cut into more than {MAX_PARTS} pieces, choose larger chunks"
    )]
    TooManyParts {
        /// The blob's size in bytes.
        size: u64,
    },
}

/// Options for the layout of blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Upper limit of a chunk's length, in bytes.
    pub chunk_limit: u64,
    /// Number of lanes; depends on the amount of data if absent.
    pub lanes: Option<NonZeroUsize>,
    /// Number of the first chunk.
    pub first_chunk: ChunkId,
}

/// A blob to pack. Each digest must be given once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackBlob {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// Blobs that one writer writes one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanePlan {
    /// Number of the lane's first chunk, if the lane has any chunk.
    pub first_chunk: ChunkId,
    /// Number of chunk numbers reserved for the lane, from the first one on. A lane that leaves
    /// out blobs while writing never needs more.
    pub chunks: u32,
    /// Indexes into the list of blobs, ascending.
    pub blobs: Vec<usize>,
}

/// A chunk and its exact length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedChunk {
    /// Number of the chunk.
    pub number: ChunkId,
    /// Length of the tar file in bytes, trailer included.
    pub length: u64,
}

/// The result of packing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    /// The lanes; none if there are no blobs.
    pub lanes: Vec<LanePlan>,
    /// The pieces of each blob, in the order of the list of blobs. An empty blob has none.
    pub extents: Vec<Vec<Extent>>,
    /// All chunks, by ascending number, without gaps.
    pub chunks: Vec<PlannedChunk>,
    /// Length of all chunks together, in bytes.
    pub total: u64,
}

/// Packs blobs, given in the order of the images that need them.
///
/// `marker` returns the length in bytes of the text in a chunk's first entry, padded to
/// [`TAR_BLOCK`]; the entry's header is added here.
///
/// # Errors
///
/// When the chunk limit is too small for any piece, or for these blobs.
pub fn pack(
    blobs: &[PackBlob],
    layout: &Layout,
    marker: impl Fn(ChunkId) -> u64,
) -> Result<Packing, PackError> {
    let mut packing = Packing {
        lanes: Vec::new(),
        extents: vec![Vec::new(); blobs.len()],
        chunks: Vec::new(),
        total: 0,
    };
    let mut first_chunk = Some(layout.first_chunk);
    for members in lanes::assign(blobs, layout.lanes) {
        let lane_first = first_chunk.ok_or(PackError::TooManyChunks)?;
        let mut cursor = LaneCursor::new(layout.chunk_limit, lane_first, &marker);
        let chunks_before = packing.chunks.len();
        for &index in &members {
            let (Some(blob), Some(slot)) = (blobs.get(index), packing.extents.get_mut(index))
            else {
                continue;
            };
            *slot = cursor.place(blob.size)?;
            note_chunks(&mut packing.chunks, slot);
        }
        let chunks = packing.chunks.len().saturating_sub(chunks_before);
        let chunks = u32::try_from(chunks).map_err(|_| PackError::TooManyChunks)?;
        packing.lanes.push(LanePlan {
            first_chunk: lane_first,
            chunks,
            blobs: members,
        });
        first_chunk = advance(lane_first, chunks);
    }
    packing.total = packing.chunks.iter().map(|chunk| chunk.length).sum();
    Ok(packing)
}

/// Updates the chunk table with the pieces of a blob.
fn note_chunks(chunks: &mut Vec<PlannedChunk>, extents: &[Extent]) {
    for extent in extents {
        let length = chunk_length(extent);
        match chunks.last_mut() {
            Some(last) if last.number == extent.chunk => last.length = length,
            _ => chunks.push(PlannedChunk {
                number: extent.chunk,
                length,
            }),
        }
    }
}

/// Returns the length in bytes of a chunk whose last piece is `last`.
pub fn chunk_length(last: &Extent) -> u64 {
    padded(last.offset.saturating_add(last.stored)).saturating_add(TAR_TRAILER)
}

/// Returns the chunk number that is greater by `count`; `None` above the highest number.
fn advance(chunk: ChunkId, count: u32) -> Option<ChunkId> {
    let number = chunk.number().checked_add(count)?;
    ChunkId::try_from(number).ok()
}

/// Rounds up to whole tar blocks. Saturates at the highest multiple of a tar block.
fn padded(length: u64) -> u64 {
    length
        .checked_next_multiple_of(TAR_BLOCK)
        .unwrap_or(u64::MAX - (TAR_BLOCK - 1))
}
