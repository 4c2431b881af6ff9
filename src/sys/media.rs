//! A bundle's directory on a medium that is stupid and may be hostile.
//!
//! Paths here are relative, ASCII, at most one directory deep, and never taken from the medium:
//! they come from constants and numbers. Files are opened component by component without
//! following links and must be regular (bundle-format.md, R-02). [`Media`] is a trait so that
//! tests can cut the power.

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

use super::error::{At, IoAt, Refusal, Result};
pub use dir_media::DirMedia;

/// What a directory entry is, without following it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file of this many bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A link, device, socket or pipe.
    Other,
}

/// One thing found below the bundle's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path relative to the bundle, made printable where it was not UTF-8.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
}

/// What lies below a directory, to the bottom; links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weight {
    /// Regular files.
    pub files: u64,
    /// Everything that lies there, directories included.
    pub entries: u64,
    /// What is neither a regular file nor a directory: links, pipes, sockets.
    pub others: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether everything was counted: not where there is too much of it, or somebody else's
    /// directory cannot be read.
    pub is_whole: bool,
}

impl Weight {
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
    /// Fills `buffer` from `offset`; stops early only at the end. Returns the bytes read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Length in bytes now.
    fn length(&self) -> Result<u64>;
}

/// Fills `buffer` from a file at `offset`; stops early only at its end. Returns the bytes read.
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

/// A file open for writing at its end, or over what stands in it.
pub trait WriteFile: Send {
    /// Writes all bytes.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Goes on writing at `position`, over what may stand there. What stands behind stays until
    /// [`Media::cut`].
    fn seek(&mut self, position: u64) -> Result<()>;

    /// Waits until everything written is durable.
    fn sync(&mut self) -> Result<()>;
}

/// A bundle's directory.
pub trait Media: Send + Sync {
    /// Where it is, for messages.
    fn root(&self) -> &Path;

    /// Opens a regular file for reading.
    fn open(&self, path: &str) -> Result<Box<dyn ReadAt>>;

    /// Opens a regular file for writing at its end; makes it when it is missing.
    fn append_to(&self, path: &str) -> Result<Box<dyn WriteFile>>;

    /// Makes a directory durably; one that is there is fine.
    fn make_dir(&self, path: &str) -> Result<()>;

    /// Cuts a regular file to `length` bytes, durably; a shorter one stays as it is. Where the
    /// file system cannot shorten files, this needs room for a copy.
    fn cut(&self, path: &str, length: u64) -> Result<()>;

    /// Renames durably, replacing what was there.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a file; one that is missing is fine.
    fn remove(&self, path: &str) -> Result<()>;

    /// Removes a directory; one that is missing, or that holds something, is fine.
    fn remove_dir(&self, path: &str) -> Result<()>;

    /// Makes names in a directory durable (`""` is the bundle's own).
    fn sync_dir(&self, path: &str) -> Result<()>;

    /// Lists everything below the bundle's directory, two levels deep, sorted by path.
    fn list(&self) -> Result<Vec<Entry>>;

    /// Weighs every directory in the bundle's own that is not one of `own`, and every directory
    /// in one of those. Nothing that is wrong with them is an error.
    fn weigh_others(&self, own: &[&str]) -> BTreeMap<String, Weight>;
}

impl dyn Media + '_ {
    /// Reads a small file whole.
    ///
    /// Fails when it has more than `cap` bytes; nothing is allocated by its claimed length.
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

    /// Reads a small file whole, or nothing when it is missing.
    pub fn read_if_present(&self, path: &str, cap: u64) -> Result<Option<Vec<u8>>> {
        match self.read(path, cap) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a small file so that it is there durably and whole, or not at all.
    pub fn write_atomically(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.write_pieces_atomically(path, &mut |out| out.write_all(bytes))
    }

    /// The same for a file that is made piece by piece and never in memory.
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

/// A file of the medium for those who write to streams; keeps the medium's own error for later.
struct Appending {
    file: Box<dyn WriteFile>,
    failed: Option<IoAt>,
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

/// Reads a file from a position on, as a stream.
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
    /// The `length` bytes from `offset` on.
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
