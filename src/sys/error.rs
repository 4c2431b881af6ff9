//! An I/O error that says what was done to which file.

use std::io;
use std::path::{Path, PathBuf};

use crate::error;

/// Shorthand for results of this module.
pub type Result<T> = std::result::Result<T, IoAt>;

/// What failed, where.
#[derive(Debug, thiserror::Error)]
#[error("Cannot {operation} `{}`", path.display())]
pub struct IoAt {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl IoAt {
    /// Adds operation and path to an error of the operating system.
    pub fn new(operation: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self {
            operation,
            path: path.as_ref().to_owned(),
            source,
        }
    }

    /// A refusal of our own, in the operating system's clothes.
    pub fn refused(operation: &'static str, path: impl AsRef<Path>, why: &str) -> Self {
        Self::new(operation, path, io::Error::other(why.to_owned()))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The operating system's word for it.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Whether the file is not there.
    pub fn is_not_found(&self) -> bool {
        self.kind() == io::ErrorKind::NotFound
    }

    /// Whether the operating system does not let us.
    pub fn is_permission_denied(&self) -> bool {
        self.kind() == io::ErrorKind::PermissionDenied
    }

    /// Whether the medium is full, or the file too long for its file system.
    pub fn is_no_space(&self) -> bool {
        matches!(
            self.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }

    /// Whether the file is there and is not a regular file.
    pub fn is_not_regular(&self) -> bool {
        matches!(self.refusal(), Some(Refusal::NotRegular))
    }

    /// Whether the file is longer than anything that may stand under its name.
    pub fn is_too_long(&self) -> bool {
        matches!(self.refusal(), Some(Refusal::TooLong { .. }))
    }

    /// What was refused by ourselves, where it was one of the reasons that others act on.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.source.get_ref()?.downcast_ref()
    }
}

impl From<IoAt> for error::Error {
    /// The cause has the file's name and the operating system's message; this adds what can be
    /// done about it.
    fn from(error: IoAt) -> Self {
        use error::Class;
        use io::ErrorKind as Kind;

        if error.is_too_long() {
            return Self::new(
                Class::VerificationFailed,
                "A file was tampered with or damaged",
            )
            .caused_by(error);
        }
        let hint = match error.kind() {
            _ if error.is_no_space() => {
                "free some space, or use another medium, then run the same command again"
            }
            Kind::PermissionDenied => {
                "check the permissions, that the medium is not write-protected, and not full (FAT32 \
                 through FUSE says the same)"
            }
            Kind::ReadOnlyFilesystem => "the medium is mounted read-only",
            Kind::AlreadyExists | Kind::NotADirectory => {
                "there is a file where a directory should be: check the path"
            }
            Kind::NotFound => "check the path, and that the medium is plugged in and mounted",
            _ => "check that the medium is plugged in; run the same command again to continue",
        };
        Self::new(Class::Media, "A file cannot be used")
            .caused_by(error)
            .hint(hint)
    }
}

/// Why a file on a medium is not read, though the operating system would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// A link, directory or device where a file should be.
    #[error("it is not a regular file")]
    NotRegular,
    /// More bytes than the cap (bundle-format.md, section 11).
    #[error("it has {length} bytes, more than the {cap} allowed")]
    TooLong {
        /// Its length in bytes.
        length: u64,
        /// The cap in bytes.
        cap: u64,
    },
}

impl Refusal {
    /// The refusal in the operating system's clothes.
    pub(super) fn at(self, operation: &'static str, path: impl AsRef<Path>) -> IoAt {
        IoAt::new(operation, path, io::Error::other(self))
    }
}

/// Adds operation and path to a result.
pub(crate) trait At<T> {
    /// Says what was done to which file when it failed.
    fn at(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| IoAt::new(operation, path, source))
    }
}

impl<T> At<T> for rustix::io::Result<T> {
    fn at(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| IoAt::new(operation, path, source.into()))
    }
}
