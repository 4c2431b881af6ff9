//! The I/O error of this module, which names the operation and the file.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error;

/// Shorthand for results of this module.
pub type Result<T> = std::result::Result<T, FileError>;

/// A failed operation on a file.
#[derive(Debug, thiserror::Error)]
#[error("Cannot {operation} `{}`", path.display())]
pub struct FileError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    /// Adds operation and path to an error of the operating system.
    pub fn new(operation: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self {
            operation,
            path: path.as_ref().to_owned(),
            source,
        }
    }

    /// Wraps one of our own refusals as an `io::Error`.
    pub fn refused(operation: &'static str, path: impl AsRef<Path>, why: &str) -> Self {
        Self::new(operation, path, io::Error::other(why.to_owned()))
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the kind of the underlying `io::Error`.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Returns true if the file does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind() == io::ErrorKind::NotFound
    }

    /// Returns true if the operating system denies permission.
    pub fn is_permission_denied(&self) -> bool {
        self.kind() == io::ErrorKind::PermissionDenied
    }

    /// Returns true if the medium is full, or the file too long for its file system.
    pub fn is_no_space(&self) -> bool {
        matches!(
            self.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }

    /// Returns true if the device does not answer, as after a medium was unplugged.
    fn is_gone(&self) -> bool {
        let gone = [Errno::IO, Errno::NODEV, Errno::NXIO, Errno::STALE];
        let code = self.source.raw_os_error();
        gone.iter().any(|errno| code == Some(errno.raw_os_error()))
    }

    /// Returns true if the path exists and is not a regular file.
    pub fn is_not_regular(&self) -> bool {
        matches!(self.refusal(), Some(Refusal::NotRegular))
    }

    /// Returns true if the file is longer than the format allows.
    pub fn is_too_long(&self) -> bool {
        matches!(self.refusal(), Some(Refusal::TooLong { .. }))
    }

    /// Returns our own refusal, if it is one of those that callers distinguish.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.source.get_ref()?.downcast_ref()
    }
}

impl From<FileError> for error::Error {
    /// Keeps the error as cause, with file name and the operating system's message, and adds a
    /// hint for the operator.
    fn from(error: FileError) -> Self {
        use error::Class;
        use io::ErrorKind as Kind;

        if error.is_too_long() {
            return Self::new(
                Class::VerificationFailed,
                "A file is longer than the format allows: it was damaged or tampered with",
            )
            .caused_by(error);
        }
        let (message, hint) = match error.kind() {
            Kind::FileTooLarge => (
                "The file is too long for its file system",
                "use a medium with another file system, or smaller chunks, then run the same command \
                 again",
            ),
            _ if error.is_no_space() => (
                "No space is left",
                "free some space, or use another medium, then run the same command again",
            ),
            Kind::PermissionDenied => (
                "Permission denied",
                "check the permissions, that the medium is not write-protected, and not full (a full \
                 FAT32 mounted through FUSE reports the same error)",
            ),
            Kind::ReadOnlyFilesystem => (
                "The file system is read-only",
                "the medium is mounted read-only",
            ),
            Kind::AlreadyExists | Kind::NotADirectory => (
                "A file is in the way",
                "there is a file where a directory should be: check the path",
            ),
            Kind::NotFound => (
                "A file or directory is missing",
                "check the path, and that the medium is plugged in and mounted",
            ),
            _ if error.is_gone() => (
                "The medium does not answer any more",
                "check that the medium is plugged in; run the same command again to continue",
            ),
            _ => (
                "A file cannot be used",
                "check that the medium is plugged in; run the same command again to continue",
            ),
        };
        Self::new(Class::Media, message).caused_by(error).hint(hint)
    }
}

/// The reason why a readable file on a medium is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// A link, directory or device in the place of a file.
    #[error("it is not a regular file")]
    NotRegular,
    /// More bytes than the limit (bundle-format.md, section 11).
    #[error("it has {length} bytes, more than the {cap} allowed")]
    TooLong {
        /// Length of the file in bytes.
        length: u64,
        /// Limit in bytes.
        cap: u64,
    },
}

impl Refusal {
    /// Wraps the refusal as an `io::Error`.
    pub(super) fn at(self, operation: &'static str, path: impl AsRef<Path>) -> FileError {
        FileError::new(operation, path, io::Error::other(self))
    }
}

/// Adds operation and path to the error of a result.
pub(crate) trait At<T> {
    /// Adds operation and path if the result is an error.
    fn at(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| FileError::new(operation, path, source))
    }
}

impl<T> At<T> for rustix::io::Result<T> {
    fn at(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| FileError::new(operation, path, source.into()))
    }
}
