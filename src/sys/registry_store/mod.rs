//! The embedded registry's store: content-addressed data, and links from repositories to it.
//!
//! Synchronous; must not depend on HTTP. Data is stored once, below `blobs/`. A repository has a
//! blob or a manifest only through a link of its own, so that knowing a digest gives no access to
//! the content of other repositories (OCI distribution-spec, "Mounting a blob"). Before content
//! becomes visible it is hashed, synced and renamed into place, in the order data, link, tag. A
//! crash in between may leave data without a name, but never a name without data.

mod blobs;
mod durable;
mod error;
mod layout;
mod manifests;
mod uploads;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use fs_err as fs;

pub use blobs::BlobReader;
pub use error::StoreError;
pub use manifests::{ManifestInfo, Referrer};
pub use uploads::{Upload, UploadId, UploadIdError};

use error::{IoContext, Result};
use layout::Layout;
use uploads::Session;

/// Content of the marker file: the version of the layout.
const MARKER_TEXT: &str = "airferry-registry-v1\n";

/// Time without activity after which an upload session is removed when the store is opened.
const ABANDONED_AFTER: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The mode in which a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads only. Creates and locks nothing; the file system may be read-only.
    ReadOnly,
    /// Reads and writes. Refuses a second writer; creates a missing store.
    ReadWrite,
}

/// A registry's store in a directory. Can be used by several threads at once.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    /// Upload sessions used by this process. A cache: the files are authoritative.
    sessions: Mutex<HashMap<UploadId, Arc<Mutex<Session>>>>,
    /// Locked for reading when a manifest or tag is added, for writing by deletions, so that a
    /// tag never points to a manifest that is being removed.
    names: RwLock<()>,
    /// Holds the exclusive lock while the store is open for writing.
    _lock: Option<fs::File>,
}

impl Store {
    /// Opens the store in `root`. With [`Access::ReadWrite`], creates it if it is absent or
    /// empty.
    ///
    /// # Errors
    ///
    /// If the directory holds something else, another process has it open for writing, or its
    /// file system is not case-sensitive (tags are).
    pub fn open(root: &Path, access: Access) -> Result<Self> {
        let layout = Layout::new(root);
        let lock = match access {
            Access::ReadOnly => None,
            Access::ReadWrite => Some(Self::create_and_lock(&layout)?),
        };
        match fs::read_to_string(layout.marker()) {
            Ok(text) if text == MARKER_TEXT => {}
            Ok(_) => return Err(StoreError::Version { path: root.into() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::NotAStore { path: root.into() });
            }
            Err(error) => return Err(error).doing("open the store"),
        }
        if fs::exists(layout.marker_in_capitals()).doing("look at the store")? {
            return Err(StoreError::CaseInsensitive { path: root.into() });
        }
        let store = Self {
            layout,
            sessions: Mutex::default(),
            names: RwLock::default(),
            _lock: lock,
        };
        if access == Access::ReadWrite {
            store.clean_up()?;
        }
        Ok(store)
    }

    fn create_and_lock(layout: &Layout) -> Result<fs::File> {
        fs::create_dir_all(layout.root()).doing("create the store")?;
        let marker = layout.marker();
        if !fs::exists(&marker).doing("look at the store")? {
            for entry in fs::read_dir(layout.root()).doing("look at the store")? {
                let name = entry.doing("look at the store")?.file_name();
                // The root of a new file system has this directory, and counts as empty.
                if name != "lost+found" {
                    return Err(StoreError::NotAStore {
                        path: layout.root().into(),
                    });
                }
            }
            fs::create_dir_all(layout.temporary()).doing("create the store")?;
            durable::replace(&layout.temporary(), &marker, MARKER_TEXT.as_bytes())
                .doing("create the store")?;
        }
        let lock = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&marker)
            .doing("lock the store")?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Locked {
                path: layout.root().into(),
            }),
            Err(std::fs::TryLockError::Error(error)) => Err(error).doing("lock the store"),
        }
    }

    /// Removes what killed processes left: all temporary files, and upload sessions idle for too
    /// long.
    fn clean_up(&self) -> Result<()> {
        let temporary = self.layout.temporary();
        durable::ensure_dir(&temporary).doing("create the store")?;
        for path in entries(&temporary).doing("clean up the store")? {
            fs::remove_file(path).doing("clean up the store")?;
        }
        // Takes the time from the file system, which also stamped the sessions.
        let now = tempfile::NamedTempFile::new_in(&temporary)
            .and_then(|file| file.as_file().metadata()?.modified())
            .doing("clean up the store")?;
        for repository in self.walk(layout::has_uploads)? {
            for path in entries(&self.layout.uploads(&repository)).doing("clean up the store")? {
                let modified = fs::metadata(&path)
                    .and_then(|facts| facts.modified())
                    .doing("clean up the store")?;
                let idle = now.duration_since(modified).unwrap_or_default();
                if idle > ABANDONED_AFTER {
                    fs::remove_file(path).doing("clean up the store")?;
                }
            }
        }
        Ok(())
    }
}

/// Returns the paths in a directory, in no particular order.
fn entries(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

/// Locks a mutex whose data stays consistent even if a holder panicked.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
