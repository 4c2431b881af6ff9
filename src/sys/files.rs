//! Reads and writes ordinary files on this machine: keys, lists, results. (For the medium see
//! `media`.)

#![expect(clippy::disallowed_methods, reason = "sys is where files are touched")]

use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::{At, FileError, Result};

/// Reads a whole file of at most `cap` bytes.
pub fn read(path: &Path, cap: u64) -> Result<Vec<u8>> {
    read_all(std::fs::File::open(path).at("read", path)?, path, cap)
}

/// Reads `reader` to its end; more than `cap` bytes are an error. `path` is for messages.
fn read_all(reader: impl Read, path: &Path, cap: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader
        .take(cap.saturating_add(1))
        .read_to_end(&mut bytes)
        .at("read", path)?;
    if bytes.len() as u64 > cap {
        let why = format!("it is longer than the {cap} bytes allowed");
        return Err(FileError::refused("read", path, &why));
    }
    Ok(bytes)
}

/// Reads a whole text file of at most `cap` bytes of UTF-8.
pub fn read_text(path: &Path, cap: u64) -> Result<String> {
    text(read(path, cap)?, path)
}

/// Reads standard input to its end: at most `cap` bytes of UTF-8.
pub fn read_stdin(cap: u64) -> Result<String> {
    let name = Path::new("standard input");
    text(read_all(std::io::stdin().lock(), name, cap)?, name)
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| FileError::refused("read", path, "it is not UTF-8 text"))
}

/// The users who can read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Only its owner, who is this process's user or root.
    OwnerOnly,
    /// Also its group or others; or the file belongs to another user.
    Others,
}

/// Returns who can read a file, by its owner and mode bits. Some file systems have no modes of
/// their own; then these are the same for all files of a mount.
pub fn readers(path: &Path) -> Result<Readers> {
    let metadata = std::fs::metadata(path).at("look at", path)?;
    let own = metadata.uid() == rustix::process::geteuid().as_raw() || metadata.uid() == 0;
    if own && metadata.permissions().mode() & 0o077 == 0 {
        Ok(Readers::OwnerOnly)
    } else {
        Ok(Readers::Others)
    }
}

/// Returns true if a file, directory or link has this name. Does not follow links.
pub fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Returns true if the path is a directory. Follows links.
pub fn is_dir(path: &Path) -> bool {
    path.is_dir()
}

/// Returns true if the path is a regular file or a link to one.
pub fn is_file(path: &Path) -> bool {
    path.is_file()
}

/// Returns the path without links, `.` and `..`; it must exist.
pub fn resolve(path: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(path).at("find", path)
}

/// Returns the path without links, `.` and `..`. Its last parts may be missing; they are kept as
/// they are.
pub fn resolve_ahead(path: &Path) -> Result<PathBuf> {
    let mut there = std::path::absolute(path).at("find", path)?;
    let mut missing = Vec::new();
    loop {
        match (std::fs::canonicalize(&there), there.file_name()) {
            (Ok(found), _) => {
                return Ok(missing.iter().rev().fold(found, |all, part| all.join(part)));
            }
            (Err(error), Some(name)) if error.kind() == std::io::ErrorKind::NotFound => {
                missing.push(name.to_owned());
                there.pop();
            }
            (Err(error), _) => return Err(FileError::new("find", path, error)),
        }
    }
}

/// Returns the names in a directory, sorted, without those that are not UTF-8.
pub fn names_in(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).at("list", directory)? {
        if let Ok(name) = entry.at("list", directory)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Creates a directory and its missing parents. Succeeds if it exists.
pub fn make_dirs(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).at("make the directory", path)
}

/// Creates a directory that only its owner may enter, and its missing parents.
pub fn make_private_dirs(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .at("make the directory", path)
}

/// Writes a new file. Fails if the file exists, and leaves it unchanged. `mode` as in chmod. A file
/// that could not be written to its end is removed.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .at("write", path)?;
    fill(file, path, bytes)
}

/// Writes the content of a file that was just created; removes the file if that fails.
fn fill(mut file: std::fs::File, path: &Path, bytes: &[u8]) -> Result<()> {
    let written = file
        .write_all(bytes)
        .at("write", path)
        .and_then(|()| file.sync_all().at("flush", path));
    if written.is_err() {
        // Left behind, it would make the same command fail because the file exists.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// Replaces a file atomically: after a crash it has either its new or its old content. `mode` as
/// in chmod.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".airferry-")
        .permissions(std::fs::Permissions::from_mode(mode))
        .tempfile_in(directory)
        .at("write", path)?;
    file.write_all(bytes).at("write", path)?;
    file.as_file().sync_all().at("flush", path)?;
    file.persist(path)
        .map_err(|error| FileError::new("write", path, error.error))?;
    std::fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .at("flush the directory", directory)
}

/// Removes a file. Succeeds if it does not exist.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::new("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Creates a hard link `to` to the file `from`; copies the file if it cannot be linked.
pub fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    match std::fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(FileError::new("link", to, error))
        }
        Err(_) => std::fs::copy(from, to).at("copy to", to).map(drop),
    }
}

/// Creates a symbolic link with exactly this target.
pub fn symlink(target: &str, link: &Path) -> Result<()> {
    std::os::unix::fs::symlink(target, link).at("make the symbolic link", link)
}

/// A new file that gets its name once it is complete.
#[derive(Debug)]
pub struct NewFile {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl NewFile {
    /// Creates the file under a temporary name.
    pub fn create(path: &Path) -> Result<Self> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let file = tempfile::Builder::new()
            .prefix(".airferry-")
            .permissions(std::fs::Permissions::from_mode(0o644))
            .tempfile_in(directory)
            .at("write", path)?;
        let path = path.to_owned();
        Ok(Self { file, path })
    }

    /// Writes the next bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).at("write", &self.path)
    }

    /// Gives the file its name. Does not flush it to the disk: the tree can be made again, so
    /// waiting for each of its files is not worth it.
    pub fn keep(self) -> Result<()> {
        let path = self.path;
        // Some file systems (exFAT through FUSE) cannot rename without replacing.
        if exists(&path) {
            return Err(FileError::new(
                "write",
                &path,
                std::io::ErrorKind::AlreadyExists.into(),
            ));
        }
        match self.file.persist(&path) {
            Ok(_) => Ok(()),
            Err(error) => Err(FileError::new("write", &path, error.error)),
        }
    }
}

/// A file that gets its name, replacing an older file, once it is complete and durable.
#[derive(Debug)]
pub struct DurableFile {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl DurableFile {
    /// Creates the file under a temporary name in an existing directory. `mode` as in chmod.
    pub fn create(path: &Path, mode: u32) -> Result<Self> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let file = tempfile::Builder::new()
            .prefix(".airferry-")
            .permissions(std::fs::Permissions::from_mode(mode))
            .tempfile_in(directory)
            .at("write", path)?;
        // Set again, because the umask may have removed bits from the mode.
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(mode))
            .at("write", path)?;
        let path = path.to_owned();
        Ok(Self { file, path })
    }

    /// Returns the name that the file will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Flushes the file and gives it its name.
    pub fn keep(self) -> Result<()> {
        let path = self.path;
        self.file.as_file().sync_all().at("flush", &path)?;
        self.file
            .persist(&path)
            .map_err(|error| FileError::new("write", &path, error.error))?;
        let directory = path.parent().unwrap_or(Path::new("."));
        std::fs::File::open(directory)
            .and_then(|directory| directory.sync_all())
            .at("flush the directory", directory)
    }
}

impl Write for DurableFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_refused_and_not_cut() {
        let name = Path::new("standard input");
        assert_eq!(read_all(&b"quay.io/a:v10"[..], name, 13).unwrap().len(), 13);
        let error = read_all(&b"quay.io/a:v10"[..], name, 12).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("longer than the 12 bytes"), "{cause}");
    }

    #[test]
    fn a_new_file_that_cannot_be_written_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("exporter.pem");
        write_new(&path, b"key", 0o600).unwrap();
        // Opened for reading, so that writing fails.
        fill(std::fs::File::open(&path).unwrap(), &path, b"key").unwrap_err();
        assert!(!exists(&path));
    }
}
