//! Which places are asked for a repository, and in which order.

use super::Client;
use crate::model::Repository;
use crate::progress::Event;
use crate::registry::error::{Error, Result};
use crate::registry::places::{Endpoint, Places};
use crate::registry::redact::one_line;

impl Client {
    /// Whether TLS may be missing or unverified at a place. What the caller says counts before
    /// `insecure` of `registries.conf`, as for skopeo.
    pub(in crate::registry) fn is_insecure(&self, endpoint: &Endpoint) -> bool {
        self.inner
            .tls_verify
            .map_or(endpoint.insecure, |verify| !verify)
    }

    /// Refuses a repository that may not be asked where it lies, without mirrors and rewrites.
    ///
    /// # Errors
    ///
    /// [`Error::Blocked`] when `registries.conf` blocks it.
    pub fn may_ask(&self, repository: &Repository) -> Result<()> {
        match self.inner.mirrors.is_blocked(repository) {
            true => Err(Error::Blocked {
                repository: repository.to_string(),
            }),
            false => Ok(()),
        }
    }

    /// The repository itself, without mirrors and rewrites. `insecure` of its registry counts for
    /// it, as for skopeo.
    pub(in crate::registry) fn own_place(&self, repository: &Repository) -> Endpoint {
        Endpoint {
            repository: repository.clone(),
            insecure: self.inner.mirrors.is_insecure(repository),
        }
    }

    /// The places where a repository may be read, in the order in which to ask them.
    pub(in crate::registry) fn places(
        &self,
        repository: &Repository,
        by_digest: bool,
    ) -> Result<Vec<Endpoint>> {
        if !self.use_mirrors {
            return Ok(vec![self.own_place(repository)]);
        }
        let mut places = self.configured(repository, by_digest)?.in_order();
        let favourite = self.inner.learned.last_place(repository);
        match places.iter().position(|p| Some(p) == favourite.as_ref()) {
            Some(index) => {
                if let Some(first) = places.get_mut(..=index) {
                    first.rotate_right(1);
                }
            }
            // What belongs to a manifest is read where the manifest came from, also at a mirror
            // that is asked for tags alone.
            None if by_digest => {
                let by_tag = self.configured(repository, false)?.in_order();
                places.splice(0..0, favourite.filter(|place| by_tag.contains(place)));
            }
            None => {}
        }
        if places.is_empty() {
            return Err(Error::Blocked {
                repository: repository.to_string(),
            });
        }
        Ok(places)
    }

    /// What `registries.conf` says of a repository.
    fn configured(&self, repository: &Repository, by_digest: bool) -> Result<Places> {
        let places = self.inner.mirrors.places(repository, by_digest);
        places.map_err(|location| Error::Rewritten {
            repository: repository.to_string(),
            location: one_line(&location, 200),
        })
    }

    /// The place that alone knows everything of a repository: the source; where that is
    /// blocked, the first mirror.
    pub(in crate::registry) fn authority_place(&self, repository: &Repository) -> Result<Endpoint> {
        if !self.use_mirrors {
            return Ok(self.own_place(repository));
        }
        let found = self.configured(repository, false)?;
        let place = found.source.or_else(|| found.mirrors.into_iter().next());
        place.ok_or_else(|| Error::Blocked {
            repository: repository.to_string(),
        })
    }

    /// Remembers where content of `repository` was found.
    pub(in crate::registry) fn found_at(&self, repository: &Repository, place: &Endpoint) {
        self.inner.learned.found_at(repository, place);
    }

    /// Tells, once for each place, that it failed and that the next one is asked.
    pub(in crate::registry) fn failed_at(&self, place: &Endpoint, error: &Error) {
        if !error.is_not_found() && self.inner.learned.warns_first(&place.repository) {
            let message = format!(
                "{} does not answer as it should, the next place is asked: {error}",
                place.repository
            );
            self.http()
                .settings()
                .progress
                .emit(Event::Warning { message });
        }
    }
}
