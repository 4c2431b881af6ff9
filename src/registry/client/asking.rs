//! Decides which places are asked for a repository, and in which order.

use super::Client;
use crate::model::Repository;
use crate::progress::Event;
use crate::registry::error::{Error, Result};
use crate::registry::places::{Endpoint, Places};
use crate::registry::redact::one_line;

impl Client {
    /// True if TLS may be missing or unverified at a place. The client's own option takes
    /// precedence over `insecure` of `registries.conf`, as in skopeo.
    pub(in crate::registry) fn is_insecure(&self, endpoint: &Endpoint) -> bool {
        self.inner
            .tls_verify
            .map_or(endpoint.insecure, |verify| !verify)
    }

    /// Refuses a repository whose own registry must not be asked. Mirrors and rewrites do not
    /// matter here.
    ///
    /// # Errors
    ///
    /// [`Error::Blocked`] when `registries.conf` blocks it.
    pub fn check_not_blocked(&self, repository: &Repository) -> Result<()> {
        match self.inner.mirrors.is_blocked(repository) {
            true => Err(Error::Blocked {
                repository: repository.to_string(),
            }),
            false => Ok(()),
        }
    }

    /// Returns the repository itself as a place, without mirrors and rewrites. `insecure` of its
    /// registry applies, as in skopeo.
    pub(in crate::registry) fn own_place(&self, repository: &Repository) -> Endpoint {
        Endpoint {
            repository: repository.clone(),
            insecure: self.inner.mirrors.is_insecure(repository),
        }
    }

    /// Returns the places where a repository may be read, in the order in which to ask them.
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
            // Content that belongs to a manifest is read where the manifest was found, even at a
            // mirror that is configured for tags only.
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

    /// Returns the places that `registries.conf` configures for a repository.
    fn configured(&self, repository: &Repository, by_digest: bool) -> Result<Places> {
        let places = self.inner.mirrors.places(repository, by_digest);
        places.map_err(|location| Error::Rewritten {
            repository: repository.to_string(),
            location: one_line(&location, 200),
        })
    }

    /// Returns the place whose answers about a repository are complete: the source, or the first
    /// mirror if the source is blocked.
    pub(in crate::registry) fn source_place(&self, repository: &Repository) -> Result<Endpoint> {
        if !self.use_mirrors {
            return Ok(self.own_place(repository));
        }
        let found = self.configured(repository, false)?;
        let place = found.source.or_else(|| found.mirrors.into_iter().next());
        place.ok_or_else(|| Error::Blocked {
            repository: repository.to_string(),
        })
    }

    /// Remembers the place that delivered content of `repository`.
    pub(in crate::registry) fn remember_place(&self, repository: &Repository, place: &Endpoint) {
        self.inner.learned.remember_place(repository, place);
    }

    /// Warns, once for each place, that it failed and that the next one is asked. "Not found" is
    /// no reason for a warning.
    pub(in crate::registry) fn warn_place_failed(&self, place: &Endpoint, error: &Error) {
        if !error.is_not_found() && self.inner.learned.mark_warned(&place.repository) {
            let message = format!(
                "{} failed, trying the next place: {error}",
                place.repository
            );
            self.http()
                .settings()
                .progress
                .emit(Event::Warning { message });
        }
    }

    /// Asks the places of a repository in turn, until the reply of one settles the matter. `ask`
    /// gets the place and whether it is the last one. If no reply settles it, an empty reply
    /// counts only if no place failed: a place that failed may have something.
    ///
    /// # Errors
    ///
    /// The error of the repository itself, else that of a mirror.
    pub(in crate::registry) async fn first_place<'p, T, Fut>(
        &self,
        repository: &Repository,
        places: &'p [Endpoint],
        mut ask: impl FnMut(&'p Endpoint, bool) -> Fut,
    ) -> Result<T>
    where
        Fut: Future<Output = Result<Reply<T>>>,
    {
        let mut failures = Failures::default();
        let mut empty = None;
        for (number, place) in places.iter().enumerate() {
            let last = number + 1 == places.len();
            match ask(place, last).await {
                Ok(Reply::Settled(found)) => return Ok(found),
                // The last empty reply counts: it is that of the repository itself, if that may
                // be asked.
                Ok(Reply::Empty(found)) => empty = Some(found),
                Err(error) => {
                    if !last {
                        self.warn_place_failed(place, &error);
                    }
                    failures.add(repository, place, error);
                }
            }
        }
        match empty {
            Some(empty) if failures.are_none() => Ok(empty),
            _ => Err(failures.into_error(repository)),
        }
    }
}

/// Reply of one place.
#[derive(Debug)]
pub(in crate::registry) enum Reply<T> {
    /// The answer; no other place needs to be asked.
    Settled(T),
    /// This place has nothing; another one may have something.
    Empty(T),
}

/// Errors of several places. The source's error is returned if there is one. Among mirrors, any
/// other error replaces "not found", which the caller would take for an answer.
#[derive(Default)]
struct Failures {
    source: Option<Error>,
    mirror: Option<Error>,
}

impl Failures {
    fn add(&mut self, repository: &Repository, place: &Endpoint, error: Error) {
        if place.repository == *repository {
            self.source = Some(error);
        } else if self.mirror.as_ref().is_none_or(Error::is_not_found) {
            self.mirror = Some(error);
        }
    }

    fn are_none(&self) -> bool {
        self.source.is_none() && self.mirror.is_none()
    }

    fn into_error(self, repository: &Repository) -> Error {
        let blocked = || Error::Blocked {
            repository: repository.to_string(),
        };
        self.source.or(self.mirror).unwrap_or_else(blocked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::ClientOptions;
    use crate::registry::error::Answer;

    /// Behaviour of one test place: it has something, has nothing, or fails with this status.
    #[derive(Debug, Clone, Copy)]
    enum Place {
        Has,
        Empty,
        Fails(u16),
    }

    /// Asks the places, of which the last is the repository itself. Returns the number of the
    /// place whose reply counts, or the status of the error.
    async fn ask(places: &[Place]) -> std::result::Result<usize, u16> {
        let client = Client::new(ClientOptions::default());
        let repository: Repository = "q.lan/a".parse().unwrap();
        let endpoints: Vec<Endpoint> = (1..=places.len())
            .map(|number| Endpoint {
                repository: match number == places.len() {
                    true => repository.clone(),
                    false => format!("m{number}.lan/a").parse().unwrap(),
                },
                insecure: false,
            })
            .collect();
        let number = |place: &Endpoint| endpoints.iter().position(|one| one == place).unwrap();
        let asked = client.first_place(&repository, &endpoints, |place, last| {
            let number = number(place);
            assert_eq!(last, number + 1 == places.len());
            let url: url::Url = "https://q.lan/v2/".parse().unwrap();
            std::future::ready(match places[number] {
                Place::Has => Ok(Reply::Settled(number)),
                Place::Empty => Ok(Reply::Empty(number)),
                Place::Fails(status) => Err(Error::refused(
                    (&url).into(),
                    Answer::new(status, b""),
                    None,
                )),
            })
        });
        asked.await.map_err(|error| error.answer().unwrap().status)
    }

    #[tokio::test]
    async fn the_first_place_with_something_counts_and_nothing_is_no_guess() {
        use Place::{Empty, Fails, Has};
        for (places, expected) in [
            (&[Has, Has][..], Ok(0)),
            (&[Empty, Has], Ok(1)),
            (&[Fails(500), Has], Ok(1)),
            (&[Empty, Empty], Ok(1)),
            // The place that failed may have something.
            (&[Empty, Fails(500)], Err(500)),
            (&[Fails(500), Empty], Err(500)),
            // The repository's own failure is returned, else one that is not "not found".
            (&[Fails(500), Fails(404)], Err(404)),
            (&[Fails(404), Fails(500), Empty], Err(500)),
            (&[Fails(403), Fails(500), Empty], Err(403)),
        ] {
            assert_eq!(ask(places).await, expected, "{places:?}");
        }
    }
}
