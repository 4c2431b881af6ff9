//! Upload sessions that a registry keeps for us, so that a later run can go on with them.
//!
//! A cache: losing it costs time and nothing else. The locations are secrets (they may carry
//! signatures), so the files belong to their owner alone.

use std::path::{Path, PathBuf};

use super::error::Result;
use super::files;
use crate::model::Digest;

/// Cap on a stored location in bytes.
const CAP: u64 = 64 << 10;

/// A directory with one file for each unfinished upload.
#[derive(Debug, Clone)]
pub struct SessionFiles {
    directory: PathBuf,
}

impl SessionFiles {
    /// Uses (and makes) a directory.
    pub fn open(directory: &Path) -> Result<Self> {
        files::make_private_dirs(directory)?;
        let directory = directory.to_owned();
        Ok(Self { directory })
    }

    fn path(&self, key: &Digest) -> PathBuf {
        self.directory.join(format!("{}.session", key.hex()))
    }

    /// The location stored under a key. What cannot be read is not there.
    pub fn load(&self, key: &Digest) -> Option<String> {
        files::read_text(&self.path(key), CAP).ok()
    }

    /// Stores a location under a key.
    pub fn store(&self, key: &Digest, location: &str) -> Result<()> {
        files::write_atomically(&self.path(key), location.as_bytes(), 0o600)
    }

    /// Forgets a key.
    pub fn remove(&self, key: &Digest) -> Result<()> {
        files::remove(&self.path(key))
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
        let mode = sessions.path(&key).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        sessions.remove(&key).unwrap();
        sessions.remove(&key).unwrap();
        assert_eq!(sessions.load(&key), None);
    }
}
