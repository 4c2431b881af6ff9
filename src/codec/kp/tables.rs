//! The two hash tables of both match finders (docs/encoders.md, sections 5.0 and 5.1).

use crate::codec::window::{load32, load64};

const SLOTS: usize = 1 << 15;

/// The last positions of four-byte and seven-byte sequences. A position of 0 means none.
#[derive(Debug)]
pub(super) struct Tables {
    short: Box<[u32; SLOTS]>,
    /// The newest position and the one before it.
    long: Box<[[u32; 2]; SLOTS]>,
}

#[inline]
fn hash4(word: u32) -> usize {
    (word.wrapping_mul(2_654_435_761) >> 17) as usize
}

#[inline]
fn hash7(word: u64) -> usize {
    ((word << 8).wrapping_mul(58_295_818_150_454_627) >> 49) as usize
}

impl Tables {
    pub(super) fn new() -> Self {
        Self {
            short: Box::new([0; SLOTS]),
            long: Box::new([[0; 2]; SLOTS]),
        }
    }

    pub(super) fn clear(&mut self) {
        self.short.fill(0);
        self.long.fill([0; 2]);
    }

    /// Reduces all positions. Those that would drop below 0 are too far back for a match and
    /// become none.
    pub(super) fn shift(&mut self, by: usize) {
        let by = u32::try_from(by).unwrap_or(u32::MAX);
        for slot in self.short.iter_mut().chain(self.long.as_flattened_mut()) {
            *slot = slot.saturating_sub(by);
        }
    }

    /// Enters `at`, the position of the eight bytes `word`, into the short table. Returns the old
    /// entry.
    #[inline]
    pub(super) fn put_short(&mut self, word: u64, at: usize) -> usize {
        let slot = &mut self.short[hash4(word as u32)];
        std::mem::replace(slot, at as u32) as usize
    }

    /// Enters `at` into the long table. Returns the newest old entry and the one before it.
    #[inline]
    pub(super) fn put_long(&mut self, word: u64, at: usize) -> (usize, usize) {
        let slot = &mut self.long[hash7(word)];
        let [newest, older] = *slot;
        *slot = [at as u32, newest];
        (newest as usize, older as usize)
    }

    /// Returns the entries of the long table for `word`.
    #[inline]
    pub(super) fn long(&self, word: u64) -> (usize, usize) {
        let [newest, older] = self.long[hash7(word)];
        (newest as usize, older as usize)
    }
}

/// Returns true if a match at `s` may refer to `t` (which may be none) and four bytes are equal.
#[inline]
pub(super) fn usable(bytes: &[u8], word: u64, s: usize, t: usize) -> bool {
    near(s, t) && load32(bytes, t) == word as u32
}

/// Returns true if `t` is a position (not none) and close enough to `s` for a match.
#[inline]
pub(super) fn near(s: usize, t: usize) -> bool {
    s.wrapping_sub(t) < super::REACH
}

/// Returns the eight bytes at `at`.
#[inline]
pub(super) fn word(bytes: &[u8], at: usize) -> u64 {
    load64(bytes, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_have_the_values_of_the_specification() {
        assert_eq!(hash4(u32::from_le_bytes(*b"abcd")), 12_678);
        assert_eq!(hash4(u32::from_le_bytes([0, 1, 2, 3])), 7_917);
        assert_eq!(hash7(u64::from_le_bytes(*b"abcdefgX")), 22_877);
        assert_eq!(hash7(u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 99])), 23_452);
    }

    #[test]
    fn the_long_table_keeps_two_positions() {
        let mut tables = Tables::new();
        let word = u64::from_le_bytes(*b"abcdefgh");
        tables.put_long(word, 50_000);
        tables.put_long(word, 40_000);
        assert_eq!(tables.long(word), (40_000, 50_000));
        tables.shift(45_000);
        assert_eq!(tables.long(word), (0, 5_000));
    }
}
