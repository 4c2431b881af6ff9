//! Writes ZIP files, for users of Windows (PKWARE, APPNOTE.TXT, sections 4.3 and 4.4).
//!
//! Entries are deflated and streamed: an entry's lengths follow its data, so that nothing is
//! written twice. Files and entries must be shorter than 4 GiB, which is more than any packed
//! program needs. The same entries give the same bytes as long as the release of zlib is the
//! same.

use std::io::{self, Write};

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// Flags: lengths and checksum follow the data, and the name is UTF-8.
const FLAGS: u16 = 0x0808;
/// Compression method: deflate.
const METHOD: u16 = 8;
/// Version needed to read the file: 2.0, for deflate.
const VERSION: u16 = 20;
/// System of origin: Unix, so that readers use the permissions.
const MADE_BY: u16 = 0x0300 | VERSION;

/// A time in the format of MS-DOS: the date in the upper 16 bits, the time in the lower 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DosTime(u32);

impl DosTime {
    /// Converts a time in UTC, given by year, month, day, hour, minute, second. Years before 1980
    /// give 1980-01-01 00:00:00, years after 2107 give 2107.
    pub fn new(year: i32, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Self {
        let Ok(year) = u32::try_from(year - 1980) else {
            return Self(0x0021_0000);
        };
        let date = (year.min(127) << 9) | (u32::from(month) << 5) | u32::from(day);
        let time = (u32::from(hour) << 11) | (u32::from(minute) << 5) | (u32::from(second) / 2);
        Self(date << 16 | time)
    }
}

/// A ZIP file being written. As [`Write`] it takes the content of the last entry that was begun.
#[derive(Debug)]
pub struct ZipWriter<W: Write> {
    inner: Inner<W>,
    directory: Vec<u8>,
    entries: u16,
    time: DosTime,
}

/// The state of the file being written.
#[derive(Debug)]
enum Inner<W: Write> {
    Between(Counter<W>),
    Entry(Box<Entry<W>>),
    /// An error has occurred; nothing more can be written.
    Broken,
}

/// The entry that is being written.
#[derive(Debug)]
struct Entry<W: Write> {
    encoder: DeflateEncoder<Counter<W>>,
    name: String,
    mode: u16,
    /// Position of the entry's header in the file, in bytes. `data` is the position of its
    /// content.
    offset: u32,
    data: u64,
    crc: Crc,
    plain: u64,
}

#[derive(Debug)]
struct Counter<W: Write> {
    inner: W,
    written: u64,
}

impl<W: Write> Write for Counter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn too_long() -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        "the ZIP file would exceed 4 GiB",
    )
}

fn broken() -> io::Error {
    io::Error::other("an earlier error made the ZIP file unusable")
}

impl<W: Write> ZipWriter<W> {
    /// Begins a ZIP file. All entries get the same time.
    pub fn new(inner: W, time: DosTime) -> Self {
        Self {
            inner: Inner::Between(Counter { inner, written: 0 }),
            directory: Vec::new(),
            entries: 0,
            time,
        }
    }

    /// Begins an entry with permissions as in chmod, and ends the entry before; `name` is ASCII.
    ///
    /// # Errors
    ///
    /// When writing fails, or when the file reaches 4 GiB.
    pub fn begin(&mut self, name: &str, mode: u16) -> io::Result<()> {
        let mut counter = self.end()?;
        let offset = u32::try_from(counter.written).map_err(|_| too_long())?;
        counter.write_all(b"PK\x03\x04")?;
        counter.write_all(&self.common(name, 0, 0, 0)?)?;
        counter.write_all(name.as_bytes())?;
        let data = counter.written;
        self.inner = Inner::Entry(Box::new(Entry {
            encoder: DeflateEncoder::new(counter, Compression::default()),
            name: name.to_owned(),
            mode,
            offset,
            data,
            crc: Crc::new(),
            plain: 0,
        }));
        Ok(())
    }

    /// Ends the ZIP file, and returns the writer.
    ///
    /// # Errors
    ///
    /// When writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        let mut counter = self.end()?;
        let offset = u32::try_from(counter.written).map_err(|_| too_long())?;
        let length = u32::try_from(self.directory.len()).map_err(|_| too_long())?;
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        for number in [self.entries, self.entries] {
            end.extend_from_slice(&number.to_le_bytes());
        }
        for number in [length, offset] {
            end.extend_from_slice(&number.to_le_bytes());
        }
        // No comment.
        end.extend_from_slice(&[0; 2]);
        counter.write_all(&self.directory)?;
        counter.write_all(&end)?;
        Ok(counter.inner)
    }

    /// Ends the last entry, if one was begun.
    fn end(&mut self) -> io::Result<Counter<W>> {
        let entry = match std::mem::replace(&mut self.inner, Inner::Broken) {
            Inner::Between(counter) => return Ok(counter),
            Inner::Broken => return Err(broken()),
            Inner::Entry(entry) => *entry,
        };
        let mut counter = entry.encoder.finish()?;
        let packed = u32::try_from(counter.written - entry.data).map_err(|_| too_long())?;
        let plain = u32::try_from(entry.plain).map_err(|_| too_long())?;
        let crc = entry.crc.sum();
        let mut descriptor = b"PK\x07\x08".to_vec();
        for number in [crc, packed, plain] {
            descriptor.extend_from_slice(&number.to_le_bytes());
        }
        counter.write_all(&descriptor)?;

        let common = self.common(&entry.name, crc, packed, plain)?;
        self.directory.extend_from_slice(b"PK\x01\x02");
        self.directory.extend_from_slice(&MADE_BY.to_le_bytes());
        self.directory.extend_from_slice(&common);
        // No comment, first disk, no internal attributes; a regular file with its permissions.
        self.directory.extend_from_slice(&[0; 6]);
        let attributes = u32::from(0o100_000 | entry.mode) << 16;
        self.directory.extend_from_slice(&attributes.to_le_bytes());
        self.directory
            .extend_from_slice(&entry.offset.to_le_bytes());
        self.directory.extend_from_slice(entry.name.as_bytes());
        self.entries = self.entries.checked_add(1).ok_or_else(too_long)?;
        Ok(counter)
    }

    /// Returns the fields that an entry's header and its row in the directory share.
    fn common(&self, name: &str, crc: u32, packed: u32, plain: u32) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for number in [VERSION, FLAGS, METHOD] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.time.0, crc, packed, plain] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let length = u16::try_from(name.len()).map_err(|_| too_long())?;
        bytes.extend_from_slice(&length.to_le_bytes());
        // No extra field.
        bytes.extend_from_slice(&[0; 2]);
        Ok(bytes)
    }
}

impl<W: Write> Write for ZipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let entry = match &mut self.inner {
            Inner::Entry(entry) => entry,
            Inner::Between(_) => {
                return Err(io::Error::other("no entry of the ZIP file was begun"));
            }
            Inner::Broken => return Err(broken()),
        };
        entry.encoder.write_all(bytes)?;
        entry.crc.update(bytes);
        entry.plain += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn times() {
        assert_eq!(DosTime::new(1980, 1, 1, 0, 0, 0), DosTime(0x0021_0000));
        assert_eq!(DosTime::new(1970, 1, 1, 0, 0, 0), DosTime(0x0021_0000));
        let expected = 45 << 25 | 11 << 21 | 7 << 16 | 13 << 11 | 59 << 5 | 29;
        assert_eq!(DosTime::new(2025, 11, 7, 13, 59, 58), DosTime(expected));
    }

    #[test]
    fn content_needs_an_entry() {
        let mut zip = ZipWriter::new(Vec::new(), DosTime::new(2025, 11, 7, 13, 59, 58));
        let error = zip.write(b"text").unwrap_err();
        assert!(error.to_string().contains("no entry"), "{error}");
        zip.begin("README.md", 0o644).unwrap();
        zip.write_all(b"text").unwrap();
        assert!(zip.finish().is_ok());
    }

    /// Reads back by hand, from the directory at the end, as programs do. Other tests, which
    /// extract archives with real programs, check that those agree.
    #[test]
    fn entries_are_found_through_the_directory() {
        let time = DosTime::new(2025, 11, 7, 13, 59, 58);
        let mut zip = ZipWriter::new(Vec::new(), time);
        let big = vec![b'x'; 200_000];
        zip.begin("README.md", 0o644).unwrap();
        zip.write_all(b"text").unwrap();
        zip.begin("oc.exe", 0o755).unwrap();
        for piece in big.chunks(999) {
            zip.write_all(piece).unwrap();
        }
        let bytes = zip.finish().unwrap();
        let end = bytes.len() - 22;
        let number = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
        let short = |at: usize| u16::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
        assert_eq!(&bytes[end..end + 4], b"PK\x05\x06");
        assert_eq!([short(end + 8), short(end + 10)], [2, 2]);
        let mut at = number(end + 16);
        assert_eq!(at + number(end + 12), end);
        for (name, mode, content) in [
            ("README.md", 0o100_644, b"text".as_slice()),
            ("oc.exe", 0o100_755, &big),
        ] {
            assert_eq!(&bytes[at..at + 4], b"PK\x01\x02");
            let (crc, packed, plain) = (number(at + 16), number(at + 20), number(at + 24));
            assert_eq!(plain, content.len());
            assert_eq!(number(at + 38) >> 16, mode);
            let mut sum = Crc::new();
            sum.update(content);
            assert_eq!(crc, sum.sum() as usize);
            let local = number(at + 42);
            let end_of_name = at + 46 + name.len();
            assert_eq!(&bytes[at + 46..end_of_name], name.as_bytes());
            assert_eq!(&bytes[local..local + 4], b"PK\x03\x04");
            let data = local + 30 + name.len();
            let mut decoder = flate2::read::DeflateDecoder::new(&bytes[data..data + packed]);
            let mut found = Vec::new();
            decoder.read_to_end(&mut found).unwrap();
            assert!(found == content, "{name}");
            let descriptor = data + packed;
            assert_eq!(&bytes[descriptor..descriptor + 4], b"PK\x07\x08");
            assert_eq!(number(descriptor + 8), packed);
            at = end_of_name;
        }
    }
}
