//! Where a blob is known to be on the target.

use crate::model::Repository;

/// What is known of a repository that has a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It was found there before anything was sent.
    Found,
    /// This run has seen to it, and counted it.
    Counted,
}

/// The repositories that are known to have a blob, in their order: nearly always one, which a map
/// would take ten times the memory for, and now and then all of them.
#[derive(Debug, Default)]
pub(super) struct BlobLocations(Vec<(Repository, Known)>);

impl BlobLocations {
    fn find(&self, repository: &Repository) -> Result<usize, usize> {
        self.0.binary_search_by(|(place, _)| place.cmp(repository))
    }

    pub(super) fn get(&self, repository: &Repository) -> Option<Known> {
        let (_, known) = self.0.get(self.find(repository).ok()?)?;
        Some(*known)
    }

    pub(super) fn insert(&mut self, repository: Repository, known: Known) {
        match self.find(&repository) {
            Ok(index) => {
                if let Some(place) = self.0.get_mut(index) {
                    place.1 = known;
                }
            }
            Err(index) => {
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(index, (repository, known));
            }
        }
    }

    /// One of them, if there is any.
    pub(super) fn first(&self) -> Option<&Repository> {
        self.0.first().map(|(place, _)| place)
    }
}

impl FromIterator<(Repository, Known)> for BlobLocations {
    fn from_iter<I: IntoIterator<Item = (Repository, Known)>>(places: I) -> Self {
        let mut all = Self::default();
        for (repository, known) in places {
            all.insert(repository, known);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_repository_is_there_once_with_what_was_said_last() {
        let repository = |path: &str| -> Repository { format!("r.lan/{path}").parse().unwrap() };
        let mut places = BlobLocations::default();
        assert_eq!(places.first(), None);
        for path in ["m", "a", "z", "m", "b"] {
            places.insert(repository(path), Known::Found);
        }
        places.insert(repository("b"), Known::Counted);
        assert_eq!(places.0.len(), 4);
        assert_eq!(places.first(), Some(&repository("a")));
        assert_eq!(places.get(&repository("b")), Some(Known::Counted));
        assert_eq!(places.get(&repository("z")), Some(Known::Found));
        assert_eq!(places.get(&repository("c")), None);
    }
}
