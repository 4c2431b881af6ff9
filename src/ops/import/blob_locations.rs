//! The repositories of the target that are known to have a blob.

use crate::model::Repository;

/// Knowledge about a repository that has a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocationState {
    /// The blob was found there before the upload began.
    Found,
    /// Uploaded, mounted or confirmed by this run; already in the statistics.
    Counted,
}

/// The repositories that are known to have a blob, sorted. A vector, because a map would take ten
/// times the memory for the usual case of one repository; all repositories are rare.
#[derive(Debug, Default)]
pub(super) struct BlobLocations(Vec<(Repository, LocationState)>);

impl BlobLocations {
    fn find(&self, repository: &Repository) -> Result<usize, usize> {
        self.0.binary_search_by(|(place, _)| place.cmp(repository))
    }

    pub(super) fn get(&self, repository: &Repository) -> Option<LocationState> {
        let (_, known) = self.0.get(self.find(repository).ok()?)?;
        Some(*known)
    }

    pub(super) fn insert(&mut self, repository: Repository, known: LocationState) {
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

    /// Returns one of them, if there is any.
    pub(super) fn first(&self) -> Option<&Repository> {
        self.0.first().map(|(place, _)| place)
    }
}

impl FromIterator<(Repository, LocationState)> for BlobLocations {
    fn from_iter<I: IntoIterator<Item = (Repository, LocationState)>>(places: I) -> Self {
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
            places.insert(repository(path), LocationState::Found);
        }
        places.insert(repository("b"), LocationState::Counted);
        assert_eq!(places.0.len(), 4);
        assert_eq!(places.first(), Some(&repository("a")));
        assert_eq!(places.get(&repository("b")), Some(LocationState::Counted));
        assert_eq!(places.get(&repository("z")), Some(LocationState::Found));
        assert_eq!(places.get(&repository("c")), None);
    }
}
