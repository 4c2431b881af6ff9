//! The block writers of Go up to 1.26 (docs/encoders.md, sections 3.1 and 3.2).
//!
//! Blocks are independent of each other: no state is kept between them.

use super::bits::BitWriter;
use super::block::{Announced, Codes, Counts, DynamicHeader, stored_bits, write_fixed_header};
use super::huffman::CodeBuilder;
use super::token::{END_OF_BLOCK, Token};
use super::window::CHUNK;

/// Writes all blocks except the last, and an empty stored block as the last.
#[derive(Debug)]
pub(crate) struct GoWriter {
    fixed: Box<Codes>,
    builder: CodeBuilder,
}

impl GoWriter {
    pub(crate) fn new() -> Self {
        Self {
            fixed: Box::new(Codes::fixed()),
            builder: CodeBuilder::default(),
        }
    }

    /// Ends the stream.
    pub(crate) fn finish(&mut self, out: &mut BitWriter) {
        out.put_stored(&[], true);
    }

    /// Writes a block of levels 4 to 9. `plain` are the bytes that the tokens stand for, if
    /// known.
    pub(crate) fn general(&mut self, tokens: &[Token], plain: Option<&[u8]>, out: &mut BitWriter) {
        let mut counts = Counts::of_tokens(tokens);
        counts.litlen[END_OF_BLOCK] = 1;
        let announced = counts.announce();
        let codes = Codes::best(&mut self.builder, &counts);
        let header = DynamicHeader::new(&mut self.builder, &codes, announced);
        let extra_bits = counts.extra_bits();
        let fixed = counts.fixed_code_bits() + extra_bits;
        let dynamic = header.bits() + codes.code_bits(&counts) + extra_bits;
        if let Some(plain) = plain.filter(|plain| plain.len() <= CHUNK)
            && stored_bits(plain.len()) < fixed.min(dynamic)
        {
            return out.put_stored(plain, false);
        }
        let codes = if dynamic < fixed {
            header.write(out);
            &codes
        } else {
            write_fixed_header(out);
            &self.fixed
        };
        codes.write_tokens(tokens, out);
        codes.write_end(out);
    }

    /// Writes a chunk of level 1 that has matches.
    pub(crate) fn tokens(&mut self, tokens: &[Token], plain: &[u8], out: &mut BitWriter) {
        let mut counts = Counts::of_tokens(tokens);
        counts.litlen[END_OF_BLOCK] = 1;
        let announced = counts.announce();
        let codes = Codes::best(&mut self.builder, &counts);
        let header = DynamicHeader::new(&mut self.builder, &codes, announced);
        // Go's estimate really omits the extra bits here.
        let size = header.bits() + codes.code_bits(&counts);
        if stored_bits(plain.len()) < size + size / 16 {
            return out.put_stored(plain, false);
        }
        header.write(out);
        codes.write_tokens(tokens, out);
        codes.write_end(out);
    }

    /// Writes a chunk of level 1 as literals.
    pub(crate) fn literals(&mut self, plain: &[u8], out: &mut BitWriter) {
        let mut counts = Counts::of_bytes(plain);
        counts.litlen[END_OF_BLOCK] = 1;
        // Go counts a bit for the one distance that is declared, though none is written.
        counts.distance[0] = 1;
        let codes = Codes::best(&mut self.builder, &counts);
        let header = DynamicHeader::new(&mut self.builder, &codes, Announced::LITERALS);
        let size = header.bits() + codes.code_bits(&counts);
        if stored_bits(plain.len()) < size + size / 16 {
            return out.put_stored(plain, false);
        }
        header.write(out);
        codes.write_bytes(plain, out);
        codes.write_end(out);
    }
}
