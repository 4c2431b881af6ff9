//! A directory that is opened once, and accessed without following links.
//!
//! Every path is relative to its handle and opened component by component, so renaming or linking
//! by another process cannot redirect access to another place.

#![expect(clippy::disallowed_methods, reason = "sys is where files are touched")]

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self as sysfs, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::open_file::OpenFile;
use super::{Entry, EntryKind, ReadAt, WriteFile};
use crate::model::Limits;
use crate::sys::error::{At, FileError, Refusal, Result};

/// The handle of a directory, and the path by which it was opened, for messages.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    root: PathBuf,
    handle: Arc<OwnedFd>,
}

impl Directory {
    /// Opens an existing directory. Follows a link to it, since the operator named it.
    pub(super) fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref().to_owned();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = sysfs::open(&root, flags, Mode::empty()).at("open", &root)?;
        let handle = Arc::new(handle);
        Ok(Self { root, handle })
    }

    /// Creates the directory and its parents if they do not exist, and opens it.
    pub(super) fn create(root: impl AsRef<Path>) -> Result<Self> {
        std::fs::create_dir_all(&root).at("make the directory", &root)?;
        Self::open(root)
    }

    /// Returns the path by which it was opened.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the directory's handle, for locking and for queries about its file system.
    pub(super) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    fn shown(&self, path: &str) -> PathBuf {
        if path.is_empty() {
            self.root.clone()
        } else {
            self.root.join(path)
        }
    }

    /// Opens the directory part of `path` without following links. Returns it with the file name.
    fn parent<'a>(&self, path: &'a str) -> Result<(OwnedFd, &'a str)> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.directory(directory).map_err(|error| {
            // The caller named the file, so a missing directory is reported as a missing file.
            if error.is_not_found() {
                FileError::new("open", self.shown(path), io::ErrorKind::NotFound.into())
            } else {
                error
            }
        })?;
        Ok((parent, name))
    }

    /// Opens a directory in this one; `""` is this one.
    pub(super) fn directory(&self, path: &str) -> Result<OwnedFd> {
        let name = if path.is_empty() { "." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        sysfs::openat(&self.handle, name, flags, Mode::empty()).at("open", self.shown(path))
    }

    fn open_regular(&self, path: &str, flags: OFlags, operation: &'static str) -> Result<File> {
        let (parent, name) = self.parent(path)?;
        // NONBLOCK: opening a planted pipe must not wait for its other end.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let shown = self.shown(path);
        let handle = match sysfs::openat(&parent, name, flags, mode) {
            Ok(handle) => handle,
            // LOOP: a link. NXIO: a socket, or a device that is not there.
            Err(Errno::LOOP | Errno::NXIO) => {
                return Err(Refusal::NotRegular.at(operation, shown));
            }
            Err(error) => return Err(FileError::new(operation, shown, error.into())),
        };
        let stat = sysfs::fstat(&handle).at(operation, &shown)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Refusal::NotRegular.at(operation, shown));
        }
        Ok(File::from(handle))
    }

    /// Opens a regular file for reading.
    pub(super) fn open_to_read(&self, path: &str) -> Result<OpenFile> {
        let file = self.open_regular(path, OFlags::RDONLY, "open")?;
        let path = self.shown(path);
        Ok(OpenFile { file, path })
    }

    /// Opens a file for writing at its end; creates it if it does not exist.
    pub(super) fn open_to_write(&self, path: &str) -> Result<OpenFile> {
        let mut file = self.open_regular(path, OFlags::WRONLY | OFlags::CREATE, "write")?;
        let path = self.shown(path);
        file.seek(SeekFrom::End(0)).at("write", &path)?;
        Ok(OpenFile { file, path })
    }

    /// Creates a directory durably. Succeeds if it exists.
    pub(super) fn make_dir(&self, path: &str) -> Result<()> {
        let shown = self.shown(path);
        match sysfs::mkdirat(&self.handle, path, Mode::from_raw_mode(0o755)) {
            Ok(()) => self.sync_dir(""),
            Err(Errno::EXIST) => self.directory(path).map(drop),
            Err(error) => Err(FileError::new("make the directory", shown, error.into())),
        }
    }

    /// Cuts a regular file to `length` bytes in place, durably.
    pub(super) fn shorten(&self, path: &str, length: u64) -> Result<()> {
        let file = self.open_regular(path, OFlags::WRONLY, "cut")?;
        file.set_len(length)
            .and_then(|()| file.sync_all())
            .at("cut", self.shown(path))
    }

    /// Replaces a file by the first `length` bytes of `source`. On failure, the file stays
    /// unchanged and the temporary copy is removed.
    pub(super) fn replace_by_beginning(
        &self,
        path: &str,
        source: &dyn ReadAt,
        length: u64,
    ) -> Result<()> {
        let temporary = format!("{path}.tmp");
        let copied = self.copy_beginning(source, &temporary, length);
        if copied.is_err() {
            // The first error is reported: it says more than a failure to remove the copy.
            let _ = self.remove(&temporary);
        }
        copied.and_then(|()| self.rename(&temporary, path))
    }

    /// Copies the first `length` bytes of `source` to a new file, durably.
    fn copy_beginning(&self, source: &dyn ReadAt, to: &str, length: u64) -> Result<()> {
        self.remove(to)?;
        let mut copy = self.open_to_write(to)?;
        self.copy_into(&mut copy, source, to, length)
    }

    /// Copies the first `length` bytes of `source` into an open file, durably. `to` is its path,
    /// for messages.
    pub(super) fn copy_into(
        &self,
        copy: &mut OpenFile,
        source: &dyn ReadAt,
        to: &str,
        length: u64,
    ) -> Result<()> {
        let mut piece = vec![0; 1 << 20];
        let mut done = 0;
        while done < length {
            let wanted = usize::try_from(length - done).map_or(piece.len(), |n| n.min(piece.len()));
            let room = piece.get_mut(..wanted).unwrap_or_default();
            let read = source.read_at(room, done)?;
            if read == 0 {
                let why = "the source became shorter while it was copied";
                return Err(FileError::refused("write", self.shown(to), why));
            }
            copy.append(room.get(..read).unwrap_or_default())?;
            done += read as u64;
        }
        copy.sync()
    }

    /// Renames durably, replacing an existing file.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from_parent, from_name) = self.parent(from)?;
        let (to_parent, to_name) = self.parent(to)?;
        sysfs::renameat(&from_parent, from_name, &to_parent, to_name)
            .at("rename to", self.shown(to))?;
        self.sync_dir(to.rsplit_once('/').map_or("", |(directory, _)| directory))
    }

    /// Makes a file readable and executable for everybody. Does nothing on a file system without
    /// permissions.
    pub(super) fn make_executable(&self, path: &str) -> Result<()> {
        let file = self.open_regular(path, OFlags::RDONLY, "open")?;
        match sysfs::fchmod(&file, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::PERM | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
            Err(error) => {
                let shown = self.shown(path);
                Err(FileError::new("make executable", shown, error.into()))
            }
        }
    }

    /// Removes a file. Succeeds if it does not exist.
    pub(super) fn remove(&self, path: &str) -> Result<()> {
        let (parent, name) = match self.parent(path) {
            Err(error) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        match sysfs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(FileError::new("remove", self.shown(path), error.into())),
        }
    }

    /// Removes a directory. Succeeds if it does not exist, and leaves it if it is not empty.
    pub(super) fn remove_dir(&self, path: &str) -> Result<()> {
        match sysfs::unlinkat(&self.handle, path, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(FileError::new("remove", self.shown(path), error.into())),
        }
    }

    /// Makes the entries of a directory durable.
    pub(super) fn sync_dir(&self, path: &str) -> Result<()> {
        let directory = self.directory(path)?;
        match sysfs::fsync(&directory) {
            // Some file systems (FUSE among them) have no fsync for directories; they write
            // directory entries with the files.
            Ok(()) | Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(FileError::new(
                "flush the directory",
                self.shown(path),
                error.into(),
            )),
        }
    }

    /// Adds the entries of a directory, without deeper levels.
    pub(super) fn list_into(&self, directory: &str, entries: &mut Vec<Entry>) -> Result<()> {
        let handle = self.directory(directory)?;
        let shown = self.shown(directory);
        for entry in sysfs::Dir::read_from(&handle).at("list", &shown)? {
            let entry = entry.at("list", &shown)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match sysfs::statat(&handle, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(FileError::new("look at", &shown, error.into())),
            };
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => EntryKind::File(u64::try_from(stat.st_size).unwrap_or(0)),
                FileType::Directory => EntryKind::Directory,
                _ => EntryKind::Other,
            };
            let name = name.to_string_lossy();
            let path = if directory.is_empty() {
                name.into_owned()
            } else {
                format!("{directory}/{name}")
            };
            if entries.len() >= Limits::LISTED {
                let why = format!("it has more than {} entries, the limit", Limits::LISTED);
                return Err(FileError::refused("list", shown, &why));
            }
            entries.push(Entry { path, kind });
        }
        Ok(())
    }
}
