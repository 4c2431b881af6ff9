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

    /// Asks the places of a repository in turn, until the reply of one settles the matter. `ask` is
    /// told whether a place is the last. Without such a reply an empty one counts if no place
    /// failed: that there is nothing is never a guess.
    ///
    /// # Errors
    ///
    /// What went wrong at the repository itself, else at a mirror.
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
                // The last one counts: it is the repository itself, where that may be asked.
                Ok(Reply::Empty(found)) => empty = Some(found),
                Err(error) => {
                    if !last {
                        self.failed_at(place, &error);
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

/// What one place replied.
#[derive(Debug)]
pub(in crate::registry) enum Reply<T> {
    /// No other place has to be asked.
    Settled(T),
    /// It has nothing; another place may have something.
    Empty(T),
}

/// What went wrong at several places: the source's error counts, and any error before "not
/// found", which would be taken for an answer.
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

    /// What one place does: it has something, it has nothing, or it fails with this status.
    #[derive(Debug, Clone, Copy)]
    enum Place {
        Has,
        Empty,
        Fails(u16),
    }

    /// What comes of asking places, of which the last is the repository itself: the number of the
    /// place whose reply counts, or the status.
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
            // The repository's own failure counts, else one that is more than "not found".
            (&[Fails(500), Fails(404)], Err(404)),
            (&[Fails(404), Fails(500), Empty], Err(500)),
            (&[Fails(403), Fails(500), Empty], Err(403)),
        ] {
            assert_eq!(ask(places).await, expected, "{places:?}");
        }
    }
}
