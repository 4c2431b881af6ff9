//! Places from which a repository may be read.

use crate::model::Repository;

/// A place from which a repository may be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Endpoint {
    /// The repository at this place.
    pub(crate) repository: Repository,
    /// True if TLS may be missing or unverified at this place.
    pub(crate) insecure: bool,
}

/// The places from which a repository may be read, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) mirrors: Vec<Endpoint>,
    /// The source, with its rewrite; `None` if it is blocked.
    pub(crate) source: Option<Endpoint>,
}

impl Places {
    /// Returns all places, in the order in which they are asked.
    pub(crate) fn in_order(self) -> Vec<Endpoint> {
        let mut places = self.mirrors;
        places.extend(self.source);
        places
    }
}
