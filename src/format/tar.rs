//! Builds tar headers and entries of chunks, to the byte (bundle-format.md, sections 7.1 to 7.3).
//!
//! Written by hand, without a tar crate: readers compare these bytes, so no new release of a
//! crate may change them. Nothing here reads a tar; readers build the expected bytes and compare.

use crate::model::{ChunkId, Digest, PlanId};

pub use crate::model::{
    TAR_MARKER as MARKER, TAR_MAX_ENTRY as MAX_ENTRY, TAR_TRAILER as TRAILER, TAR_UNIT as UNIT,
};

/// [`UNIT`] as a `usize`.
pub(super) const BLOCK: usize = UNIT as usize;

/// Longest path or link name, in bytes, that a header can hold.
const NAME: usize = 100;

/// Keys of the records in an extended header.
const PATH: &str = "path";
const LINK_PATH: &str = "linkpath";

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file with data.
    File,
    /// A hard link to a file that came before.
    HardLink,
    /// A symbolic link.
    Symlink,
}

/// An entry that the profile cannot express.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("An entry of {size} bytes does not fit into a tar header")]
pub struct EntryTooLong {
    /// Length of the data in bytes.
    pub size: u64,
}

/// Returns the number of zero bytes that follow `length` bytes of data.
pub const fn padding(length: u64) -> u64 {
    (UNIT - length % UNIT) % UNIT
}

/// Returns the offset of the header that follows `length` bytes of data at `offset`; `None` if
/// the sum overflows.
pub fn end_of_data(offset: u64, length: u64) -> Option<u64> {
    offset.checked_add(length)?.checked_next_multiple_of(UNIT)
}

/// Appends zero bytes up to the next multiple of [`UNIT`].
pub(super) fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
}

/// Builds the header of an entry, preceded by an extended header if a name is longer than
/// 100 bytes. `link` is empty for files; `size` is 0 for links.
///
/// # Errors
///
/// If `size` does not fit into 11 octal digits.
pub fn header(path: &str, kind: EntryKind, size: u64, link: &str) -> Result<Vec<u8>, EntryTooLong> {
    let mut records = Vec::new();
    for (key, value) in [(PATH, path), (LINK_PATH, link)] {
        if value.len() > NAME {
            push_pax_record(&mut records, key, value);
        }
    }
    let mut bytes = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        bytes.extend_from_slice(&block(b"pax", b'x', 0o644, records.len() as u64, b"")?);
        bytes.extend_from_slice(&records);
        pad(&mut bytes);
    }
    let (type_flag, mode) = match kind {
        EntryKind::File => (b'0', 0o644),
        EntryKind::HardLink => (b'1', 0o644),
        EntryKind::Symlink => (b'2', 0o777),
    };
    let (path, link) = (path.as_bytes(), link.as_bytes());
    bytes.extend_from_slice(&block(path, type_flag, mode, size, link)?);
    Ok(bytes)
}

/// Returns the length in bytes of the result of [`header`], from the lengths of path and link.
pub(super) fn header_length(path: usize, link: usize) -> usize {
    let record = |key: &str, value: usize| match value > NAME {
        true => pax_record_length(key, value),
        false => 0,
    };
    match record(PATH, path) + record(LINK_PATH, link) {
        0 => BLOCK,
        records => 2 * BLOCK + records.next_multiple_of(BLOCK),
    }
}

/// Appends the record `<length> <key>=<value>\n`, where the length counts the whole record.
fn push_pax_record(records: &mut Vec<u8>, key: &str, value: &str) {
    let length = pax_record_length(key, value.len());
    records.extend_from_slice(length.to_string().as_bytes());
    for part in [" ", key, "=", value, "\n"] {
        records.extend_from_slice(part.as_bytes());
    }
}

fn pax_record_length(key: &str, value: usize) -> usize {
    let digits = |number: usize| number.checked_ilog10().map_or(1, |log| log as usize + 1);
    let rest = key.len() + value + " =\n".len();
    let mut length = rest;
    // Adding the digits can make the number one digit longer; the loop then ends.
    while length != rest + digits(length) {
        length = rest + digits(length);
    }
    length
}

/// Builds one header block.
fn block(
    path: &[u8],
    type_flag: u8,
    mode: u32,
    size: u64,
    link: &[u8],
) -> Result<[u8; BLOCK], EntryTooLong> {
    if size >= MAX_ENTRY {
        return Err(EntryTooLong { size });
    }
    let mut header = [0u8; BLOCK];
    let mut put = |offset: usize, field: &[u8]| {
        let end = offset.saturating_add(field.len());
        if let Some(slot) = header.get_mut(offset..end) {
            slot.copy_from_slice(field);
        }
    };
    put(0, path.get(..NAME).unwrap_or(path));
    put(100, &octal::<7>(mode.into()));
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, &octal::<11>(size));
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[type_flag]);
    put(157, link.get(..NAME).unwrap_or(link));
    put(257, b"ustar\x0000");
    put(329, b"0000000");
    put(337, b"0000000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let mut field = [0, 0, 0, 0, 0, 0, 0, b' '];
    field[..6].copy_from_slice(&octal::<6>(sum.into()));
    header[148..156].copy_from_slice(&field);
    Ok(header)
}

/// Returns the last `N` octal digits of a number.
fn octal<const N: usize>(mut number: u64) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 8) as u8;
        number /= 8;
    }
    digits
}

/// Builds the marker entry, header and padded text: the first [`MARKER`] bytes of every chunk
///
pub fn marker(plan: &PlanId, chunk: ChunkId) -> Vec<u8> {
    let number = chunk.number();
    let text = format!("airferry-chunk-v1\nplan: {plan}\nchunk: {number}\n");
    let path = format!("airferry/chunk-{number:06}.txt");
    file(&path, text.as_bytes()).unwrap_or_default()
}

/// Builds the whole entry of a file in memory: header, data, padding.
pub(super) fn file(path: &str, data: &[u8]) -> Result<Vec<u8>, EntryTooLong> {
    let mut bytes = header(path, EntryKind::File, data.len() as u64, "")?;
    bytes.extend_from_slice(data);
    pad(&mut bytes);
    Ok(bytes)
}

/// Length in bytes of the path of a blob that was not cut.
pub(super) const BLOB_NAME: usize = "v2/blobs/sha256-".len() + 64;

/// Returns the path of a blob, an OCI manifest, or a part of a blob that was cut.
pub fn blob_entry_name(digest: &Digest, part: Option<u32>) -> String {
    match part {
        Some(part) => format!("v2/blobs/sha256-{}.{part:04}", digest.hex()),
        None => format!("v2/blobs/sha256-{}", digest.hex()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::chunk_id;
    use super::*;

    /// Builds the same header with the tar crate.
    fn oracle(path: &str, kind: ::tar::EntryType, mode: u32, size: u64, link: &str) -> Vec<u8> {
        let mut header = ::tar::Header::new_ustar();
        let fields = header.as_ustar_mut().unwrap();
        fields.name[..path.len()].copy_from_slice(path.as_bytes());
        fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header.set_entry_type(kind);
        header.set_device_major(0).unwrap();
        header.set_device_minor(0).unwrap();
        header.set_cksum();
        // The crate writes 7 digits and a zero byte; the profile has 6 digits, a zero byte and a
        // space.
        let sum = header.cksum().unwrap();
        let mut bytes = header.as_bytes().to_vec();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes
    }

    #[test]
    fn headers_are_those_of_the_tar_crate() {
        for size in [0, 1, 511, 1 << 20, MAX_ENTRY - 1] {
            let found = header("v2/blobs/sha256-00", EntryKind::File, size, "").unwrap();
            let expected = oracle(
                "v2/blobs/sha256-00",
                ::tar::EntryType::Regular,
                0o644,
                size,
                "",
            );
            assert_eq!(found, expected);
        }
        let long = "x".repeat(100);
        let found = header(&long, EntryKind::HardLink, 0, &long).unwrap();
        assert_eq!(
            found,
            oracle(&long, ::tar::EntryType::Link, 0o644, 0, &long)
        );
        let found = header("a", EntryKind::Symlink, 0, "b").unwrap();
        assert_eq!(found, oracle("a", ::tar::EntryType::Symlink, 0o777, 0, "b"));
        assert!(header("a", EntryKind::File, MAX_ENTRY, "").is_err());
    }

    #[test]
    fn long_names_are_read_by_the_tar_crate() {
        for length in [101, 120, 980, 985, 990, 995, 1000, 1005] {
            let path = "p".repeat(length);
            let link = "l".repeat(length + 1);
            let mut tar = header(&path, EntryKind::HardLink, 0, &link).unwrap();
            assert_eq!(&tar[..3], b"pax");
            tar.extend_from_slice(&[0; 1024]);
            let mut archive = ::tar::Archive::new(tar.as_slice());
            let mut entries = archive.entries().unwrap();
            let entry = entries.next().unwrap().unwrap();
            assert_eq!(entry.path_bytes(), path.as_bytes());
            assert_eq!(entry.link_name_bytes().unwrap(), link.as_bytes());
            assert!(entries.next().is_none());
        }
        let pax_record = |value: &str| {
            let mut record = Vec::new();
            push_pax_record(&mut record, "path", value);
            String::from_utf8(record).unwrap()
        };
        assert_eq!(pax_record("a"), "9 path=a\n");
        for (value, length) in [(90, 99), (91, 101), (989, 999), (990, 1001)] {
            let record = pax_record(&"a".repeat(value));
            assert_eq!(record.len(), length);
            assert!(record.starts_with(&format!("{length} path=")));
        }
    }

    #[test]
    fn the_length_of_a_header_is_known_without_it() {
        for path in [1, 99, 100, 101, 120, 499, 500, 501, 985, 990, 1000, 1005] {
            for link in [0, 100, 101, 986, 1005] {
                let made = header(&"p".repeat(path), EntryKind::HardLink, 0, &"l".repeat(link));
                assert_eq!(
                    made.unwrap().len(),
                    header_length(path, link),
                    "{path} {link}"
                );
            }
        }
    }

    #[test]
    fn markers_and_names() {
        let plan = PlanId::new(Digest::from_bytes([0xab; 32]));
        let marker = marker(&plan, chunk_id(7));
        assert_eq!(marker.len() as u64, MARKER);
        assert!(marker.starts_with(b"airferry/chunk-000007.txt\0"));
        let text = format!(
            "airferry-chunk-v1\nplan: sha256:{}\nchunk: 7\n",
            "ab".repeat(32)
        );
        assert_eq!(&marker[512..512 + text.len()], text.as_bytes());
        assert_eq!(super::marker(&plan, chunk_id(999_999)).len() as u64, MARKER);
        let hex = "ab".repeat(32);
        assert_eq!(
            blob_entry_name(plan.digest(), None),
            format!("v2/blobs/sha256-{hex}")
        );
        assert_eq!(
            blob_entry_name(plan.digest(), Some(3)),
            format!("v2/blobs/sha256-{hex}.0003")
        );
        assert_eq!(
            blob_entry_name(plan.digest(), Some(12345)),
            format!("v2/blobs/sha256-{hex}.12345")
        );
    }
}
