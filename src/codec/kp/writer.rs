//! Writes deflate blocks (docs/encoders.md, sections 3.3 to 3.6).
//!
//! It can leave a dynamic block open after a chunk, so that the next chunk can continue the same
//! deflate block with the same codes.

use super::estimate::estimate;
use crate::codec::bits::BitWriter;
use crate::codec::block::{
    Announced, Codes, Counts, DynamicHeader, stored_bits, write_fixed_header,
};
use crate::codec::huffman::CodeBuilder;
use crate::codec::token::{END_OF_BLOCK, Token};

/// A range of releases of klauspost/compress that write the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Epoch {
    /// 1.15.10 to 1.18.0.
    A,
    /// 1.18.1.
    B,
    /// 1.18.2 to 1.19.1.
    C,
}

/// Number of tokens below which a block may become a fixed block.
const FEW_TOKENS: usize = 250;

/// Assumed size of a header that is not known yet, in bits.
const UNKNOWN_HEADER_BITS: u64 = 560;

/// The kind of chunk that opened a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Tokens,
    Literals,
}

/// A dynamic block whose end is not written yet.
#[derive(Debug)]
struct Open {
    codes: Codes,
    header_bits: u64,
    source: Source,
}

#[derive(Debug)]
pub(super) struct Writer {
    epoch: Epoch,
    open: Option<Box<Open>>,
    fixed: Box<Codes>,
    builder: CodeBuilder,
}

impl Writer {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            open: None,
            fixed: Box::new(Codes::fixed()),
            builder: CodeBuilder::default(),
        }
    }

    fn close(&mut self, out: &mut BitWriter) {
        if let Some(open) = self.open.take() {
            open.codes.write_end(out);
        }
    }

    /// Writes a stored block.
    pub(super) fn stored(&mut self, plain: &[u8], out: &mut BitWriter) {
        self.close(out);
        out.put_stored(plain, false);
    }

    /// Ends the stream with an empty, final fixed block.
    pub(super) fn finish(&mut self, out: &mut BitWriter) {
        self.close(out);
        out.put(0b011, 3);
        self.fixed.write_end(out);
        out.align();
    }

    fn fixed(&mut self, tokens: &[Token], out: &mut BitWriter) {
        self.close(out);
        write_fixed_header(out);
        self.fixed.write_tokens(tokens, out);
        self.fixed.write_end(out);
    }

    /// Writes a chunk that has matches (docs/encoders.md, section 3.4).
    pub(super) fn tokens(
        &mut self,
        tokens: &[Token],
        plain: &[u8],
        sync: bool,
        out: &mut BitWriter,
    ) {
        let mut counts = Counts::of_tokens(tokens);
        let n = tokens.len() + usize::from(sync);
        let goes_on = |open: &Open| open.source == Source::Tokens && open.codes.cover(&counts);
        if !self.open.as_deref().is_some_and(goes_on) {
            self.close(out);
        }
        counts.litlen[END_OF_BLOCK] = u32::from(sync || self.epoch == Epoch::C);
        let announced = if self.epoch == Epoch::A && !sync {
            Announced::ALL
        } else {
            counts.announce()
        };
        let extra_bits = counts.extra_bits();
        let stored = stored_bits(plain.len());

        if let Some(open) = self.open.as_deref() {
            let new = open.header_bits + estimate(&counts, n);
            let end = u64::from(open.codes.litlen[END_OF_BLOCK].len);
            let new = new + end + new / 128;
            let reuse = open.codes.code_bits(&counts) + extra_bits;
            if new < reuse {
                self.close(out);
            }
            let size = new.min(reuse);
            if n < FEW_TOKENS && counts.fixed_code_bits() + extra_bits + 7 < size {
                return if stored <= size {
                    self.stored(plain, out);
                } else {
                    self.fixed(tokens, out);
                };
            }
            if stored <= size {
                return self.stored(plain, out);
            }
        }
        if self.open.is_none() {
            counts.litlen[END_OF_BLOCK] = 1;
            let codes = Codes::best(&mut self.builder, &counts);
            let header = DynamicHeader::new(&mut self.builder, &codes, announced);
            let dynamic = header.bits() + codes.code_bits(&counts) + extra_bits;
            let fixed = counts.fixed_code_bits() + extra_bits;
            if n < FEW_TOKENS && fixed <= dynamic {
                return if stored <= fixed {
                    self.stored(plain, out);
                } else {
                    self.fixed(tokens, out);
                };
            }
            if stored <= dynamic {
                return self.stored(plain, out);
            }
            header.write(out);
            self.open = Some(Box::new(Open {
                codes,
                header_bits: header.bits(),
                source: Source::Tokens,
            }));
        }
        if let Some(open) = &self.open {
            open.codes.write_tokens(tokens, out);
        }
        if sync {
            self.close(out);
        }
    }

    /// Writes a chunk that has no matches, or too few to use (docs/encoders.md, section 3.5).
    pub(super) fn literals(&mut self, plain: &[u8], sync: bool, out: &mut BitWriter) {
        let mut counts = Counts::of_bytes(plain);
        if incompressible(&counts, plain.len()) {
            return self.stored(plain, out);
        }
        let bytes_alone = counts.clone();
        counts.litlen[END_OF_BLOCK] = 1;
        // The one required distance code is never written, so it adds no bits to the size here.
        let mut codes = Codes::best(&mut self.builder, &counts);
        codes.distance[0].len = 1;

        let header_bits = |open: &Open| open.header_bits;
        let header_bits = self
            .open
            .as_deref()
            .map_or(UNKNOWN_HEADER_BITS, header_bits);
        let new = codes.code_bits(&counts) + header_bits;
        let new = new + new / 128;
        if stored_bits(plain.len()) <= new {
            return self.stored(plain, out);
        }
        let stays_open = |open: &Open| {
            open.codes.cover(&bytes_alone) && new >= open.codes.code_bits(&bytes_alone)
        };
        if !self.open.as_deref().is_some_and(stays_open) {
            self.close(out);
            let header = DynamicHeader::new(&mut self.builder, &codes, Announced::LITERALS);
            header.write(out);
            self.open = Some(Box::new(Open {
                codes,
                header_bits: header.bits(),
                source: Source::Literals,
            }));
        }
        if let Some(open) = &self.open {
            open.codes.write_bytes(plain, out);
        }
        if sync {
            self.close(out);
        }
    }
}

/// Returns true if bytes are distributed so evenly that Huffman codes cannot save space.
///
/// The test: the sum of squared deviations of the 256 counts from their mean is below twice the
/// number of bytes.
fn incompressible(counts: &Counts, len: usize) -> bool {
    let len = len as i64;
    let deviations = counts.litlen[..END_OF_BLOCK].iter().map(|count| {
        let deviation = 256 * i64::from(*count) - len;
        deviation * deviation
    });
    len > 1024 && deviations.sum::<i64>() < 131_072 * len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_bytes_are_incompressible_from_1025_on() {
        let even: Vec<u8> = (0..2048u32).map(|i| i as u8).collect();
        assert!(incompressible(&Counts::of_bytes(&even), 2048));
        assert!(!incompressible(&Counts::of_bytes(&even[..1024]), 1024));
        assert!(incompressible(&Counts::of_bytes(&even[..1025]), 1025));
        let text = [b'a'; 2048];
        assert!(!incompressible(&Counts::of_bytes(&text), 2048));
    }
}
