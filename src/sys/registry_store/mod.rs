//! The embedded registry's store: content-addressed data, and what each repository may show.
//!
//! Synchronous, knows files and nothing of HTTP. Data is kept once, below `blobs/`; a repository
//! sees a blob or a manifest only through a link of its own, so that knowing a digest gives no
//! access to what another repository holds (OCI distribution-spec, "Mounting a blob"). Whatever
//! becomes visible was hashed, synced and renamed into place before, in this order: data,
//! link, tag. Being killed in between leaves data that nothing names, never a name without data.

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

/// What the marker file says: the layout's version.
const MARKER_TEXT: &str = "airferry-registry-v1\n";

/// Upload sessions that nobody continued for this long are removed when the store is opened.
const ABANDONED_AFTER: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only reads; nothing is created or locked, the file system may be read-only.
    ReadOnly,
    /// Reads and writes; a second writer is refused. A missing store is created.
    ReadWrite,
}

/// A registry's store in a directory. Usable from several threads at once.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    /// Upload sessions that this process has touched; the files are the truth.
    sessions: Mutex<HashMap<UploadId, Arc<Mutex<Session>>>>,
    /// Read by everything that adds a manifest or tag, written by deletions: a tag is never
    /// set to a manifest that is being removed.
    names: RwLock<()>,
    /// Holds the exclusive lock while the store is open for writing.
    _lock: Option<fs::File>,
}

impl Store {
    /// Opens the store in `root`, and creates it when it is to be written and is absent or empty.
    ///
    /// # Errors
    ///
    /// When the directory holds something else, when another process writes to it, or when its
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
                // The root of a freshly made file system is as good as empty.
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

    /// Removes what killed processes left: temporary files at once, upload sessions after a while.
    fn clean_up(&self) -> Result<()> {
        let temporary = self.layout.temporary();
        durable::ensure_dir(&temporary).doing("create the store")?;
        for path in entries(&temporary).doing("clean up the store")? {
            fs::remove_file(path).doing("clean up the store")?;
        }
        // The file system's own clock: that is the one which stamped the sessions.
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

/// The paths in a directory, in no particular order.
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
