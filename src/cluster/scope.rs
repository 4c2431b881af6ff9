//! How wide an entry reaches: one repository, a namespace, a registry.

use std::fmt;

/// How wide the entries of mirror policies may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Scope {
    /// Exactly the repositories that were mirrored.
    #[default]
    Repository,
    /// The repository's path without its last component.
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
    /// The location that would stand for a repository; `None` when that is the repository.
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
