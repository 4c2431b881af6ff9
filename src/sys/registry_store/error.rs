//! Errors of the store.

use std::io;
use std::path::PathBuf;

use crate::model::Digest;

/// Shorthand for results of the store.
pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// The reason why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system reported an error; the source names the path.
    #[error("Cannot {what}")]
    Io {
        /// The operation that failed.
        what: &'static str,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// The directory is missing, or is not a store.
    #[error("`{}` is not a registry store", path.display())]
    NotAStore {
        /// Path of the directory.
        path: PathBuf,
    },
    /// The store has the layout of another version.
    #[error("The store `{}` has a layout that this version does not know", path.display())]
    Version {
        /// Path of the directory.
        path: PathBuf,
    },
    /// The store's file system is not case-sensitive.
    #[error("The store `{}` is on a case-insensitive file system", path.display())]
    CaseInsensitive {
        /// Path of the directory.
        path: PathBuf,
    },
    /// Another process has the store open for writing.
    #[error("The store `{}` is in use by another process", path.display())]
    Locked {
        /// Path of the directory.
        path: PathBuf,
    },
    /// The repository has no such upload session, or no longer has it.
    #[error("The upload session does not exist")]
    UploadUnknown,
    /// A later request continues the same upload session.
    #[error("A later request has taken over the upload session")]
    UploadTakenOver,
    /// The content does not have the expected digest.
    #[error("The content has the digest {actual}, not {expected}")]
    DigestMismatch {
        /// Digest expected.
        expected: Digest,
        /// Digest of the content.
        actual: Digest,
    },
    /// Stored data has changed on the disk.
    #[error("The stored data of {digest} is damaged")]
    Damaged {
        /// Digest under which the data was stored.
        digest: Digest,
    },
}

/// Adds the operation to an error of the operating system.
pub(super) trait IoContext<T> {
    /// Adds `what`, which completes the sentence "Cannot ...".
    fn doing(self, what: &'static str) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn doing(self, what: &'static str) -> Result<T> {
        self.map_err(|source| StoreError::Io { what, source })
    }
}
