//! KP5 and KP6: levels 5 and 6 of klauspost/compress; KP6 is also level 6 of Go 1.27
//! (docs/encoders.md, sections 3.3 to 3.7, 4.1, 5.1 and 5.2).
//!
//! Both levels share this driver and the block writer; they differ in the match finder.

mod estimate;
mod finder5;
mod finder6;
mod tables;
mod writer;

use super::bits::BitWriter;
use super::deflate::Deflate;
use super::token::Token;
use super::window::{CHUNK, Window};
use tables::Tables;
use writer::Writer;

pub use writer::Epoch;

/// The smallest distance that is too large for a match: the largest allowed is 32 767.
const REACH: usize = 32_768;

/// Number of bytes of the previous block that a pgzip block starts with as history.
pub(crate) const DICTIONARY: usize = 16_384;

/// The compression level, which selects the match finder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// klauspost/compress level 5, its default.
    Five,
    /// klauspost/compress level 6, and Go 1.27's default.
    Six,
}

/// The encoder of one deflate stream, or of pgzip blocks one after the other.
#[derive(Debug)]
pub(crate) struct Kp {
    level: Level,
    window: Window<REACH>,
    tables: Tables,
    tokens: Vec<Token>,
    writer: Writer,
    bits: BitWriter,
}

impl Kp {
    pub(crate) fn new(level: Level, epoch: Epoch) -> Self {
        Self {
            level,
            window: Window::new(),
            tables: Tables::new(),
            tokens: Vec::with_capacity(CHUNK),
            writer: Writer::new(epoch),
            bits: BitWriter::default(),
        }
    }

    /// Encodes one pgzip block from a fresh state, followed by the sync marker.
    pub(crate) fn encode_block(&mut self, dictionary: &[u8], plain: &[u8], out: &mut Vec<u8>) {
        self.window.clear();
        self.tables.clear();
        if !dictionary.is_empty() {
            self.window.fill(dictionary);
            self.find();
            self.next_chunk();
        }
        self.write(plain, out);
        self.end_chunks();
        self.bits.put_stored(&[], false);
        self.bits.drain_into(out);
    }

    fn find(&mut self) {
        self.tokens.clear();
        match self.level {
            Level::Five => finder5::find(&self.window, &mut self.tables, &mut self.tokens),
            Level::Six => finder6::find(&self.window, &mut self.tables, &mut self.tokens),
        }
    }

    fn next_chunk(&mut self) {
        let shift = self.window.next_chunk();
        if shift > 0 {
            self.tables.shift(shift);
        }
    }

    /// Writes the chunk. The last chunk of a stream is a `sync` chunk, whatever its length.
    fn write_chunk(&mut self, sync: bool) {
        let len = self.window.chunk_bytes().len();
        let out = &mut self.bits;
        if len <= 32 {
            self.writer.stored(self.window.chunk_bytes(), out);
        } else if len < 128 {
            self.writer.literals(self.window.chunk_bytes(), sync, out);
        } else {
            self.find();
            let plain = self.window.chunk_bytes();
            let out = &mut self.bits;
            if self.tokens.is_empty() {
                self.writer.stored(plain, out);
            } else if self.tokens.len() > len - len / 16 {
                self.writer.literals(plain, sync, out);
            } else {
                self.writer.tokens(&self.tokens, plain, sync, out);
            }
        }
    }

    fn end_chunks(&mut self) {
        if !self.window.chunk_bytes().is_empty() {
            self.write_chunk(true);
        }
    }
}

impl Deflate for Kp {
    fn write(&mut self, mut plain: &[u8], out: &mut Vec<u8>) {
        while !plain.is_empty() {
            // A full chunk is written only once it is known not to be the last one.
            if self.window.chunk_bytes().len() == CHUNK {
                self.write_chunk(false);
                self.next_chunk();
            }
            plain = self.window.fill(plain);
        }
        self.bits.drain_into(out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.end_chunks();
        self.writer.finish(&mut self.bits);
        self.bits.drain_into(out);
    }
}
