//! Stores the addresses of upload sessions on registries, so that a later run can continue them.
//!
//! A cache: losing it only costs time. The addresses are secrets (they may contain signatures),
//! so only the owner may read the files.

use std::path::{Path, PathBuf};

use super::error::Result;
use super::files;
use crate::model::Digest;

/// Largest length of a stored address in bytes.
const CAP: u64 = 64 << 10;

/// A directory with one file for each unfinished upload.
#[derive(Debug, Clone)]
pub struct SessionFiles {
    /// `None`: nothing is stored.
    directory: Option<PathBuf>,
}

impl SessionFiles {
    /// Opens a directory, and creates it if it does not exist.
    pub fn open(directory: &Path) -> Result<Self> {
        files::make_private_dirs(directory)?;
        Ok(Self {
            directory: Some(directory.to_owned()),
        })
    }

    /// Returns a store that stores nothing.
    pub fn none() -> Self {
        Self { directory: None }
    }

    fn path(&self, key: &Digest) -> Option<PathBuf> {
        let directory = self.directory.as_ref()?;
        Some(directory.join(format!("{}.session", key.hex())))
    }

    /// Returns the address stored under a key; `None` if there is none or it cannot be read.
    pub fn load(&self, key: &Digest) -> Option<String> {
        files::read_text(&self.path(key)?, CAP).ok()
    }

    /// Stores an address under a key.
    pub fn store(&self, key: &Digest, location: &str) -> Result<()> {
        match self.path(key) {
            Some(path) => files::write_atomically(&path, location.as_bytes(), 0o600),
            None => Ok(()),
        }
    }

    /// Removes the address of a key.
    pub fn remove(&self, key: &Digest) -> Result<()> {
        self.path(key).map_or(Ok(()), |path| files::remove(&path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keeps_locations_to_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let key = Digest::from_bytes([1; 32]);
        let sessions = SessionFiles::open(&directory.path().join("a/b")).unwrap();
        assert_eq!(sessions.load(&key), None);
        sessions
            .store(&key, "https://r.example/upload?_state=1")
            .unwrap();
        assert_eq!(
            sessions.load(&key).unwrap(),
            "https://r.example/upload?_state=1"
        );
        let mode = sessions
            .path(&key)
            .unwrap()
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        sessions.remove(&key).unwrap();
        sessions.remove(&key).unwrap();
        assert_eq!(sessions.load(&key), None);
    }
}
