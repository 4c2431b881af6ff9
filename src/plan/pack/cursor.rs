//! Computes the places of a lane's blobs, one after the other.

use super::{
    CUT_FRACTION, MAX_EXTENT, MAX_PARTS, PackError, TAR_BLOCK, TAR_TRAILER, advance, padded,
};
use crate::model::{ChunkId, Extent};

/// A position in a lane's series of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    chunk: ChunkId,
    state: ChunkState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    /// The chunk is empty; its marker is not counted yet.
    Fresh,
    /// Number of bytes used, without the trailer; always whole tar blocks.
    Open(u64),
}

/// Computes the places of blobs in a lane's chunks, one after the other. A clone saves the
/// position, so that a caller can return to it.
///
/// The later the position before a blob, the later the position after it. So leaving out blobs
/// never leads to a later position, and the chunk numbers reserved for a lane always suffice.
#[derive(Debug, Clone)]
pub struct LaneCursor<F> {
    limit: u64,
    marker: F,
    position: Position,
}

impl<F: Fn(ChunkId) -> u64> LaneCursor<F> {
    /// Creates a cursor at the start of a lane. `marker` is as in [`super::pack`].
    pub fn new(chunk_limit: u64, first_chunk: ChunkId, marker: F) -> Self {
        Self {
            limit: chunk_limit,
            marker,
            position: Position {
                chunk: first_chunk,
                state: ChunkState::Fresh,
            },
        }
    }

    /// Places a blob after the previous ones and returns its pieces, in order. An empty blob has
    /// no pieces. An error leaves the position unchanged.
    ///
    /// # Errors
    ///
    /// When the chunk limit is too small for any piece, or for a blob of this size.
    pub fn place(&mut self, size: u64) -> Result<Vec<Extent>, PackError> {
        let before = self.position;
        let placed = self.place_pieces(size);
        if placed.is_err() {
            self.position = before;
        }
        placed
    }

    fn place_pieces(&mut self, size: u64) -> Result<Vec<Extent>, PackError> {
        // Most blobs have one piece, and a vector would reserve room for four.
        let mut extents = Vec::with_capacity(usize::from(size > 0));
        let mut rest = size;
        if let ChunkState::Open(used) = self.position.state
            && rest > 0
            && rest <= self.limit / CUT_FRACTION
            && cost(rest) > self.room(used)
        {
            self.next_chunk()?;
        }
        while rest > 0 {
            let used = match self.position.state {
                ChunkState::Open(used) => used,
                ChunkState::Fresh => self.begin_chunk()?,
            };
            let Some(stored) = piece(rest, self.room(used)) else {
                self.next_chunk()?;
                continue;
            };
            if extents.len() >= MAX_PARTS {
                return Err(PackError::TooManyParts { size });
            }
            let offset = used.saturating_add(TAR_BLOCK);
            extents.push(Extent {
                chunk: self.position.chunk,
                offset,
                stored,
                decoded: stored,
            });
            self.position.state = ChunkState::Open(offset.saturating_add(padded(stored)));
            rest -= stored;
        }
        Ok(extents)
    }

    /// Returns the bytes left in the chunk for headers and data.
    fn room(&self, used: u64) -> u64 {
        self.limit.saturating_sub(TAR_TRAILER).saturating_sub(used)
    }

    /// Returns the bytes that a fresh chunk's marker takes. Fails if no piece fits after it.
    fn begin_chunk(&self) -> Result<u64, PackError> {
        let used = padded((self.marker)(self.position.chunk)).saturating_add(TAR_BLOCK);
        if self.room(used) < 2 * TAR_BLOCK {
            return Err(PackError::ChunkTooSmall {
                limit: self.limit,
                needed: used.saturating_add(2 * TAR_BLOCK + TAR_TRAILER),
            });
        }
        Ok(used)
    }

    fn next_chunk(&mut self) -> Result<(), PackError> {
        self.position = Position {
            chunk: advance(self.position.chunk, 1).ok_or(PackError::TooManyChunks)?,
            state: ChunkState::Fresh,
        };
        Ok(())
    }
}

/// Returns the bytes that a whole blob takes in one chunk: its padded data, and a header for each
/// piece.
fn cost(size: u64) -> u64 {
    let headers = size.div_ceil(MAX_EXTENT).saturating_mul(TAR_BLOCK);
    padded(size).saturating_add(headers)
}

/// Returns the length of the next piece, if `rest` bytes of a blob are left and the chunk has
/// `room` bytes: `rest`, or else as much as fits in whole tar blocks, at least one. `None` if the
/// chunk is full.
fn piece(rest: u64, room: u64) -> Option<u64> {
    let data = room.checked_sub(TAR_BLOCK)?;
    let whole_blocks = data - data % TAR_BLOCK;
    let most = whole_blocks.min(MAX_EXTENT);
    (most > 0).then(|| rest.min(most))
}
