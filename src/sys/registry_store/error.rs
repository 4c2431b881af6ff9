//! Why the store could not do what it was asked.

use std::io;
use std::path::PathBuf;

use crate::model::Digest;

/// Shorthand for results of the store.
pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused; the source names the path.
    #[error("Cannot {what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The directory is missing, or holds something else.
    #[error("`{}` is not a registry store", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// The store was made by another version.
    #[error("The store `{}` has a layout that this version does not know", path.display())]
    Version {
        /// The directory.
        path: PathBuf,
    },
    /// Upper and lower case are one on the store's file system.
    #[error("The store `{}` is on a file system that does not tell upper from lower case", path.display())]
    CaseInsensitive {
        /// The directory.
        path: PathBuf,
    },
    /// Another process writes to the store.
    #[error("The store `{}` is in use by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// There is no such upload session in this repository (any more).
    #[error("The upload session does not exist")]
    UploadUnknown,
    /// A later request continues the same upload session.
    #[error("A later request has taken over the upload session")]
    UploadTakenOver,
    /// The content is not what the digest says.
    #[error("The content has the digest {actual}, not {expected}")]
    DigestMismatch {
        /// What was asked for.
        expected: Digest,
        /// What arrived.
        actual: Digest,
    },
    /// Data on the disk changed after it was stored.
    #[error("The stored data of {digest} is damaged")]
    Damaged {
        /// The digest that it had.
        digest: Digest,
    },
}

/// Adds what was being done to an operating system's refusal.
pub(super) trait IoContext<T> {
    /// `what` completes "Cannot ...".
    fn doing(self, what: &'static str) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn doing(self, what: &'static str) -> Result<T> {
        self.map_err(|source| StoreError::Io { what, source })
    }
}
