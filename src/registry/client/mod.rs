//! The client: combines the engine, authentication and the choice of places, and remembers what
//! it learns about hosts and repositories.
//!
//! `read` and `write` add the operations. They send requests with `Client::call`, to a place that
//! this module chose. This module does not know what a request is for.

mod asking;
mod call;
mod learned;
mod options;

use std::fmt;
use std::sync::Arc;

use url::Url;

use self::learned::{HostFacts, Learned};
use crate::model::{Host, Repository};
use crate::registry::auth::{Auth, Scopes};
use crate::registry::error::{Error, Result};
use crate::registry::http::{Budget, Engine, Settings};
use crate::registry::places::{Endpoint, Mirrors, Schemes};

pub(super) use self::asking::Reply;
pub(super) use self::call::Call;
pub(super) use self::learned::{PartsVerdict, UploadWay};
pub use self::options::ClientOptions;

/// Attempts at a place while another place is left to ask.
const ATTEMPTS_BEFORE_NEXT_PLACE: u32 = 2;

/// A client for all registries. Cheap to clone; use one for each process, so that connections and
/// tokens are shared.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    use_mirrors: bool,
}

struct Inner {
    http: Engine,
    auth: Auth,
    schemes: Schemes,
    mirrors: Mirrors,
    tls_verify: Option<bool>,
    learned: Learned,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("http", &self.inner.http)
            .field("auth", &self.inner.auth)
            .field("mirrors", &self.inner.mirrors)
            .field("tls_verify", &self.inner.tls_verify)
            .field("use_mirrors", &self.use_mirrors)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client. No host is contacted and no certificate is parsed before the first use.
    pub fn new(options: ClientOptions) -> Self {
        let inner = Inner {
            http: Engine::new(Settings {
                certificates: options.certificates,
                proxies: Arc::new(options.proxies),
                retry: options.retry,
                timeouts: options.timeouts,
                jobs: options.jobs,
                limit_rate: options.limit_rate,
                user_agent: options.user_agent,
                progress: options.progress,
            }),
            auth: Auth::new(options.credentials),
            schemes: Schemes::default(),
            mirrors: options.mirrors,
            tls_verify: options.tls_verify,
            learned: Learned::default(),
        };
        Self {
            inner: Arc::new(inner),
            use_mirrors: true,
        }
    }

    /// Returns the same client without mirrors: for the target, where only the registry itself
    /// can say what it has.
    #[must_use]
    pub fn direct(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            use_mirrors: false,
        }
    }

    pub(super) fn http(&self) -> &Engine {
        &self.inner.http
    }

    pub(super) fn auth(&self) -> &Auth {
        &self.inner.auth
    }

    pub(super) fn budget(&self, what: impl Into<String>) -> Budget {
        self.http().budget(what)
    }

    /// Returns the retry budget for one of several places: all attempts at the `last` one, fewer
    /// at the others.
    pub(super) fn budget_at(&self, what: impl Into<String>, last: bool) -> Budget {
        let budget = self.budget(what);
        if last {
            budget
        } else {
            budget.at_most(ATTEMPTS_BEFORE_NEXT_PLACE)
        }
    }

    /// Sends a request about `what` until it succeeds, fails with a permanent error, or has no
    /// attempts left.
    pub(super) async fn retry<T, Fut>(
        &self,
        what: impl Into<String>,
        request: impl FnMut() -> Fut,
    ) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        self.budget(what).retry(request).await
    }

    /// Like [`Self::retry`], at one of several places: unless it is the `last`, with fewer
    /// attempts.
    pub(super) async fn retry_at<T, Fut>(
        &self,
        what: impl Into<String>,
        last: bool,
        request: impl FnMut() -> Fut,
    ) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        self.budget_at(what, last).retry(request).await
    }

    /// Returns what was learned about a host.
    pub(super) fn host(&self, host: &Host) -> HostFacts {
        self.inner.learned.host(host)
    }

    /// Updates what is known about a host.
    pub(super) fn learn(&self, host: &Host, by: impl FnOnce(&mut HostFacts)) {
        self.inner.learned.change_host(host, by);
    }

    /// Records that the registry accepted a write into a repository.
    pub(super) fn wrote_to(&self, repository: &Repository) {
        self.inner.learned.wrote_to(repository);
    }

    /// Returns the scopes to request for reading. Only `pull`, so that reading changes nothing:
    /// some registries create a repository when a token for `push` is requested. After this
    /// process has written to the repository, its push token exists already and is used for
    /// reading too.
    pub(super) fn read_scopes(&self, place: &Endpoint) -> Scopes {
        let path = &place.repository.path;
        match self.inner.learned.has_written_to(&place.repository) {
            true => Scopes::push(path),
            false => Scopes::pull(path),
        }
    }

    /// Returns the root of a registry's API, `https://host[:port]/v2/`.
    pub(super) async fn base(&self, endpoint: &Endpoint) -> Result<Url> {
        // Every request calls this first, so blocked repositories are refused here.
        self.check_not_blocked(&endpoint.repository)?;
        let (host, insecure) = (&endpoint.repository.host, self.is_insecure(endpoint));
        self.inner.schemes.base(self.http(), host, insecure).await
    }

    /// Returns the URL of something in a repository, for example `manifests/latest`.
    pub(super) async fn url(&self, endpoint: &Endpoint, tail: &str) -> Result<Url> {
        let base = self.base(endpoint).await?;
        let path = format!("{}/{tail}", endpoint.repository.path);
        base.join(&path).map_err(|_| Error::Protocol {
            url: (&base).into(),
            reason: format!("`{path}` is not a valid path below it"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(conf: &str) -> ClientOptions {
        ClientOptions {
            mirrors: Mirrors::parse(conf).unwrap(),
            ..ClientOptions::default()
        }
    }

    fn client(conf: &str) -> Client {
        Client::new(options(conf))
    }

    #[test]
    fn what_belongs_to_a_manifest_is_read_where_the_manifest_came_from() {
        let client = client(
            "[[registry]]\nlocation = 'q.lan'\n\
             [[registry.mirror]]\nlocation = 'tags.lan'\npull-from-mirror = 'tag-only'\n\
             [[registry.mirror]]\nlocation = 'digests.lan'\npull-from-mirror = 'digest-only'\n",
        );
        let repository: Repository = "q.lan/x".parse().unwrap();
        let asked = |by_digest| {
            let places = client.places(&repository, by_digest).unwrap().into_iter();
            places
                .map(|place| place.repository.host.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(asked(false), ["tags.lan", "q.lan"]);
        assert_eq!(asked(true), ["digests.lan", "q.lan"]);
        let by_tag = client.places(&repository, false).unwrap();
        client.remember_place(&repository, &by_tag[0]);
        assert_eq!(asked(true), ["tags.lan", "digests.lan", "q.lan"]);
        client.remember_place(&repository, &by_tag[1]);
        assert_eq!(asked(true), ["q.lan", "digests.lan"]);
        let by_digest = client.places(&repository, true).unwrap();
        client.remember_place(&repository, &by_digest[1]);
        assert_eq!(asked(false), ["tags.lan", "q.lan"]);
    }

    #[test]
    fn insecure_counts_for_targets_too_and_less_than_what_the_caller_says() {
        let conf = "[[registry]]\nlocation = 'q.lan/a'\ninsecure = true\n";
        for (tls_verify, below, beside) in [
            (None, true, false),
            (Some(true), false, false),
            (Some(false), true, true),
        ] {
            let options = ClientOptions {
                tls_verify,
                ..options(conf)
            };
            let client = Client::new(options).direct();
            for (name, insecure) in [("q.lan/a/x", below), ("q.lan/b", beside)] {
                let place = client.own_place(&name.parse().unwrap());
                assert_eq!(
                    client.is_insecure(&place),
                    insecure,
                    "{tls_verify:?} {name}"
                );
            }
        }
    }

    #[tokio::test]
    async fn what_is_blocked_is_not_asked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap();
        let conf = format!("[[registry]]\nlocation = '{host}'\nblocked = true\n");
        let client = client(&conf);
        let repository: Repository = format!("{host}/x").parse().unwrap();
        let (pinged, places) = (
            client.ping(&repository.host).await.map(drop),
            client.direct().places(&repository, false).unwrap(),
        );
        let asked = client.direct().url(&places[0], "tags/list").await.map(drop);
        let found = client.first_unreachable([&repository]).await;
        for (answer, what) in [(pinged, "ping"), (asked, "tags")] {
            assert!(
                matches!(answer, Err(Error::Blocked { .. })),
                "{what}: {answer:?}"
            );
        }
        assert!(found.is_none(), "{found:?}");
        let called = futures_util::poll!(Box::pin(listener.accept()));
        assert!(called.is_pending(), "the host was contacted");
    }

    #[tokio::test]
    async fn a_registry_is_looked_for_where_the_settings_send_it() {
        let at = || tokio::net::TcpListener::bind("127.0.0.1:0");
        let (named, location) = (at().await.unwrap(), at().await.unwrap());
        let host = |listener: &tokio::net::TcpListener| listener.local_addr().unwrap();
        let (here, there) = (host(&named), host(&location));
        drop(location);
        let conf = format!("[[registry]]\nprefix = '{here}'\nlocation = '{there}'\n");
        let mut options = options(&conf);
        options.retry.attempts = 1;
        let repository: Repository = format!("{here}/x").parse().unwrap();
        let found = Client::new(options).first_unreachable([&repository]).await;
        let error = found.unwrap().to_string();
        assert!(error.contains(&there.to_string()), "{error}");
        let called = futures_util::poll!(Box::pin(named.accept()));
        assert!(called.is_pending(), "the host was contacted");
    }
}
