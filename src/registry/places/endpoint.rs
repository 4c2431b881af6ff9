//! Places that may be asked for a repository.

use crate::model::Repository;

/// A place from which a repository may be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Endpoint {
    /// The repository there.
    pub(crate) repository: Repository,
    /// Whether TLS may be missing or unverified at this place.
    pub(crate) insecure: bool,
}

/// Where a repository may be read, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) mirrors: Vec<Endpoint>,
    /// The repository itself; `None` when it is blocked.
    pub(crate) source: Option<Endpoint>,
}

impl Places {
    /// All places, in the order in which they are asked.
    pub(crate) fn in_order(self) -> Vec<Endpoint> {
        let mut places = self.mirrors;
        places.extend(self.source);
        places
    }
}
