//! Compares an encoder's output with the expected bytes, both as streams.

use std::io::{self, Write};

/// The error that output and expected bytes differ. Passed through the encoder as an I/O error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The encoder's output differs from byte {at} on")]
pub(super) struct Differs {
    /// Offset of the first difference, too low by at most one piece.
    pub(super) at: u64,
}

/// Takes expected and written bytes in any order. Buffers the side that is ahead.
#[derive(Debug, Default)]
pub(super) struct Compare {
    /// Expected bytes. Those from `start` on were not written yet.
    expected: Vec<u8>,
    start: usize,
    /// Written bytes that were not expected yet. At most one side is ahead.
    written: Vec<u8>,
    /// Number of equal bytes so far.
    agreed: u64,
}

/// Number of compared bytes after which they are removed from the buffer.
const COMPACT: usize = 1 << 20;

impl Compare {
    /// Adds expected bytes.
    pub(super) fn expect(&mut self, bytes: &[u8]) -> Result<(), Differs> {
        let overlap = bytes.len().min(self.written.len());
        let (now, later) = bytes.split_at(overlap);
        self.agree(now == &self.written[..overlap], overlap)?;
        self.written.drain(..overlap);
        self.expected.extend_from_slice(later);
        Ok(())
    }

    /// Adds written bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Differs> {
        let waiting = &self.expected[self.start..];
        let overlap = bytes.len().min(waiting.len());
        let (now, later) = bytes.split_at(overlap);
        self.agree(now == &waiting[..overlap], overlap)?;
        self.start += overlap;
        if self.start >= COMPACT {
            self.expected.drain(..self.start);
            self.start = 0;
        }
        self.written.extend_from_slice(later);
        Ok(())
    }

    /// Checks that neither side is ahead.
    pub(super) fn end(&self) -> Result<(), Differs> {
        self.agree_end(self.start == self.expected.len() && self.written.is_empty())
    }

    /// Returns the number of equal bytes so far.
    pub(super) fn agreed(&self) -> u64 {
        self.agreed
    }

    fn agree(&mut self, equal: bool, count: usize) -> Result<(), Differs> {
        self.agree_end(equal)?;
        self.agreed += count as u64;
        Ok(())
    }

    fn agree_end(&self, equal: bool) -> Result<(), Differs> {
        if equal {
            Ok(())
        } else {
            Err(Differs { at: self.agreed })
        }
    }
}

impl Write for Compare {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_side_may_be_ahead() {
        let mut compare = Compare::default();
        compare.expect(b"abc").unwrap();
        compare.take(b"a").unwrap();
        compare.take(b"bcde").unwrap();
        assert_eq!(compare.end(), Err(Differs { at: 3 }));
        compare.expect(b"d").unwrap();
        compare.expect(b"ef").unwrap();
        assert_eq!(compare.end(), Err(Differs { at: 5 }));
        compare.take(b"f").unwrap();
        assert_eq!((compare.end(), compare.agreed()), (Ok(()), 6));
    }

    #[test]
    fn a_difference_is_found_on_either_side() {
        let mut compare = Compare::default();
        compare.expect(b"abc").unwrap();
        assert_eq!(compare.take(b"abd"), Err(Differs { at: 0 }));
        let mut compare = Compare::default();
        compare.take(b"abc").unwrap();
        assert_eq!(compare.expect(b"x"), Err(Differs { at: 0 }));
    }
}
