//! Inflates with zlib, within limits: blobs come from registries and media, which may be hostile.

use std::io::{self, Read, Write};

use flate2::{Decompress, FlushDecompress, Status};

use super::gzip::{Check, Header, HeaderError, MAX_HEADER, TRAILER};

/// Limits for inflating. Memory for window and buffers is always below 1 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Largest number of plain bytes.
    pub plain: u64,
    /// Largest number of plain bytes per compressed byte, applied after 16 MiB of plain bytes.
    pub ratio: u64,
}

/// Number of plain bytes up to which any ratio is allowed.
const RATIO_FREE: u64 = 16 << 20;

impl Caps {
    /// 1 TiB, and no practical limit on the ratio: deflate itself cannot exceed about 1032.
    pub const DEFAULT: Self = Self {
        plain: 1 << 40,
        ratio: 1100,
    };
}

impl Default for Caps {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The reason why a gzip stream cannot be inflated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InflateError {
    /// The stream does not start with a usable gzip header.
    #[error("The stream does not begin with a usable gzip header")]
    Header {
        /// The error in the header.
        #[source]
        source: HeaderError,
    },
    /// The deflate data is invalid, or CRC or length is wrong.
    #[error("The gzip stream is damaged after {plain} plain bytes")]
    Damaged {
        /// Number of plain bytes before the error.
        plain: u64,
    },
    /// The stream is truncated.
    #[error("The gzip stream ends early, after {plain} plain bytes")]
    Truncated {
        /// Number of plain bytes before the end.
        plain: u64,
    },
    /// A limit was exceeded.
    #[error("The gzip stream inflates to more than {plain} bytes, which exceeds a cap")]
    Cap {
        /// Number of plain bytes so far.
        plain: u64,
    },
    /// Reading the blob or writing the plain bytes failed.
    #[error("Inflating failed on reading or writing")]
    Io {
        /// The I/O error.
        #[source]
        source: io::Error,
    },
}

/// Inflates a raw deflate stream, step by step.
#[derive(Debug)]
pub(crate) struct Inflate {
    stream: Decompress,
    caps: Caps,
    done: bool,
}

impl Inflate {
    pub(crate) fn new(caps: Caps) -> Self {
        Self {
            stream: Decompress::new(false),
            caps,
            done: false,
        }
    }

    /// Returns true if the stream has ended.
    pub(crate) fn done(&self) -> bool {
        self.done
    }

    /// Returns the number of plain bytes so far.
    pub(crate) fn plain(&self) -> u64 {
        self.stream.total_out()
    }

    /// Returns the number of compressed bytes used so far.
    pub(crate) fn taken(&self) -> u64 {
        self.stream.total_in()
    }

    /// Inflates into the spare capacity of `out`, and returns the number of bytes of `input`
    /// used.
    ///
    /// If input is left and the stream has not ended, `out` is full.
    pub(crate) fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, InflateError> {
        let plain = self.plain();
        let before = self.stream.total_in();
        let status = self
            .stream
            .decompress_vec(input, out, FlushDecompress::None);
        match status {
            Ok(Status::StreamEnd) => self.done = true,
            Ok(Status::Ok | Status::BufError) => {}
            Err(_) => return Err(InflateError::Damaged { plain }),
        }
        let plain = self.plain();
        let all_in = self.stream.total_in();
        let beyond_ratio = plain > RATIO_FREE && plain / self.caps.ratio.max(1) > all_in;
        if plain > self.caps.plain || beyond_ratio {
            return Err(InflateError::Cap { plain });
        }
        Ok(usize::try_from(all_in - before).unwrap_or(input.len()))
    }
}

/// Inflates the first member of a gzip stream, checks its CRC and length, and returns the number
/// of plain bytes.
///
/// Leaves the bytes after the member in the reader, except those that were read ahead.
///
/// # Errors
///
/// If the stream is not gzip, is damaged or truncated, or exceeds a limit, or if reading or
/// writing fails. Some plain bytes may already have been written.
pub fn inflate(
    mut blob: impl Read,
    caps: Caps,
    plain: &mut impl Write,
) -> Result<u64, InflateError> {
    let io_failed = |source| InflateError::Io { source };
    let mut input = Vec::new();
    let mut beginning = blob.by_ref().take(MAX_HEADER as u64);
    beginning.read_to_end(&mut input).map_err(io_failed)?;
    let header = Header::parse(&input).map_err(|source| InflateError::Header { source })?;
    input.drain(..header.len);

    let mut stream = Inflate::new(caps);
    let mut check = Check::default();
    let mut out = Vec::with_capacity(PIECE);
    loop {
        let mut taken = 0;
        while !stream.done() {
            out.clear();
            taken += stream.step(&input[taken..], &mut out)?;
            check.update(&out);
            plain.write_all(&out).map_err(io_failed)?;
            if taken == input.len() && out.len() < out.capacity() {
                break;
            }
        }
        input.drain(..taken);
        if stream.done() && input.len() >= TRAILER {
            break;
        }
        if read_piece(&mut blob, &mut input).map_err(io_failed)? == 0 {
            return Err(InflateError::Truncated { plain: check.len() });
        }
    }
    if input.starts_with(&check.trailer()) {
        Ok(check.len())
    } else {
        Err(InflateError::Damaged { plain: check.len() })
    }
}

/// Number of bytes read, or inflated, at once.
pub(crate) const PIECE: usize = 128 << 10;

/// Appends at most one piece to `bytes` and returns its length; 0 at the end.
pub(crate) fn read_piece(from: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<usize> {
    from.by_ref().take(PIECE as u64).read_to_end(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    fn inflated(blob: &[u8], caps: Caps) -> Result<Vec<u8>, InflateError> {
        let mut plain = Vec::new();
        inflate(blob, caps, &mut plain).map(|_| plain)
    }

    #[test]
    fn gives_the_plain_bytes_back() {
        for len in [0, 1, 5000, 1_000_000] {
            let plain: Vec<u8> = (0..len)
                .map(|i: u32| (i.wrapping_mul(i) >> 7) as u8)
                .collect();
            assert!(inflated(&gzip(&plain), Caps::DEFAULT).unwrap() == plain);
        }
    }

    #[test]
    fn broken_streams_are_errors() {
        let good = gzip(b"hello, hello, hello");
        for len in 0..good.len() {
            let found = inflated(&good[..len], Caps::DEFAULT);
            let expected = matches!(
                found,
                Err(InflateError::Truncated { .. } | InflateError::Header { .. })
            );
            assert!(expected, "{len}: {found:?}");
        }
        for at in good.len() - TRAILER..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let found = inflated(&bad, Caps::DEFAULT);
            assert!(
                matches!(found, Err(InflateError::Damaged { .. })),
                "{found:?}"
            );
        }
    }

    #[test]
    fn caps_hold() {
        let zeros = gzip(&vec![0; 20 << 20]);
        let short = Caps {
            plain: 1 << 20,
            ..Caps::DEFAULT
        };
        assert!(matches!(
            inflated(&zeros, short),
            Err(InflateError::Cap { .. })
        ));
        let flat = Caps {
            ratio: 100,
            ..Caps::DEFAULT
        };
        assert!(matches!(
            inflated(&zeros, flat),
            Err(InflateError::Cap { .. })
        ));
        assert!(inflated(&zeros, Caps::DEFAULT).is_ok());
    }
}
