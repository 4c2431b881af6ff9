//! Where clusters find the repositories that were mirrored.

use crate::model::Repository;

/// A repository and where else its images are, the best place first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// What clusters call the repository.
    pub source: Repository,
    /// Where it was mirrored to.
    pub mirrors: Vec<Repository>,
}

/// Repositories that are found on the target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mirrors {
    /// By digest.
    pub digests: Vec<Mirror>,
    /// By tag.
    pub tags: Vec<Mirror>,
}
