//! Mirrors of repositories.

use crate::model::Repository;

/// A repository and its mirrors, the preferred one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The repository as clusters name it.
    pub source: Repository,
    /// The repositories that it was mirrored to.
    pub mirrors: Vec<Repository>,
}

/// Mirrored repositories, by the way in which clusters name the images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mirrors {
    /// For images that are named by digest.
    pub digests: Vec<Mirror>,
    /// For images that are named by tag.
    pub tags: Vec<Mirror>,
}

impl Mirrors {
    /// The mirrors of several groups together.
    pub(super) fn all<'a>(groups: impl Iterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for group in groups {
            all.digests.extend_from_slice(&group.digests);
            all.tags.extend_from_slice(&group.tags);
        }
        all
    }
}
