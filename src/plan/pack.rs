//! Packs blobs into lanes and chunks: which bytes of which blob stand where in which file.
//!
//! Knows the tar profile's arithmetic (512-byte headers, padding, trailer) and no tar. The
//! result depends on the blobs and the layout alone, never on timing.

mod cursor;
mod lanes;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;

pub use cursor::LaneCursor;

use crate::model::{ChunkId, Digest, Extent};

/// Unit of a tar file: headers have this length, data is padded to it. In bytes.
pub const TAR_BLOCK: u64 = 512;

/// Zero bytes at a tar's end.
pub const TAR_TRAILER: u64 = 2 * TAR_BLOCK;

/// The longest extent, in bytes: the greatest multiple of a tar block below the 8 GiB that a
/// ustar header can say (POSIX.1-2024, pax, "ustar Interchange Format").
pub const MAX_EXTENT: u64 = (8 << 30) - TAR_BLOCK;

/// The most pieces that a blob may be cut into: their names have four digits.
pub const MAX_PARTS: usize = 9999;

/// A blob is cut at a chunk's end when it is larger than this fraction of the chunk limit;
/// smaller ones go to the next chunk whole.
const CUT_FRACTION: u64 = 8;

/// Why blobs cannot be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// Not even the smallest piece fits in a chunk.
    #[error("A chunk of {limit} bytes is too small: its marker and one piece need {needed} bytes")]
    ChunkTooSmall {
        /// The chunk limit in bytes.
        limit: u64,
        /// The length of the smallest chunk that holds something.
        needed: u64,
    },
    /// More chunks than there are numbers.
    #[error(
        "The blobs need more chunks than there are numbers up to {}, choose larger chunks",
        ChunkId::MAX
    )]
    TooManyChunks,
    /// A blob in more pieces than names can tell apart.
    #[error(
        "A blob of {size} bytes would be cut into more than {MAX_PARTS} pieces, choose larger chunks"
    )]
    TooManyParts {
        /// The blob's size in bytes.
        size: u64,
    },
}

/// How blobs are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// No chunk is longer than this many bytes.
    pub chunk_limit: u64,
    /// Number of lanes; follows from the amount of data when absent.
    pub lanes: Option<NonZeroUsize>,
    /// The number of the first chunk.
    pub first_chunk: ChunkId,
}

/// A blob to pack. Each digest is given once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackBlob {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// Blobs that are written one after the other, by one writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanePlan {
    /// The number of its first chunk, when it has one.
    pub first_chunk: ChunkId,
    /// How many chunk numbers are its own, from the first one on. A lane that leaves out
    /// blobs on the way never needs more.
    pub chunks: u32,
    /// Indices into the list of blobs, ascending.
    pub blobs: Vec<usize>,
}

/// A chunk and its exact length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedChunk {
    /// Its number.
    pub number: ChunkId,
    /// Length of the tar file in bytes, trailer included.
    pub length: u64,
}

/// Where everything goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    /// The lanes; none when there are no blobs.
    pub lanes: Vec<LanePlan>,
    /// The pieces of each blob, in the order of the list of blobs. A blob of no bytes has none.
    pub extents: Vec<Vec<Extent>>,
    /// All chunks, by ascending number, without gaps.
    pub chunks: Vec<PlannedChunk>,
    /// Length of all chunks together, in bytes.
    pub total: u64,
}

/// Packs blobs, given in the order of the images that need them.
///
/// `marker` says how many bytes the text of a chunk's first entry takes, padded to
/// [`TAR_BLOCK`]; its header is counted here.
///
/// # Errors
///
/// When the chunk limit is too small for anything, or for these blobs.
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

/// Brings the chunk table up to the end of a blob's pieces.
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

/// Length in bytes of a chunk whose last piece this is.
pub fn chunk_length(last: &Extent) -> u64 {
    padded(last.offset.saturating_add(last.stored)).saturating_add(TAR_TRAILER)
}

/// The chunk number `count` steps further on, while there are numbers.
fn advance(chunk: ChunkId, count: u32) -> Option<ChunkId> {
    let number = chunk.number().checked_add(count)?;
    ChunkId::try_from(number).ok()
}

/// Rounds up to whole tar blocks. Saturates at the last whole block.
fn padded(length: u64) -> u64 {
    length
        .checked_next_multiple_of(TAR_BLOCK)
        .unwrap_or(u64::MAX - (TAR_BLOCK - 1))
}
