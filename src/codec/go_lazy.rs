//! GO-LAZY: levels 4 to 9 of Go's compress/gzip up to 1.26 (docs/encoders.md, section 5.3).
//!
//! Positions are 32-bit numbers, counted from some point before the window. When they grow large,
//! they and the tables are reduced by the same amount, which does not change the output.

use super::bits::BitWriter;
use super::deflate::Deflate;
use super::go_block::GoWriter;
use super::token::{MAX_MATCH, Token};
use super::window::{common, load32};

/// Largest distance of a match.
const REACH: usize = 32_768;
/// Size of the window, in bytes. It slides by half of its size.
const WINDOW: usize = 2 * REACH;
/// Number of bytes ahead below which the window is refilled.
const LOOKAHEAD: usize = MAX_MATCH + 4;
/// Number of tokens after which a block ends.
const BLOCK_TOKENS: usize = 16_384;
/// Largest distance of a match of four bytes.
const FAR: usize = 4096;
/// The length that means "no match".
const NO_MATCH: usize = 3;
const SLOTS: usize = 1 << 17;
/// Positions are reduced when the base reaches this value.
const HIGH: usize = 1 << 31;

/// The parameters of a level.
#[derive(Debug, Clone, Copy)]
struct Effort {
    lazy: usize,
    nice: usize,
    chain: usize,
}

/// A level of Go's compressor with lazy matching, 4 to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LazyLevel(u8);

impl LazyLevel {
    /// Returns the level if it is one of 4 to 9.
    pub fn new(level: u8) -> Option<Self> {
        (4..=9).contains(&level).then_some(Self(level))
    }

    /// Returns the number of the level.
    pub fn get(self) -> u8 {
        self.0
    }

    fn effort(self) -> Effort {
        let (lazy, nice, chain) = match self.0 {
            4 => (4, 16, 16),
            5 => (16, 32, 32),
            6 => (16, 128, 128),
            7 => (32, 128, 256),
            8 => (128, 258, 1024),
            _ => (258, 258, 4096),
        };
        Effort { lazy, nice, chain }
    }
}

#[inline]
fn hash(word_le: u32) -> usize {
    (word_le.swap_bytes().wrapping_mul(0x1e35_a7bd) >> 15) as usize
}

/// The encoder of levels 4 to 9.
#[derive(Debug)]
pub(crate) struct GoLazy {
    effort: Effort,
    /// Bytes of the window. A position is an index into them plus `base`.
    bytes: Vec<u8>,
    base: usize,
    high: usize,
    /// The newest position for each hash; 0 if there is none.
    head: Box<[u32; SLOTS]>,
    /// For each position, modulo the reach: the position that it replaced in `head`.
    previous: Box<[u32; REACH]>,
    /// The next index to search.
    i: usize,
    /// The match found at the previous index.
    found: Found,
    /// True if the byte at the previous index was not emitted yet.
    pending: bool,
    tokens: Vec<Token>,
    /// Start of the block; `None` if the window slid past it.
    block: Option<usize>,
    writer: GoWriter,
    bits: BitWriter,
}

#[derive(Debug, Clone, Copy)]
struct Found {
    len: usize,
    distance: usize,
}

impl GoLazy {
    pub(crate) fn new(level: LazyLevel) -> Self {
        Self {
            effort: level.effort(),
            bytes: Vec::with_capacity(WINDOW),
            base: 1,
            high: HIGH,
            head: Box::new([0; SLOTS]),
            previous: Box::new([0; REACH]),
            i: 0,
            found: Found {
                len: NO_MATCH,
                distance: 0,
            },
            pending: false,
            tokens: Vec::with_capacity(BLOCK_TOKENS),
            block: Some(0),
            writer: GoWriter::new(),
            bits: BitWriter::default(),
        }
    }

    /// Drops the first half of the window.
    fn slide(&mut self) {
        self.bytes.copy_within(REACH.., 0);
        self.bytes.truncate(self.bytes.len() - REACH);
        self.i -= REACH;
        self.block = self.block.and_then(|block| block.checked_sub(REACH));
        self.base += REACH;
        if self.base >= self.high {
            // A multiple of the reach, so that the slots in `previous` stay the same.
            let by = (self.base - 1) / REACH * REACH;
            self.base -= by;
            let by = by as u32;
            for slot in self.head.iter_mut().chain(self.previous.iter_mut()) {
                *slot = slot.saturating_sub(by);
            }
        }
    }

    /// Enters index `at` into the tables and returns the position that it replaced.
    #[inline]
    fn insert(&mut self, at: usize) -> usize {
        let position = at + self.base;
        let head = &mut self.head[hash(load32(&self.bytes, at))];
        let old = std::mem::replace(head, position as u32);
        self.previous[position % REACH] = old;
        old as usize
    }

    /// Continues until fewer than `ahead` bytes are left.
    fn advance(&mut self, ahead: usize) {
        while self.bytes.len() - self.i >= ahead {
            let before = self.found;
            self.found = self.find(before.len);
            if before.len > NO_MATCH && self.found.len <= before.len {
                self.tokens
                    .push(Token::matched(before.len, before.distance));
                let behind = self.i + before.len - 1;
                let last = self.bytes.len().saturating_sub(3);
                for at in self.i + 1..(behind).min(last) {
                    self.insert(at);
                }
                self.i = behind;
                self.pending = false;
                self.found.len = NO_MATCH;
            } else {
                self.emit_pending();
                self.cut_full_block();
                self.pending = true;
                self.i += 1;
                continue;
            }
            self.cut_full_block();
        }
    }

    fn emit_pending(&mut self) {
        if self.pending {
            self.tokens.push(Token::literal(self.bytes[self.i - 1]));
        }
    }

    fn cut_full_block(&mut self) {
        if self.tokens.len() == BLOCK_TOKENS {
            self.write_block();
        }
    }

    fn write_block(&mut self) {
        let plain = self.block.map(|block| &self.bytes[block..self.i]);
        self.writer.general(&self.tokens, plain, &mut self.bits);
        self.tokens.clear();
        self.block = Some(self.i);
    }

    /// Enters the current index into the tables, and searches there for a match that is better
    /// than the previous one of `before` bytes (rules 2 to 4).
    #[inline]
    fn find(&mut self, before: usize) -> Found {
        let mut found = Found {
            len: NO_MATCH,
            distance: 0,
        };
        let i = self.i;
        let left = self.bytes.len() - i;
        if left <= 3 {
            return found;
        }
        let mut candidate = self.insert(i);
        let position = i + self.base;
        // Position 0 means none, and is always below the base.
        let lowest = self.base.max(position.saturating_sub(REACH));
        if candidate < lowest || left <= before || before >= self.effort.lazy {
            return found;
        }
        let bytes = self.bytes.as_slice();
        let longest = left.min(MAX_MATCH);
        let good_enough = longest.min(self.effort.nice);
        for _ in 0..self.effort.chain {
            let t = candidate - self.base;
            if bytes[t + found.len] == bytes[i + found.len] {
                let len = common(bytes, i, t, i + longest);
                if len > found.len && (len > 4 || i - t <= FAR) {
                    found = Found {
                        len,
                        distance: i - t,
                    };
                    if len >= good_enough {
                        break;
                    }
                }
            }
            if position - candidate == REACH {
                break;
            }
            candidate = self.previous[candidate % REACH] as usize;
            if candidate < lowest {
                break;
            }
        }
        found
    }
}

impl Deflate for GoLazy {
    fn write(&mut self, mut plain: &[u8], out: &mut Vec<u8>) {
        while !plain.is_empty() {
            // A full window slides only once more bytes are known to follow.
            if self.bytes.len() == WINDOW {
                self.advance(LOOKAHEAD);
                self.slide();
            }
            let taken = plain.len().min(WINDOW - self.bytes.len());
            let (now, later) = plain.split_at(taken);
            self.bytes.extend_from_slice(now);
            plain = later;
        }
        self.bits.drain_into(out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.advance(1);
        self.emit_pending();
        if !self.tokens.is_empty() {
            self.write_block();
        }
        self.writer.finish(&mut self.bits);
        self.bits.drain_into(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_has_the_value_of_the_specification() {
        assert_eq!(hash(u32::from_le_bytes(*b"abcd")), 49_243);
    }

    #[test]
    fn lowering_the_positions_changes_nothing() {
        let mut plain = Vec::new();
        let mut state = 1u32;
        while plain.len() < 400_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let back = 1 + (state >> 8) as usize % (plain.len() + 1).min(40_000);
            let copied = plain.len().checked_sub(back);
            plain.push((state >> 24) as u8);
            if let Some(from) = copied {
                let len = (from + (state >> 3) as usize % 20).min(plain.len());
                plain.extend_from_within(from..len);
            }
        }
        let lowered = |high| {
            let mut encoder = GoLazy::new(LazyLevel(6));
            encoder.high = high;
            let mut out = Vec::new();
            encoder.write(&plain, &mut out);
            encoder.finish(&mut out);
            (out, encoder.base)
        };
        let (expected, base) = lowered(HIGH);
        assert!(base > 3 * REACH);
        let (found, base) = lowered(3 * REACH);
        assert!(base <= 3 * REACH);
        assert!(found == expected);
    }
}
