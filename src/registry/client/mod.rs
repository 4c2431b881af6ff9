//! The client: what all requests share, and where they go.

mod options;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use url::Url;

pub use self::options::{CertificateStore, ClientOptions, HostCertificates, Timeouts};
use crate::model::{Host, Repository};
use crate::progress::Event;
use crate::registry::auth::{Auth, Scopes};
use crate::registry::error::{Error, Result};
use crate::registry::http::{Budget, Connections, Gates, HttpClients, Outages, Peer};
use crate::registry::locks::lock;
use crate::registry::places::{Endpoint, Places, Schemes};
use crate::registry::read::Verdict;
use crate::registry::redact::{RedactedUrl, one_line};
use crate::registry::write::UploadWay;

/// Attempts at a place when another place is left to be asked.
const ATTEMPTS_BEFORE_NEXT_PLACE: u32 = 2;

/// A client for all registries. Cheap to clone; one for each process, so that connections and
/// tokens are shared.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    use_mirrors: bool,
}

struct Inner {
    options: ClientOptions,
    http: HttpClients,
    gates: Gates,
    outages: Arc<Outages>,
    auth: Auth,
    schemes: Schemes,
    /// The place that had content of a repository last.
    favourites: Mutex<HashMap<Repository, Endpoint>>,
    /// Places that failed and of which somebody was told.
    warned: Mutex<HashSet<Repository>>,
    /// Bytes that a host takes in one request, where it refused more.
    piece_limits: Mutex<HashMap<Host, u64>>,
    /// How blobs go up, where a host refused another way; for small blobs and for large ones.
    upload_ways: Mutex<HashMap<(Host, bool), UploadWay>>,
    /// Hosts that were seen to have a blob whole that came in pieces.
    joining: Mutex<HashSet<Host>>,
    /// Repositories into which this process has written.
    written: Mutex<HashSet<Repository>>,
    /// Whether blobs of a host come faster in parts, where that was tried.
    dividing: Mutex<HashMap<Host, Verdict>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("options", &self.inner.options)
            .field("use_mirrors", &self.use_mirrors)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client. Nothing is contacted and no certificate is read before the first use.
    pub fn new(options: ClientOptions) -> Self {
        let inner = Inner {
            auth: Auth::new(options.credentials.clone()),
            gates: Gates::new(options.jobs, options.limit_rate),
            options,
            http: HttpClients::default(),
            outages: Arc::default(),
            schemes: Schemes::default(),
            favourites: Mutex::default(),
            warned: Mutex::default(),
            piece_limits: Mutex::default(),
            upload_ways: Mutex::default(),
            joining: Mutex::default(),
            written: Mutex::default(),
            dividing: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
            use_mirrors: true,
        }
    }

    /// The same client, ignoring mirrors: for the target, where only the registry itself can
    /// say what it has.
    #[must_use]
    pub fn direct(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            use_mirrors: false,
        }
    }

    pub(in crate::registry) fn options(&self) -> &ClientOptions {
        &self.inner.options
    }

    pub(in crate::registry) fn gates(&self) -> &Gates {
        &self.inner.gates
    }

    pub(in crate::registry) fn outages(&self) -> &Outages {
        &self.inner.outages
    }

    pub(in crate::registry) fn schemes(&self) -> &Schemes {
        &self.inner.schemes
    }

    pub(in crate::registry) fn auth(&self) -> &Auth {
        &self.inner.auth
    }

    pub(in crate::registry) fn budget(&self, what: impl Into<String>) -> Budget {
        let options = self.options();
        let (progress, outages) = (&options.progress, &self.inner.outages);
        let (progress, outages) = (Arc::clone(progress), Arc::clone(outages));
        Budget::new(options.retry, progress, outages, what.into())
    }

    /// The budget for one place of several.
    pub(in crate::registry) fn budget_at(&self, what: impl Into<String>, last: bool) -> Budget {
        let budget = self.budget(what);
        if last {
            budget
        } else {
            budget.at_most(ATTEMPTS_BEFORE_NEXT_PLACE)
        }
    }

    /// Whether TLS may be missing or unverified at a place. What the caller says counts before
    /// `insecure` of `registries.conf`, as for skopeo.
    pub(in crate::registry) fn is_insecure(&self, endpoint: &Endpoint) -> bool {
        let said = self.options().tls_verify;
        said.map_or(endpoint.insecure, |verify| !verify)
    }

    /// Refuses a repository that may not be asked where it lies, without mirrors and rewrites.
    ///
    /// # Errors
    ///
    /// [`Error::Blocked`] when `registries.conf` blocks it.
    pub fn may_ask(&self, repository: &Repository) -> Result<()> {
        match self.options().mirrors.is_blocked(repository) {
            true => Err(Error::Blocked {
                repository: repository.to_string(),
            }),
            false => Ok(()),
        }
    }

    pub(in crate::registry) fn http(
        &self,
        peer: Peer<'_>,
        connections: Connections,
    ) -> Result<reqwest::Client> {
        self.inner.http.client(self.options(), peer, connections)
    }

    pub(in crate::registry) fn proxy(&self, url: &Url) -> Option<RedactedUrl> {
        self.inner.http.proxy(url)
    }

    /// The repository itself, without mirrors and rewrites. `insecure` of its registry counts for
    /// it, as for skopeo.
    pub(in crate::registry) fn own_place(&self, repository: &Repository) -> Endpoint {
        Endpoint {
            repository: repository.clone(),
            insecure: self.options().mirrors.is_insecure(repository),
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
        let favourite = lock(&self.inner.favourites).get(repository).cloned();
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
        let places = self.options().mirrors.places(repository, by_digest);
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
        lock(&self.inner.favourites).insert(repository.clone(), place.clone());
    }

    /// Tells, once for each place, that it failed and that the next one is asked.
    pub(in crate::registry) fn failed_at(&self, place: &Endpoint, error: &Error) {
        if !error.is_not_found() && lock(&self.inner.warned).insert(place.repository.clone()) {
            let message = format!(
                "{} does not answer as it should, the next place is asked: {error}",
                place.repository
            );
            self.options().progress.emit(Event::Warning { message });
        }
    }

    /// Bytes that go to `host` in one request, at most.
    pub(in crate::registry) fn piece_limit(&self, host: &Host) -> Option<u64> {
        lock(&self.inner.piece_limits).get(host).copied()
    }

    pub(in crate::registry) fn set_piece_limit(&self, host: &Host, bytes: u64) {
        lock(&self.inner.piece_limits).insert(host.clone(), bytes);
    }

    /// How blobs go up to `host`, as far as that is known.
    pub(in crate::registry) fn upload_way(&self, host: &Host, small: bool) -> UploadWay {
        let ways = lock(&self.inner.upload_ways);
        let known = ways.get(&(host.clone(), small)).copied();
        known.unwrap_or(UploadWay::RangedPieces)
    }

    pub(in crate::registry) fn set_upload_way(&self, host: &Host, small: bool, way: UploadWay) {
        lock(&self.inner.upload_ways).insert((host.clone(), small), way);
    }

    /// Whether `host` was seen to have a blob whole that came in pieces.
    pub(in crate::registry) fn joins_pieces(&self, host: &Host) -> bool {
        lock(&self.inner.joining).contains(host)
    }

    pub(in crate::registry) fn set_joins_pieces(&self, host: &Host) {
        lock(&self.inner.joining).insert(host.clone());
    }

    /// Takes note that the registry let us write into a repository.
    pub(in crate::registry) fn wrote_to(&self, repository: &Repository) {
        let mut written = lock(&self.inner.written);
        if !written.contains(repository) {
            written.insert(repository.clone());
        }
    }

    /// The rights to ask for when something is read. Only `pull`, so that a question changes
    /// nothing: some registries make a repository when a token to push is asked for. Where this
    /// process has written, its token to push is there already, and reads what is new.
    pub(in crate::registry) fn read_scopes(&self, place: &Endpoint) -> Scopes {
        let path = &place.repository.path;
        match lock(&self.inner.written).contains(&place.repository) {
            true => Scopes::push(path),
            false => Scopes::pull(path),
        }
    }

    /// Whether blobs of `host` come faster in parts, as far as that is known.
    pub(in crate::registry) fn dividing(&self, host: &Host) -> Option<Verdict> {
        lock(&self.inner.dividing).get(host).copied()
    }

    /// Blobs of `host` are no longer fetched in parts: what came of one had the wrong digest, and
    /// parts may be why.
    pub fn keep_blobs_whole(&self, host: &Host) {
        self.set_dividing(host, Verdict::Useless);
    }

    pub(in crate::registry) fn set_dividing(&self, host: &Host, verdict: Verdict) {
        lock(&self.inner.dividing).insert(host.clone(), verdict);
    }

    /// The URL of something in a repository, for example `manifests/latest`.
    pub(in crate::registry) async fn url(&self, endpoint: &Endpoint, tail: &str) -> Result<Url> {
        let base = self.base(endpoint).await?;
        let path = format!("{}/{tail}", endpoint.repository.path);
        base.join(&path).map_err(|_| Error::Protocol {
            url: (&base).into(),
            reason: format!("`{path}` makes no URL with it"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Mirrors;

    fn client(conf: &str) -> Client {
        Client::new(ClientOptions {
            mirrors: Mirrors::parse(conf).unwrap(),
            ..ClientOptions::default()
        })
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
        client.found_at(&repository, &by_tag[0]);
        assert_eq!(asked(true), ["tags.lan", "digests.lan", "q.lan"]);
        client.found_at(&repository, &by_tag[1]);
        assert_eq!(asked(true), ["q.lan", "digests.lan"]);
        let by_digest = client.places(&repository, true).unwrap();
        client.found_at(&repository, &by_digest[1]);
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
                ..client(conf).options().clone()
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
        let mut options = client(&conf).options().clone();
        options.retry.attempts = 1;
        let repository: Repository = format!("{here}/x").parse().unwrap();
        let found = Client::new(options).first_unreachable([&repository]).await;
        let error = found.unwrap().to_string();
        assert!(error.contains(&there.to_string()), "{error}");
        let called = futures_util::poll!(Box::pin(named.accept()));
        assert!(called.is_pending(), "the host was contacted");
    }
}
