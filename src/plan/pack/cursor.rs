//! Where the next blob of a lane goes.

use super::{
    CUT_FRACTION, MAX_EXTENT, MAX_PARTS, PackError, TAR_BLOCK, TAR_TRAILER, advance, padded,
};
use crate::model::{ChunkId, Extent};

/// A place in a lane's series of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    chunk: ChunkId,
    state: ChunkState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    /// Nothing stands in it yet.
    Fresh,
    /// So many bytes are used, trailer not counted; always whole tar blocks.
    Open(u64),
}

/// Places blobs one after the other into a lane's chunks. A clone is a place to go back to.
///
/// Leaving blobs out never leads to a later position: the position behind any blob is the
/// later, the later the position before it, so what a lane was promised is always enough.
#[derive(Debug, Clone)]
pub struct LaneCursor<F> {
    limit: u64,
    marker: F,
    position: Position,
}

impl<F: Fn(ChunkId) -> u64> LaneCursor<F> {
    /// Begins a lane. `marker` is as in [`super::pack`].
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

    /// Places a blob behind the ones before it and says where its pieces stand, in order. A
    /// blob of no bytes has no piece. After an error the cursor stands where it stood.
    ///
    /// # Errors
    ///
    /// When the chunk limit is too small for anything, or for a blob of this size.
    pub fn place(&mut self, size: u64) -> Result<Vec<Extent>, PackError> {
        let before = self.position;
        let placed = self.place_pieces(size);
        if placed.is_err() {
            self.position = before;
        }
        placed
    }

    fn place_pieces(&mut self, size: u64) -> Result<Vec<Extent>, PackError> {
        // One piece is the rule, and a vector's own first room is for four.
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

    /// Bytes that are left for headers and data.
    fn room(&self, used: u64) -> u64 {
        self.limit.saturating_sub(TAR_TRAILER).saturating_sub(used)
    }

    /// The bytes that a fresh chunk's marker takes, when something fits behind it.
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

/// Bytes that a whole blob takes in one chunk: its data, padded, and a header for each piece.
fn cost(size: u64) -> u64 {
    let headers = size.div_ceil(MAX_EXTENT).saturating_mul(TAR_BLOCK);
    padded(size).saturating_add(headers)
}

/// The length of the next piece of `rest` bytes in so much room: all of it, or as much as
/// goes into whole tar blocks, at least one. `None` when the chunk is full.
fn piece(rest: u64, room: u64) -> Option<u64> {
    let data = room.checked_sub(TAR_BLOCK)?;
    let whole_blocks = data - data % TAR_BLOCK;
    let most = whole_blocks.min(MAX_EXTENT);
    (most > 0).then(|| rest.min(most))
}
