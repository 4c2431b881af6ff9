//! Writes the headers of a layer's entries, for layers that are made here.
//!
//! Owner, group and time are 0. Image digests depend on these bytes, so they must never change,
//! neither by us nor by a newer version of the `tar` crate. Chunks of bundles have their own tar
//! profile, not shared with layers, so that each can be frozen without the other.

use tar::{EntryType, Header};

use super::BLOCK;

/// Number of zero bytes that end a layer's tar.
pub const END: usize = 2 * BLOCK;

/// The smallest size in bytes that does not fit into a header's 11 octal digits.
const TOO_LONG: u64 = 1 << 33;

/// Error: an entry's size does not fit into a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("An entry of {size} bytes does not fit into a tar header")]
pub struct EntryTooLong {
    /// Size of the entry's data in bytes.
    pub size: u64,
}

/// Returns the header of a directory; `mode` as in chmod.
pub fn directory_header(path: &str, mode: u32) -> Vec<u8> {
    header(&format!("{path}/"), EntryType::Directory, mode, 0)
}

/// Returns the header of a file of `size` bytes; the data and its [`padding`] follow it.
///
/// # Errors
///
/// When `size` does not fit into 11 octal digits.
pub fn file_header(path: &str, size: u64) -> Result<Vec<u8>, EntryTooLong> {
    match size < TOO_LONG {
        true => Ok(header(path, EntryType::Regular, 0o644, size)),
        false => Err(EntryTooLong { size }),
    }
}

/// Number of zero bytes that follow `size` bytes of data.
pub const fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

/// Returns the header of an entry, after a pax header if the path is too long for its field.
fn header(path: &str, kind: EntryType, mode: u32, size: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK);
    if path.len() > Header::new_old().as_old().name.len() {
        let record = record("path", path);
        bytes.extend_from_slice(&block(
            "pax",
            EntryType::XHeader,
            0o644,
            record.len() as u64,
        ));
        bytes.extend_from_slice(record.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.extend_from_slice(&block(path, kind, mode, size));
    bytes
}

/// Returns `<length> <key>=<value>\n`, where the length counts the whole record (POSIX pax, "pax
/// Extended Header").
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut digits = 1;
    loop {
        let length = (rest.len() + digits).to_string();
        match length.len() == digits {
            true => return length + &rest,
            // The additional digit may itself make the length one digit longer.
            false => digits = length.len(),
        }
    }
}

/// One header block.
fn block(path: &str, kind: EntryType, mode: u32, size: u64) -> [u8; BLOCK] {
    let mut header = Header::new_ustar();
    if let Some(fields) = header.as_ustar_mut() {
        fields
            .name
            .iter_mut()
            .zip(path.bytes())
            .for_each(|(to, from)| *to = from);
        fields.dev_major = *b"0000000\0";
        fields.dev_minor = *b"0000000\0";
        fields.cksum = [b' '; 8];
    }
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_entry_type(kind);
    let sum: u32 = header.as_bytes().iter().map(|byte| u32::from(*byte)).sum();
    // Six digits, zero, space, as GNU tar writes it; the crate writes seven digits and a zero.
    let text = format!("{sum:06o}\0 ");
    let field = header.as_old_mut().cksum.iter_mut();
    field.zip(text.bytes()).for_each(|(to, from)| *to = from);
    *header.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a header with `size` bytes of data as a tar reader does.
    fn read(header: &[u8], size: usize) -> (String, u32, u64) {
        let tar = [header, &vec![0; size + padding(size as u64) + END]].concat();
        let mut archive = tar::Archive::new(tar.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        (path, entry.header().mode().unwrap(), entry.size())
    }

    #[test]
    fn headers_are_read_by_others() {
        for length in [1, 99, 100, 101, 120, 980, 985, 986, 987, 990, 1000, 5000] {
            let path = "p".repeat(length);
            let header = file_header(&path, 7).unwrap();
            assert!(header.len().is_multiple_of(BLOCK));
            assert_eq!(read(&header, 7), (path.clone(), 0o644, 7));
            let header = directory_header(&path, 0o1777);
            assert_eq!(read(&header, 0), (path + "/", 0o1777, 0));
        }
        assert!(file_header("a", TOO_LONG - 1).is_ok());
        let refused = EntryTooLong { size: TOO_LONG };
        assert_eq!(file_header("a", TOO_LONG), Err(refused));
    }

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record("path", "a"), "9 path=a\n");
        for (value, length) in [(90, 99), (91, 101), (989, 999), (990, 1001)] {
            let record = record("path", &"a".repeat(value));
            assert_eq!(record.len(), length);
            assert!(record.starts_with(&format!("{length} path=")));
        }
    }

    #[test]
    fn data_is_padded_to_whole_blocks() {
        let paddings = [0, 1, 511, 512, 513, TOO_LONG - 1].map(padding);
        assert_eq!(paddings, [0, 511, 1, 0, 511, 1]);
    }
}
