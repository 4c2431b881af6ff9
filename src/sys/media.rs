//! Access to a bundle's directory on a medium that may be limited or hostile.
//!
//! Paths are relative, ASCII, at most one directory deep, and never taken from the medium: they
//! are built from constants and numbers. Files are opened component by component without
//! following links and must be regular (bundle-format.md, R-02). [`Media`] is a trait so that
//! tests can simulate power cuts.

mod attributes;
mod dir_media;
mod directory;
mod open_file;
mod sequential;
mod weigh;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::{At, FileError, Refusal, Result};
pub use attributes::Attribute;
pub use dir_media::DirMedia;

/// The type of a directory entry. Links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file, with its length in bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A link, device, socket or pipe.
    Other,
}

/// A file, directory or other entry in the bundle's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path relative to the bundle, made printable if it is not UTF-8.
    pub path: String,
    /// Type of the entry.
    pub kind: EntryKind,
}

/// The counted content of a directory, with all levels below it. Links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirectoryTotals {
    /// Number of regular files.
    pub files: u64,
    /// Number of all entries, directories included.
    pub entries: u64,
    /// Number of entries that are neither regular files nor directories: links, pipes, sockets.
    pub others: u64,
    /// Total length of the regular files in bytes.
    pub bytes: u64,
    /// True if everything was counted. False if a limit was reached or a directory could not be
    /// read.
    pub is_whole: bool,
}

impl DirectoryTotals {
    fn add(&mut self, other: &Self) {
        self.files = self.files.saturating_add(other.files);
        self.entries = self.entries.saturating_add(other.entries);
        self.others = self.others.saturating_add(other.others);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.is_whole &= other.is_whole;
    }
}

/// A file open for reading at any offset.
pub trait ReadAt: Send + Sync {
    /// Fills `buffer` from `offset`. Reads less only at the end of the file. Returns the bytes
    /// read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Returns the present length in bytes.
    fn length(&self) -> Result<u64>;
}

/// Fills `buffer` from a file at `offset`. Reads less only at its end. Returns the bytes read.
pub(super) fn fill_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// A file open for writing, at its end or over existing bytes.
pub trait WriteFile: Send {
    /// Writes all bytes.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Continues writing at `position`, over existing bytes. Bytes after the end of the writes
    /// stay until [`Media::cut`].
    fn seek(&mut self, position: u64) -> Result<()>;

    /// Waits until everything written is durable.
    fn sync(&mut self) -> Result<()>;
}

/// A bundle's directory.
pub trait Media: Send + Sync {
    /// Returns the directory's path, for messages.
    fn root(&self) -> &Path;

    /// Opens a regular file for reading.
    fn open(&self, path: &str) -> Result<Box<dyn ReadAt>>;

    /// Opens a regular file for writing at its end; creates it if it does not exist.
    fn append_to(&self, path: &str) -> Result<Box<dyn WriteFile>>;

    /// Creates a directory durably. Succeeds if it exists.
    fn make_dir(&self, path: &str) -> Result<()>;

    /// Cuts a regular file to `length` bytes, durably; leaves a shorter one unchanged. On a file
    /// system that cannot shorten files, this needs space for a copy.
    fn cut(&self, path: &str, length: u64) -> Result<()>;

    /// Renames durably, replacing an existing file.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a file. Succeeds if it does not exist.
    fn remove(&self, path: &str) -> Result<()>;

    /// Removes a directory. Succeeds if it does not exist, and leaves it if it is not empty.
    fn remove_dir(&self, path: &str) -> Result<()>;

    /// Makes the entries of a directory durable (`""` is the bundle's own).
    fn sync_dir(&self, path: &str) -> Result<()>;

    /// Lists everything below the bundle's directory, two levels deep, sorted by path.
    fn list(&self) -> Result<Vec<Entry>>;

    /// Returns the extended attributes of a regular file or directory in the bundle's directory;
    /// `""` is the directory itself. Empty if it cannot be opened, or the file system has none.
    fn attributes(&self, path: &str) -> Vec<Attribute>;

    /// Counts the content of every directory in the bundle's directory that is not in `own`, and
    /// of every directory in those of `own`. Failures only make the counts incomplete.
    fn count_other_directories(&self, own: &[&str]) -> BTreeMap<String, DirectoryTotals>;
}

impl dyn Media + '_ {
    /// Reads a whole small file.
    ///
    /// Fails if it has more than `cap` bytes, without allocating the length that it claims.
    pub fn read(&self, path: &str, cap: u64) -> Result<Vec<u8>> {
        let file = self.open(path)?;
        let length = file.length()?;
        if length > cap {
            return Err(Refusal::TooLong { length, cap }.at("read", self.root().join(path)));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Reads a whole small file; `None` if it does not exist.
    pub fn read_if_present(&self, path: &str, cap: u64) -> Result<Option<Vec<u8>>> {
        match self.read(path, cap) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a small file so that it is either there, complete and durable, or not at all.
    pub fn write_atomically(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.write_pieces_atomically(path, &mut |out| out.write_all(bytes))
    }

    /// As `write_atomically`, for a file that is written as a stream and never held in
    /// memory.
    pub fn write_pieces_atomically(
        &self,
        path: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        let temporary = format!("{path}.tmp");
        self.remove(&temporary)?;
        let mut out = Appending {
            file: self.append_to(&temporary)?,
            failed: None,
        };
        let written = write(&mut out);
        let Appending { mut file, failed } = out;
        match (failed, written) {
            (Some(error), _) => return Err(error),
            (None, written) => written.at("write", self.root().join(path))?,
        }
        file.sync()?;
        drop(file);
        self.rename(&temporary, path)
    }
}

/// A medium's file as a stream. Keeps the medium's error, since `io::Error` would only have its
/// text.
struct Appending {
    file: Box<dyn WriteFile>,
    failed: Option<FileError>,
}

impl Write for Appending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes).map_err(|error| {
            let told = io::Error::other(error.to_string());
            self.failed.get_or_insert(error);
            told
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a range of a file as a stream.
pub struct Reader<'a> {
    file: &'a dyn ReadAt,
    position: u64,
    end: u64,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bytes {} to {}", self.position, self.end)
    }
}

impl<'a> Reader<'a> {
    /// Creates a reader of the `length` bytes from `offset` on.
    pub fn new(file: &'a dyn ReadAt, offset: u64, length: u64) -> Self {
        Self {
            file,
            position: offset,
            end: offset.saturating_add(length),
        }
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted) else {
            return Ok(0);
        };
        let read = self
            .file
            .read_at(buffer, self.position)
            .map_err(io::Error::other)?;
        self.position += read as u64;
        Ok(read)
    }
}
