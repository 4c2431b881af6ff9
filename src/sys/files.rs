//! Reads and writes ordinary files on this machine: keys, lists, results. (For the medium see
//! `media`.)

#![expect(clippy::disallowed_methods, reason = "sys is where files are touched")]

use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::{At, IoAt, Result};

/// Reads a whole file of at most `cap` bytes.
pub fn read(path: &Path, cap: u64) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).at("read", path)?;
    let mut bytes = Vec::new();
    file.take(cap.saturating_add(1))
        .read_to_end(&mut bytes)
        .at("read", path)?;
    if bytes.len() as u64 > cap {
        let why = format!("it is longer than the {cap} bytes allowed");
        return Err(IoAt::refused("read", path, &why));
    }
    Ok(bytes)
}

/// Reads a whole text file of at most `cap` bytes of UTF-8.
pub fn read_text(path: &Path, cap: u64) -> Result<String> {
    String::from_utf8(read(path, cap)?)
        .map_err(|_| IoAt::refused("read", path, "it is not UTF-8 text"))
}

/// Reads standard input to its end, but at most the first `cap` bytes, as UTF-8.
pub fn read_stdin(cap: u64) -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(cap)
        .read_to_string(&mut text)
        .at("read", "standard input")?;
    Ok(text)
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

/// Writes a new file. Fails if the file exists, and leaves it unchanged. `mode` as in chmod.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .at("write", path)?;
    file.write_all(bytes).at("write", path)?;
    file.sync_all().at("flush", path)
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
        .map_err(|error| IoAt::new("write", path, error.error))?;
    std::fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .at("flush the directory", directory)
}

/// Removes a file. Succeeds if it does not exist.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(IoAt::new("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Creates a hard link `to` to the file `from`; copies the file if it cannot be linked.
pub fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    match std::fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(IoAt::new("link", to, error))
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
            return Err(IoAt::new(
                "write",
                &path,
                std::io::ErrorKind::AlreadyExists.into(),
            ));
        }
        match self.file.persist(&path) {
            Ok(_) => Ok(()),
            Err(error) => Err(IoAt::new("write", &path, error.error)),
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
            .map_err(|error| IoAt::new("write", &path, error.error))?;
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
