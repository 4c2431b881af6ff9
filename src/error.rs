//! The failure of a command: its class, which decides the exit code, and hints for the operator.
//!
//! Lower modules have small error types of their own. `bundle`, `image` and the operations all use
//! this one: the most severe class decides, whichever layer found it, and a finding about a bundle
//! has such a class as well. This module depends on no other; `sys` converts its own errors.

use std::error::Error as StdError;
use std::fmt;

/// Kind of a failure; decides the exit code (README, "Exit codes").
///
/// Ordered from the least to the most severe: if several things failed, the greatest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Under `--strict`: there are files that do not belong to the bundle.
    Foreign,
    /// The command line, or something that it names, cannot be used.
    Usage,
    /// Interrupted by a signal; running the same command again continues.
    Interrupted,
    /// A source registry or the network failed.
    Network,
    /// The target registry failed or refused a request.
    Target,
    /// The medium or a local disk failed.
    Media,
    /// Some images are missing.
    Incomplete,
    /// No trusted key has signed the bundle or the release.
    NotAuthenticated,
    /// The bundle is damaged or was tampered with.
    VerificationFailed,
    /// A bug in airferry.
    Internal,
}

impl Class {
    /// Returns the process's exit code.
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

/// A failure with its class, and hints about what to do next.
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
    /// Makes a failure without a cause. `message`: one clause, capital first, no final period.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            hints: Vec::new(),
            source: None,
        }
    }

    /// Makes a usage error.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Class::Usage, message)
    }

    /// Makes the failure of a run that the operator interrupted.
    pub fn interrupted() -> Self {
        Self::new(Class::Interrupted, "Interrupted")
            .hint("run the same command again: it continues where it stopped")
    }

    /// Makes the failure for a bug in airferry.
    pub fn internal(
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::new(Class::Internal, message).caused_by(source)
    }

    /// Adds the cause: an error of a module below.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds a hint: what the operator can do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns the class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Returns the hints: what the operator can do next.
    pub fn hints(&self) -> &[String] {
        &self.hints
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

/// Formats an error with all its causes in one line.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
