//! The plain bytes that a chunk-wise match finder may look at: the chunk, and what came before it.

/// The greatest number of bytes in a chunk: what a stored block can hold.
pub(crate) const CHUNK: usize = 65_535;

/// How many chunks fit behind the history before it is moved to the front.
const CHUNKS_HELD: usize = 4;

/// A buffer of history and one chunk behind it.
///
/// Indices into it begin at `REACH`, the distance at which a candidate is out of reach. So the
/// value 0 in a table of indices means both "none" and "too far", with one comparison.
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

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(REACH);
        self.chunk = REACH;
        self.base = REACH;
    }

    /// Appends to the chunk what still fits into it, and returns the rest.
    pub(crate) fn fill<'a>(&mut self, plain: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = plain.split_at(plain.len().min(CHUNK - self.chunk_bytes().len()));
        self.bytes.extend_from_slice(taken);
        rest
    }

    /// Makes the chunk part of the history and begins the next one.
    ///
    /// Returns by how much all indices went down; those that would go below 0 are out of reach.
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

    /// History and chunk.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the chunk begins.
    pub(crate) fn chunk(&self) -> usize {
        self.chunk
    }

    /// Where the history begins. Bytes below must not be looked at.
    pub(crate) fn base(&self) -> usize {
        self.base
    }

    /// The chunk alone.
    pub(crate) fn chunk_bytes(&self) -> &[u8] {
        &self.bytes[self.chunk..]
    }
}

/// Counts equal bytes from `a` and from `b` on, the first index staying below `limit`.
///
/// `b < a <= limit <= bytes.len()`.
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

/// The four bytes at `at`, little endian; 0 beyond the end.
#[inline]
pub(crate) fn load32(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    found.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The eight bytes at `at`, little endian; 0 beyond the end.
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
