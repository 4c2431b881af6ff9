//! What an operation reports when it cannot do what it was asked.
//!
//! Modules below have their own small error types. Here they are put in one of a few classes,
//! which decide the exit code, and are given what the person can do next.

use std::error::Error as StdError;
use std::fmt;

pub use crate::registry::chain;
use crate::sys::IoAt;

/// What kind of failure it is; the exit code follows from it (README, "Exit codes").
///
/// Ordered from the least to the most severe: when several things failed, the greatest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Files that do not belong to the bundle, under `--strict`.
    Foreign,
    /// The command was understood and cannot be meant like this.
    Usage,
    /// Interrupted by a signal; running the same command again continues.
    Interrupted,
    /// A source registry or the network.
    Network,
    /// The target registry.
    Target,
    /// The medium or a local disk.
    Media,
    /// Some images are missing.
    Incomplete,
    /// Nobody who is trusted has signed this.
    NotAuthenticated,
    /// The bundle is damaged or was tampered with.
    VerificationFailed,
    /// A mistake in airferry.
    Internal,
}

impl Class {
    /// The process's exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::NotAuthenticated => 3,
            Self::VerificationFailed => 4,
            Self::Incomplete => 5,
            Self::Network => 6,
            Self::Target => 7,
            Self::Media => 8,
            Self::Foreign => 9,
            Self::Internal => 70,
            Self::Interrupted => 130,
        }
    }
}

/// A failure, with its class and with what to do next.
#[derive(Debug)]
pub struct Error {
    class: Class,
    message: String,
    hints: Vec<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Shorthand for results of operations.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure that is its own cause. `message`: one clause, capital first, no final period.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            hints: Vec::new(),
            source: None,
        }
    }

    /// A usage error.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Class::Usage, message)
    }

    /// The person stopped the run.
    pub fn interrupted() -> Self {
        Self::new(Class::Interrupted, "Interrupted")
            .hint("run the same command again: it continues where it stopped")
    }

    /// A mistake of ours.
    pub fn internal(
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::new(Class::Internal, message).caused_by(source)
    }

    /// Wraps a cause from a module below.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds what the person can do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// What the person can do next.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl From<IoAt> for Error {
    /// The file's name and the operating system's word are in the cause; here stands what
    /// can be done about it.
    fn from(error: IoAt) -> Self {
        use std::io::ErrorKind as Kind;

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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}
