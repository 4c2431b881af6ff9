//! Reads and writes the frame around a deflate stream (RFC 1952).

/// Longest header that is recognised, in bytes. A longer name or comment does not occur in
/// layers.
pub const MAX_HEADER: usize = 4096;

/// Length in bytes of the trailer: CRC-32 and length of the plain bytes.
pub(crate) const TRAILER: usize = 8;

const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

const HEADER_CRC: u8 = 0x02;
const EXTRA: u8 = 0x04;
const NAME: u8 = 0x08;
const COMMENT: u8 = 0x10;
const RESERVED: u8 = 0xe0;

/// The reason why bytes are not the beginning of a gzip member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The magic number or the compression method is wrong.
    #[error("The data is not gzip")]
    NotGzip,
    /// A flag is set that RFC 1952 reserves.
    #[error("The gzip header has reserved flags ({flags:#04x})")]
    Reserved {
        /// Value of the flag byte.
        flags: u8,
    },
    /// The header is truncated, or longer than [`MAX_HEADER`].
    #[error("The gzip header does not end within {MAX_HEADER} bytes")]
    Unterminated,
}

/// The fields of a header that help to identify the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Length of the header in bytes.
    pub(crate) len: usize,
    /// Time of modification.
    pub(crate) mtime: u32,
    /// Compression effort as the writer states it: 2 is the highest, 4 the lowest.
    pub(crate) extra_flags: u8,
    /// Operating system.
    pub(crate) os: u8,
}

impl Header {
    /// Reads the header at the start of `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let bytes = &bytes[..bytes.len().min(MAX_HEADER)];
        if !bytes.starts_with(&MAGIC) {
            return Err(HeaderError::NotGzip);
        }
        let mut rest = Rest(bytes);
        let fixed = *rest.take::<10>()?;
        let [_, _, _, flags, m0, m1, m2, m3, extra_flags, os] = fixed;
        if flags & RESERVED != 0 {
            return Err(HeaderError::Reserved { flags });
        }
        if flags & EXTRA != 0 {
            let len = u16::from_le_bytes(*rest.take::<2>()?);
            rest.skip(usize::from(len))?;
        }
        for text in [NAME, COMMENT] {
            if flags & text != 0 {
                rest.skip_text()?;
            }
        }
        if flags & HEADER_CRC != 0 {
            rest.skip(2)?;
        }
        Ok(Self {
            len: bytes.len() - rest.0.len(),
            mtime: u32::from_le_bytes([m0, m1, m2, m3]),
            extra_flags,
            os,
        })
    }
}

/// The bytes that were not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], HeaderError> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or(HeaderError::Unterminated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn skip(&mut self, count: usize) -> Result<(), HeaderError> {
        self.0 = self.0.get(count..).ok_or(HeaderError::Unterminated)?;
        Ok(())
    }

    /// Skips a text and the zero byte after it.
    fn skip_text(&mut self) -> Result<(), HeaderError> {
        let zero = self.0.iter().position(|byte| *byte == 0);
        self.skip(zero.ok_or(HeaderError::Unterminated)? + 1)
    }
}

/// Builds a header with neither name nor comment, from an unknown operating system (255), as Go's
/// writers do.
pub(crate) fn header(mtime: u32, extra_flags: u8) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.push(0);
    header.extend_from_slice(&mtime.to_le_bytes());
    header.extend_from_slice(&[extra_flags, 255]);
    header
}

/// CRC-32 and length of the plain bytes so far.
#[derive(Debug, Default)]
pub(crate) struct Check {
    crc: flate2::Crc,
    len: u64,
}

impl Check {
    pub(crate) fn update(&mut self, plain: &[u8]) {
        self.crc.update(plain);
        self.len += plain.len() as u64;
    }

    /// Returns the number of plain bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Returns the eight bytes that follow the deflate stream.
    pub(crate) fn trailer(&self) -> [u8; TRAILER] {
        let mut trailer = [0; TRAILER];
        let (crc, len) = trailer.split_at_mut(4);
        crc.copy_from_slice(&self.crc.sum().to_le_bytes());
        len.copy_from_slice(&(self.len as u32).to_le_bytes());
        trailer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_as_long_as_their_fields() {
        let plain = Header::parse(b"\x1f\x8b\x08\x00\x00\x09\x6e\x88\x04\xffrest").unwrap();
        assert_eq!(plain.len, 10);
        assert_eq!(
            (plain.mtime, plain.extra_flags, plain.os),
            (0x886e_0900, 4, 255)
        );

        let all = b"\x1f\x8b\x08\x1e\0\0\0\0\x00\x03\x02\x00xyname\0comment\0\x12\x34rest";
        assert_eq!(Header::parse(all).unwrap().len, 10 + 4 + 5 + 8 + 2);
    }

    #[test]
    fn broken_headers_are_refused() {
        let cases: [(&[u8], HeaderError); 5] = [
            (b"", HeaderError::NotGzip),
            (b"\x1f\x8b\x07\0\0\0\0\0\0\xff", HeaderError::NotGzip),
            (b"\x1f\x8b\x08\0\0\0\0\0\0", HeaderError::Unterminated),
            (
                b"\x1f\x8b\x08\x08\0\0\0\0\0\xffname",
                HeaderError::Unterminated,
            ),
            (
                b"\x1f\x8b\x08\x20\0\0\0\0\0\xff",
                HeaderError::Reserved { flags: 0x20 },
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Header::parse(bytes), Err(expected));
        }
        let mut long = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff".to_vec();
        long.extend([b'n'; MAX_HEADER]);
        long.push(0);
        assert_eq!(Header::parse(&long), Err(HeaderError::Unterminated));
    }

    #[test]
    fn the_trailer_of_hello() {
        let mut check = Check::default();
        check.update(b"hel");
        check.update(b"lo");
        assert_eq!(check.trailer(), [0x86, 0xa6, 0x10, 0x36, 5, 0, 0, 0]);
    }
}
