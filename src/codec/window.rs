//! The plain bytes available to a match finder that works in chunks: history and chunk.

/// Largest number of bytes in a chunk: the most that a stored block can hold.
pub(crate) const CHUNK: usize = 65_535;

/// Number of chunks that fit after the history before it is moved to the front.
const CHUNKS_HELD: usize = 4;

/// A buffer with history, followed by one chunk.
///
/// Indices start at `REACH`, the smallest distance that is too large for a match. So the value 0
/// in a table of indices means both "none" and "too far", and one comparison checks both.
#[derive(Debug)]
pub(crate) struct Window<const REACH: usize> {
    bytes: Vec<u8>,
    chunk: usize,
    base: usize,
}

impl<const REACH: usize> Window<REACH> {
    pub(crate) fn new() -> Self {
        let mut bytes = Vec::with_capacity(REACH + CHUNKS_HELD * CHUNK);
        bytes.resize(REACH, 0);
        Self {
            bytes,
            chunk: REACH,
            base: REACH,
        }
    }

    /// Forgets history and chunk.
    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(REACH);
        self.chunk = REACH;
        self.base = REACH;
    }

    /// Appends as many bytes to the chunk as still fit, and returns the rest.
    pub(crate) fn fill<'a>(&mut self, plain: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = plain.split_at(plain.len().min(CHUNK - self.chunk_bytes().len()));
        self.bytes.extend_from_slice(taken);
        rest
    }

    /// Makes the chunk part of the history and starts the next one.
    ///
    /// Returns the amount by which all indices were reduced. Indices that would drop below 0 are
    /// too far back for a match.
    pub(crate) fn next_chunk(&mut self) -> usize {
        self.chunk = self.bytes.len();
        if self.chunk <= REACH + (CHUNKS_HELD - 1) * CHUNK {
            return 0;
        }
        let shift = self.chunk - REACH;
        self.bytes.copy_within(shift.., 0);
        self.bytes.truncate(REACH);
        self.chunk = REACH;
        self.base = self.base.saturating_sub(shift);
        shift
    }

    /// Returns history and chunk. Bytes before [`Self::base`] are not history.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the index at which the chunk starts.
    pub(crate) fn chunk(&self) -> usize {
        self.chunk
    }

    /// Returns the index at which the history starts. Bytes before it must not be used.
    pub(crate) fn base(&self) -> usize {
        self.base
    }

    /// Returns the bytes of the chunk.
    pub(crate) fn chunk_bytes(&self) -> &[u8] {
        &self.bytes[self.chunk..]
    }
}

/// Returns the number of equal bytes from `a` on and from `b` on. The index from `a` stays below
/// `limit`.
///
/// Requires `b < a <= limit <= bytes.len()`.
#[inline]
pub(crate) fn common(bytes: &[u8], a: usize, b: usize, limit: usize) -> usize {
    let ahead = &bytes[a..limit];
    let behind = &bytes[b..b + ahead.len()];
    let (ahead_words, ahead_rest) = ahead.as_chunks::<8>();
    let (behind_words, behind_rest) = behind.as_chunks::<8>();
    let mut equal = 0;
    for (x, y) in ahead_words.iter().zip(behind_words) {
        let differing = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differing != 0 {
            return equal + (differing.trailing_zeros() / 8) as usize;
        }
        equal += 8;
    }
    let rest = ahead_rest.iter().zip(behind_rest);
    equal + rest.take_while(|(x, y)| x == y).count()
}

/// Returns the four bytes at `at`, little endian; 0 if they are not all there.
#[inline]
pub(crate) fn load32(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    found.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Returns the eight bytes at `at`, little endian; 0 if they are not all there.
#[inline]
pub(crate) fn load64(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
    found.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_stops_at_the_limit_and_at_the_first_difference() {
        let bytes = b"abcdefghijXabcdefghijY";
        assert_eq!(common(bytes, 11, 0, bytes.len()), 10);
        assert_eq!(common(bytes, 11, 0, 14), 3);
        assert_eq!(common(&[7; 40], 1, 0, 40), 39);
    }

    #[test]
    fn moving_the_history_keeps_what_is_within_reach() {
        let mut window = Window::<100>::new();
        let mut shifted = 0;
        for round in 0..9u8 {
            let chunk = vec![round; CHUNK];
            assert!(window.fill(&chunk).is_empty());
            assert_eq!(window.fill(b"x"), b"x");
            assert_eq!(window.chunk_bytes(), chunk);
            shifted += window.next_chunk();
            let before = &window.bytes()[window.chunk() - 100..window.chunk()];
            assert!(before.iter().all(|byte| *byte == round));
        }
        assert_eq!(window.chunk() + shifted, 100 + 9 * CHUNK);
        assert_eq!(window.base(), 0);
    }
}
