//! Decompresses a layer, and limits the number of decompressed bytes.

use std::io::{self, BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;

/// Maximum window that a zstd frame may ask for, as a power of two: 128 MiB, the limit of `zstd`
/// without `--long`.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Number of bytes that tell the formats apart.
const MAGIC: usize = 4;

/// The source with its first bytes put back.
type Whole<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// A layer's decompressed bytes, at most `cap` of them.
///
/// The magic number decides, not the media type: `docker`, `podman`, CRI-O and `oc` do the same, so
/// all see the same content.
pub(super) struct Decoder<R: Read> {
    inner: Inner<R>,
    /// Bytes that may still be returned.
    left: u64,
}

enum Inner<R: Read> {
    Plain(BufReader<Whole<R>>),
    Gzip(Box<MultiGzDecoder<BufReader<Whole<R>>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<Whole<R>>>>),
}

/// Cause of an `io::Error`: the layer has more decompressed bytes than allowed.
#[derive(Debug, thiserror::Error)]
#[error("The layer has more bytes than are allowed")]
pub(super) struct Overflow;

impl<R: Read> Decoder<R> {
    /// Determines the format from the first bytes. At most `cap` decompressed bytes can be read.
    pub(super) fn new(mut source: R, cap: u64) -> io::Result<Self> {
        let mut magic = Vec::with_capacity(MAGIC);
        source.by_ref().take(MAGIC as u64).read_to_end(&mut magic)?;
        let (gzip, zstd) = (is_gzip(&magic), is_zstd(&magic));
        let whole = BufReader::with_capacity(64 << 10, Cursor::new(magic).chain(source));
        let inner = if gzip {
            Inner::Gzip(Box::new(MultiGzDecoder::new(whole)))
        } else if zstd {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Inner::Zstd(Box::new(decoder))
        } else {
            Inner::Plain(whole)
        };
        Ok(Self { inner, left: cap })
    }
}

fn is_gzip(magic: &[u8]) -> bool {
    magic.starts_with(&[0x1f, 0x8b, 8])
}

/// A zstd frame, or a skippable one, which zstd:chunked layers may begin with (RFC 8878, 3.1).
fn is_zstd(magic: &[u8]) -> bool {
    match magic {
        [0x28, 0xb5, 0x2f, 0xfd] => true,
        [first, 0x2a, 0x4d, 0x18] => first & 0xf0 == 0x50,
        _ => false,
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.inner {
            Inner::Plain(inner) => inner.read(buffer),
            Inner::Gzip(inner) => inner.read(buffer),
            Inner::Zstd(inner) => inner.read(buffer),
        }?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(Overflow)),
        }
        Ok(read)
    }
}
