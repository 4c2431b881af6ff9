//! The breadth of a mirror entry: one repository, a namespace, a registry.

use std::fmt;

/// The breadth of the entries in mirror policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Scope {
    /// Exactly the repositories that were mirrored.
    #[default]
    Repository,
    /// The repository's path without its last component, and everything below.
    Namespace,
    /// The whole registry.
    Registry,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repository => "repository",
            Self::Namespace => "namespace",
            Self::Registry => "registry",
        })
    }
}

impl Scope {
    /// Returns the location that covers a repository at this scope; `None` if that is the
    /// repository itself.
    pub(super) fn of(self, source: &str) -> Option<&str> {
        let (host, _) = source.split_once('/')?;
        match self {
            Self::Repository => None,
            Self::Namespace => source
                .rsplit_once('/')
                .map(|(namespace, _)| namespace)
                .filter(|namespace| *namespace != host),
            Self::Registry => Some(host),
        }
    }
}
