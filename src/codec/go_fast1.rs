//! GO-FAST1: level 1 of Go's compress/gzip up to 1.26 (docs/encoders.md, sections 4.2 and 5.4).

use super::bits::BitWriter;
use super::deflate::Deflate;
use super::go_block::GoWriter;
use super::token::{MAX_MATCH, Token};
use super::window::{CHUNK, Window, common, load32};

/// The smallest distance that is too large for a match: the largest allowed is 32 768.
const REACH: usize = 32_769;

/// Number of bytes at the end of a chunk in which no search starts.
const MARGIN: usize = 15;

const SLOTS: usize = 1 << 14;

#[inline]
fn hash(word: u32) -> usize {
    (word.wrapping_mul(0x1e35_a7bd) >> 18) as usize
}

/// The encoder of level 1.
#[derive(Debug)]
pub(crate) struct GoFast1 {
    window: Window<REACH>,
    table: Box<[u32; SLOTS]>,
    tokens: Vec<Token>,
    writer: GoWriter,
    bits: BitWriter,
}

impl GoFast1 {
    pub(crate) fn new() -> Self {
        Self {
            window: Window::new(),
            table: Box::new([0; SLOTS]),
            tokens: Vec::with_capacity(CHUNK),
            writer: GoWriter::new(),
            bits: BitWriter::default(),
        }
    }

    fn next_chunk(&mut self) {
        let shift = self.window.next_chunk();
        if shift > 0 {
            let shift = u32::try_from(shift).unwrap_or(u32::MAX);
            for slot in self.table.iter_mut() {
                *slot = slot.saturating_sub(shift);
            }
        }
    }

    fn write_chunk(&mut self) {
        let plain = self.window.chunk_bytes();
        let len = plain.len();
        if len <= 16 {
            self.bits.put_stored(plain, false);
        } else if len < 128 {
            self.writer.literals(plain, &mut self.bits);
        } else {
            self.tokens.clear();
            find(&self.window, &mut self.table, &mut self.tokens);
            if self.tokens.len() > len - len / 16 {
                self.writer.literals(plain, &mut self.bits);
            } else {
                self.writer.tokens(&self.tokens, plain, &mut self.bits);
            }
        }
    }
}

impl Deflate for GoFast1 {
    fn write(&mut self, mut plain: &[u8], out: &mut Vec<u8>) {
        while !plain.is_empty() {
            if self.window.chunk_bytes().len() == CHUNK {
                self.write_chunk();
                self.next_chunk();
            }
            plain = self.window.fill(plain);
        }
        self.bits.drain_into(out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.window.chunk_bytes().is_empty() {
            self.write_chunk();
        }
        self.writer.finish(&mut self.bits);
        self.bits.drain_into(out);
    }
}

/// Appends tokens for the whole chunk of the window.
fn find(window: &Window<REACH>, table: &mut [u32; SLOTS], tokens: &mut Vec<Token>) {
    let bytes = window.bytes();
    let end = bytes.len();
    let limit = end - MARGIN;
    let literals = |bytes: &[u8], tokens: &mut Vec<Token>| {
        tokens.extend(bytes.iter().map(|byte| Token::literal(*byte)));
    };
    // Enters `at` into the table, and returns the entry that it replaced if a match with that
    // position is possible.
    let mut put = |at: usize| {
        let word = load32(bytes, at);
        let slot = &mut table[hash(word)];
        let candidate = std::mem::replace(slot, at as u32) as usize;
        (at - candidate < REACH && load32(bytes, candidate) == word).then_some(candidate)
    };
    let mut emitted = window.chunk();
    let mut s = emitted;
    'chunk: loop {
        let mut skip = 32;
        let mut next = s;
        let mut candidate = loop {
            s = next;
            let step = skip / 32;
            next = s + step;
            skip += step;
            if next > limit {
                break 'chunk;
            }
            if let Some(candidate) = put(s) {
                break candidate;
            }
        };
        literals(&bytes[emitted..s], tokens);
        loop {
            let len = 4 + common(bytes, s + 4, candidate + 4, end.min(s + MAX_MATCH));
            tokens.push(Token::matched(len, s - candidate));
            s += len;
            emitted = s;
            if s >= limit {
                break 'chunk;
            }
            put(s - 1);
            match put(s) {
                Some(another) => candidate = another,
                None => break,
            }
        }
        s += 1;
    }
    literals(&bytes[emitted..], tokens);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::token::Kind;

    #[test]
    fn the_hash_has_the_value_of_the_specification() {
        assert_eq!(hash(u32::from_le_bytes(*b"abcd")), 11_176);
    }

    #[test]
    fn a_period_of_five_becomes_the_tokens_of_the_specification() {
        let mut window = Window::new();
        window.fill(&b"\x90\x11\x42\xe3\x07".repeat(600));
        let mut tokens = Vec::new();
        find(&window, &mut [0; SLOTS], &mut tokens);
        let matches = tokens
            .iter()
            .filter(|token| matches!(token.kind(), Kind::Match(_)));
        let matches: Vec<Token> = matches.copied().collect();
        assert_eq!(tokens.len() - matches.len(), 5);
        assert_eq!(matches[0], Token::matched(258, 5));
        assert_eq!(matches[1], Token::matched(258, 260));
        assert_eq!(matches[2], Token::matched(258, 520));
        assert_eq!(matches[3], Token::matched(258, 775));
        assert_eq!(matches[11], Token::matched(157, 775));
    }
}
