//! ZLIB: stock zlib with its usual parameters (docs/encoders.md, section 7).
//!
//! Uses the C library itself, linked statically: ports and forks of zlib produce different bytes.

use flate2::{Compress, Compression, FlushCompress, Status};

use super::deflate::Deflate;

/// A compression level of zlib, 1 to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZlibLevel(u8);

impl ZlibLevel {
    /// Returns the level if it is one of 1 to 9.
    pub fn new(level: u8) -> Option<Self> {
        (1..=9).contains(&level).then_some(Self(level))
    }

    /// Returns the number of the level.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// Space reserved for output before each call, in bytes.
const STEP: usize = 64 << 10;

/// The encoder: window of 15 bits, memory level 8, default strategy, raw deflate.
#[derive(Debug)]
pub(crate) struct Zlib {
    stream: Compress,
}

impl Zlib {
    pub(crate) fn new(level: ZlibLevel) -> Self {
        let level = Compression::new(u32::from(level.0));
        Self {
            stream: Compress::new(level, false),
        }
    }
}

impl Deflate for Zlib {
    fn write(&mut self, mut plain: &[u8], out: &mut Vec<u8>) {
        while !plain.is_empty() {
            out.reserve(STEP);
            let before = self.stream.total_in();
            // deflate() fails only with an invalid state, which this type cannot have. If it did,
            // the output would be short, and the comparison with the blob would fail.
            let status = self.stream.compress_vec(plain, out, FlushCompress::None);
            let taken = usize::try_from(self.stream.total_in() - before).unwrap_or(0);
            plain = plain.get(taken..).unwrap_or_default();
            if status.is_err() {
                return;
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        loop {
            out.reserve(STEP);
            match self.stream.compress_vec(&[], out, FlushCompress::Finish) {
                Ok(Status::Ok | Status::BufError) => {}
                Ok(Status::StreamEnd) | Err(_) => return,
            }
        }
    }
}
