//! Reads one layer of an image: its tar, entry by entry (OCI image-spec, layer.md).
//!
//! Works on `Read`, in one pass, in bounded memory. The `tar` crate parses header blocks; extended
//! headers are parsed here, because the crate reads them into memory whatever their length. Nothing
//! is authenticated here: the caller must read the blob to its end, including bytes after the tar's
//! end, and compare its digest before using anything that was read.

mod decoder;
mod path;
mod tree;
pub mod write;

use std::io::{self, Read};

pub use path::{ImagePath, MAX_PATH, PathError};
pub use tree::{Tree, TreeFull, TreeNode, Visibility};

use decoder::{Decoder, Overflow};

/// Bytes of a tar block.
const BLOCK: usize = 512;

/// Maximum length of an extended header in bytes: the limit of Go's reader.
const MAX_EXTENSION: u64 = 1 << 20;

/// Maximum number of extended headers before one entry.
const MAX_EXTENSIONS: usize = 16;

/// Name prefix of whiteouts, and the names with special meaning (layer.md, "Whiteouts").
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
const META: &str = ".wh..wh.";

/// Error from reading a layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// Reading or decompressing failed.
    #[error("The layer cannot be read")]
    Read(#[source] io::Error),
    /// The layer decompresses to more than the caller allows.
    #[error("The layer decompresses to more than the {cap} bytes that are allowed")]
    TooLarge {
        /// The cap in bytes.
        cap: u64,
    },
    /// The tar is malformed.
    #[error("The layer's tar is broken: {why}")]
    Malformed {
        /// The fault, as a clause.
        why: &'static str,
    },
    /// The tar ends inside a header or a file.
    #[error("The layer's tar ends too early")]
    Truncated,
    /// An entry's path points outside the image, or is too long.
    #[error("The layer's entry `{}` has an invalid path", entry.escape_debug())]
    Path {
        /// The path, shortened.
        entry: String,
        /// The fault in the path.
        #[source]
        source: PathError,
    },
}

/// The kind of a layer's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; its content follows.
    File {
        /// Size in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// The target as written.
        target: String,
    },
    /// Another name of a file in the same layer.
    HardLink {
        /// The file.
        target: ImagePath,
    },
    /// Hides the path, and everything below it, in lower layers.
    Whiteout,
    /// Hides the content of this directory in lower layers.
    Opaque,
    /// A device, a pipe, a sparse file: an entry whose content cannot be read here.
    Other,
}

/// An entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerEntry {
    /// The path of the entry; for a whiteout, the path that it hides.
    pub path: ImagePath,
    /// The kind of the entry.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
}

/// A reader of a layer. Its [`Read`] yields the content of the file that [`Self::next_entry`]
/// returned last.
pub struct LayerReader<R: Read> {
    decoder: Decoder<R>,
    cap: u64,
    /// Bytes of the current file that are still unread, and of the padding after it.
    content: u64,
    padding: u64,
    ended: bool,
}

impl<R: Read> std::fmt::Debug for LayerReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerReader")
            .field("cap", &self.cap)
            .field("content", &self.content)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Values from extended headers for the entry that follows them.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl<R: Read> LayerReader<R> {
    /// Opens a layer: a tar, plain or compressed by gzip or zstd. At most `cap` decompressed bytes
    /// are read.
    ///
    /// # Errors
    ///
    /// When the first bytes cannot be read.
    pub fn new(source: R, cap: u64) -> Result<Self, LayerError> {
        Ok(Self {
            decoder: Decoder::new(source, cap).map_err(LayerError::Read)?,
            cap,
            content: 0,
            padding: 0,
            ended: false,
        })
    }

    /// Returns the next entry; `None` at the end of the tar. Skips the unread rest of the previous
    /// file.
    ///
    /// Left out are the image's root, aufs' own files, and names that are not UTF-8 (no path that
    /// is searched for has such a name).
    ///
    /// # Errors
    ///
    /// When the tar is broken, too large, or holds a path with `..`.
    pub fn next_entry(&mut self) -> Result<Option<LayerEntry>, LayerError> {
        while let Some((header, extended)) = self.next_header()? {
            if let Some(entry) = self.entry(&header, extended)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Returns the next header that is not an extension, with the values of the extensions before
    /// it.
    fn next_header(&mut self) -> Result<Option<(tar::Header, Extended)>, LayerError> {
        let mut extended = Extended::default();
        for _ in 0..=MAX_EXTENSIONS {
            self.skip_rest()?;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let kind = header.entry_type();
            // Sizes of these kinds are ignored, as in Go.
            let has_content = !(kind.is_hard_link()
                || kind.is_symlink()
                || kind.is_dir()
                || kind.is_fifo()
                || kind.is_block_special()
                || kind.is_character_special());
            let bad_size = |_| LayerError::Malformed {
                why: "a size is not a number",
            };
            let is_extension = kind.is_pax_local_extensions()
                || kind.is_pax_global_extensions()
                || kind.is_gnu_longname()
                || kind.is_gnu_longlink();
            let size = match extended.size.filter(|_| !is_extension) {
                _ if !has_content => 0,
                Some(size) => size,
                None => header.entry_size().map_err(bad_size)?,
            };
            self.content = size;
            self.padding = size.wrapping_neg() % BLOCK as u64;
            if kind.is_pax_local_extensions() {
                let records = self.extension()?;
                read_records(&records, &mut extended)?;
            } else if kind.is_gnu_longname() {
                extended.path = Some(until_zero(self.extension()?));
            } else if kind.is_gnu_longlink() {
                extended.link = Some(until_zero(self.extension()?));
            } else if !kind.is_pax_global_extensions() {
                return Ok(Some((header, extended)));
            }
        }
        Err(LayerError::Malformed {
            why: "an entry has too many extended headers",
        })
    }

    /// Converts a header to an entry; `None` for an entry that is left out.
    fn entry(
        &mut self,
        header: &tar::Header,
        extended: Extended,
    ) -> Result<Option<LayerEntry>, LayerError> {
        let raw = extended.path;
        let raw = raw.unwrap_or_else(|| header.path_bytes().into_owned());
        let Ok(text) = std::str::from_utf8(&raw) else {
            return Ok(None);
        };
        let path = match text.parse::<ImagePath>() {
            Ok(path) => path,
            Err(PathError::Empty) => return Ok(None),
            Err(source) => return Err(bad_path(text, source)),
        };
        let name = path.name();
        let hidden = |name: &str| path.sibling(name).map_err(|source| bad_path(text, source));
        let (path, kind) = if name == OPAQUE {
            match path.parent() {
                Some(parent) => (parent, EntryKind::Opaque),
                // An opaque root would hide all lower layers; no known tool makes one.
                None => {
                    return Err(LayerError::Malformed {
                        why: "it makes the image's root opaque",
                    });
                }
            }
        } else if name.starts_with(META) {
            return Ok(None);
        } else if let Some(name) = name.strip_prefix(WHITEOUT) {
            match name {
                "" | "." | ".." => {
                    return Err(LayerError::Malformed {
                        why: "a whiteout names nothing",
                    });
                }
                name => (hidden(name)?, EntryKind::Whiteout),
            }
        } else {
            let link = extended.link.or_else(|| link_name(header));
            let Some(kind) = self.kind(header, text, link, extended.sparse)? else {
                return Ok(None);
            };
            (path, kind)
        };
        Ok(Some(LayerEntry {
            path,
            kind,
            mode: header.mode().unwrap_or(0) & 0o7777,
        }))
    }

    /// Determines the kind of an entry that is not a whiteout.
    fn kind(
        &self,
        header: &tar::Header,
        text: &str,
        link: Option<Vec<u8>>,
        sparse: bool,
    ) -> Result<Option<EntryKind>, LayerError> {
        let kind = header.entry_type();
        let link = || {
            let link = link.unwrap_or_default();
            String::from_utf8(link).ok().filter(|link| !link.is_empty())
        };
        let directory = kind.is_dir() || (kind.is_file() && text.ends_with('/'));
        Ok(Some(if directory {
            EntryKind::Directory
        } else if sparse {
            EntryKind::Other
        } else if kind.is_file() || kind.is_contiguous() {
            EntryKind::File { size: self.content }
        } else if kind.is_symlink() {
            // A target that is empty or not UTF-8 cannot be followed.
            match link() {
                Some(target) if target.len() > MAX_PATH => {
                    return Err(bad_path(text, PathError::TooLong));
                }
                Some(target) => EntryKind::Symlink { target },
                None => EntryKind::Other,
            }
        } else if kind.is_hard_link() {
            match link() {
                Some(target) => EntryKind::HardLink {
                    target: target.parse().map_err(|source| bad_path(&target, source))?,
                },
                None => EntryKind::Other,
            }
        } else {
            EntryKind::Other
        }))
    }

    /// Reads a header block and verifies its checksum; `None` at the end.
    fn header(&mut self) -> Result<Option<tar::Header>, LayerError> {
        if self.ended {
            return Ok(None);
        }
        let mut header = tar::Header::new_old();
        let mut have = 0;
        while have < BLOCK {
            let room = header.as_mut_bytes().get_mut(have..).unwrap_or_default();
            match self.decoder.read(room) {
                Ok(0) => break,
                Ok(read) => have += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        let bytes = header.as_bytes();
        // A tar without its final zero blocks is accepted, as other readers do.
        if have == 0 || bytes.iter().all(|byte| *byte == 0) {
            self.ended = true;
            return Ok(None);
        }
        if have < BLOCK {
            return Err(LayerError::Truncated);
        }
        let malformed = |why| LayerError::Malformed { why };
        let said = header.cksum();
        let said = said.map_err(|_| malformed("a checksum is not a number"))?;
        let (mut unsigned, mut signed) = (0u32, 0i64);
        for (index, byte) in bytes.iter().enumerate() {
            let byte = if (148..156).contains(&index) {
                b' '
            } else {
                *byte
            };
            unsigned += u32::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        if said != unsigned && i64::from(said) != signed {
            return Err(malformed("a header's checksum is wrong"));
        }
        Ok(Some(header))
    }

    /// Reads the content of an extended header.
    fn extension(&mut self) -> Result<Vec<u8>, LayerError> {
        if self.content > MAX_EXTENSION {
            return Err(LayerError::Malformed {
                why: "an extended header is too long",
            });
        }
        let wanted = self.content;
        let mut bytes = Vec::new();
        let read = self.by_ref().take(wanted).read_to_end(&mut bytes);
        read.map_err(|error| self.failed(error))?;
        Ok(bytes)
    }

    /// Skips the rest of the current entry.
    fn skip_rest(&mut self) -> Result<(), LayerError> {
        let copied = io::copy(self, &mut io::sink());
        copied.map_err(|error| self.failed(error))?;
        let padding = std::mem::take(&mut self.padding);
        let skipped = io::copy(&mut (&mut self.decoder).take(padding), &mut io::sink());
        // Accept missing padding at the very end of the tar.
        skipped.map_err(|error| self.failed(error)).map(drop)
    }

    /// Converts an I/O error from reading to a [`LayerError`].
    pub fn failed(&self, error: io::Error) -> LayerError {
        let cause = error.get_ref();
        if cause.is_some_and(|cause| cause.is::<Overflow>()) {
            LayerError::TooLarge { cap: self.cap }
        } else if cause.is_some_and(|cause| cause.is::<Ended>()) {
            LayerError::Truncated
        } else {
            LayerError::Read(error)
        }
    }
}

/// Cause of an `io::Error`: the tar ends inside a file.
#[derive(Debug, thiserror::Error)]
#[error("The layer's tar ends too early")]
struct Ended;

impl<R: Read> Read for LayerReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.content).unwrap_or(usize::MAX);
        let length = wanted.min(buffer.len());
        let room = buffer.get_mut(..length).unwrap_or_default();
        if room.is_empty() {
            return Ok(0);
        }
        let read = self.decoder.read(room)?;
        if read == 0 {
            return Err(io::Error::other(Ended));
        }
        self.content -= read as u64;
        Ok(read)
    }
}

fn bad_path(text: &str, source: PathError) -> LayerError {
    LayerError::Path {
        entry: text.chars().take(200).collect(),
        source,
    }
}

fn link_name(header: &tar::Header) -> Option<Vec<u8>> {
    header.link_name_bytes().map(|name| name.into_owned())
}

fn until_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    bytes
}

/// Reads `<length> <key>=<value>\n` records (POSIX pax, "pax Extended Header").
fn read_records(mut bytes: &[u8], extended: &mut Extended) -> Result<(), LayerError> {
    const BROKEN: LayerError = LayerError::Malformed {
        why: "an extended header is broken",
    };
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ');
        let digits = space.and_then(|space| bytes.get(..space)).ok_or(BROKEN)?;
        let length: usize = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or(BROKEN)?;
        let (record, rest) = bytes.split_at_checked(length).ok_or(BROKEN)?;
        let record = record.get(digits.len() + 1..).ok_or(BROKEN)?;
        let record = record.strip_suffix(b"\n").ok_or(BROKEN)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or(BROKEN)?;
        let (key, value) = (record.get(..equals), record.get(equals + 1..));
        let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
        match key {
            b"path" => extended.path = Some(value.to_vec()),
            b"linkpath" => extended.link = Some(value.to_vec()),
            b"size" => {
                let size = std::str::from_utf8(value).ok();
                extended.size = Some(size.and_then(|size| size.parse().ok()).ok_or(BROKEN)?);
            }
            key if key.starts_with(b"GNU.sparse.") => extended.sparse = true,
            _ => {}
        }
        bytes = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
