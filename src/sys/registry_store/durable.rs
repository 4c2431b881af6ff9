//! Changes directories so that each change is durable on return.

use std::io::{self, Write};
use std::path::Path;

use fs_err as fs;

/// Makes a directory's entries durable.
pub(super) fn sync_dir(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// Makes the entry of `path` in its directory durable.
pub(super) fn sync_entry(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_dir)
}

/// Creates a directory and its missing parents.
pub(super) fn ensure_dir(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        ensure_dir(parent)?;
    }
    match fs::create_dir(directory) {
        Ok(()) => sync_entry(directory),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Moves a synced file to its visible place, replacing an existing file.
pub(super) fn publish(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        ensure_dir(parent)?;
    }
    fs::rename(from, to)?;
    sync_entry(to)
}

/// Writes a small file that becomes visible only when complete.
pub(super) fn replace(temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(temporary)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    let written = file.into_temp_path();
    publish(&written, path)?;
    // The file was moved out of the temporary directory, so there is nothing to remove.
    let _ = written.keep();
    Ok(())
}

/// Creates an empty file, unless it exists.
pub(super) fn touch(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        ensure_dir(parent)?;
    }
    match fs::File::create_new(path) {
        Ok(_) => sync_entry(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a file. Returns true if it existed.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => sync_entry(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
