//! Authentication at registries: parses challenges, fetches Bearer tokens, and makes the
//! `Authorization` header (Basic or Bearer).
//!
//! This module looks up credentials and decides which token service may receive them. It does not
//! depend on what is read or written with a header, nor on the repetition of requests.

mod challenge;
mod claims;
mod header;
mod scopes;
mod token;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use reqwest::header::HeaderMap;
use tokio::time::Instant;
use url::Url;

use self::challenge::{Challenge, preferred_challenge};
use self::header::basic;
use self::token::{Token, TokenRequest, may_have_credentials};
use crate::model::{Host, Repository, RepositoryPath};
use crate::progress::Event;
use crate::registry::authority::authority;
use crate::registry::credentials::{Credential, Credentials};
use crate::registry::error::{CredentialSearch, Error, Result};
use crate::registry::http::Engine;
use crate::registry::locks::lock;
use crate::registry::places::Endpoint;

pub(super) use self::challenge::unknown_challenge;
pub(super) use self::header::Authorization;
pub(super) use self::scopes::Scopes;

/// Kinds of requests; those of one kind share a registry's challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum RequestKind {
    /// All requests without a kind of their own.
    #[default]
    Content,
    /// Lists of referrers. Some registries and proxies ask for another login there, or name a
    /// token service that does not answer; that must not affect other requests.
    Referrers,
}

/// What a token says about the right to push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushGrant {
    /// The registry does not use tokens.
    NoToken,
    /// The token does not say.
    Untold,
    /// It grants `push`.
    Granted,
    /// It does not.
    Withheld,
}

/// The request for which an `Authorization` header is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) scopes: &'a Scopes,
    pub(super) kind: RequestKind,
    /// The root of the registry's API.
    pub(super) base: &'a Url,
    /// True if TLS may be missing or unverified there.
    pub(super) insecure: bool,
}

/// A slot for one token, locked while the token is fetched: of many requests that need the token,
/// one fetches it.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// What is known about authentication at each registry.
pub(super) struct Auth {
    credentials: Credentials,
    /// Challenges. The first one that a registry gave for its content applies to the whole
    /// registry; a different one applies to requests of that kind in the repository that gave it.
    challenges: Mutex<HashMap<ChallengeScope, Challenge>>,
    tokens: Mutex<HashMap<TokenKey, Slot>>,
    /// Registry and token service pairs whose token service accepted the credentials in this run.
    accepted: Mutex<HashSet<(String, Url)>>,
}

/// The scope of a challenge: a registry (`host[:port]`), or one kind of request in one of its
/// repositories.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ChallengeScope {
    registry: String,
    own: Option<(RequestKind, RepositoryPath)>,
}

impl ChallengeScope {
    fn registry(endpoint: &Endpoint) -> Self {
        Self {
            registry: authority(&endpoint.repository.host),
            own: None,
        }
    }

    fn own(endpoint: &Endpoint, kind: RequestKind) -> Self {
        Self {
            own: Some((kind, endpoint.repository.path.clone())),
            ..Self::registry(endpoint)
        }
    }
}

/// Key of a token: registry, token service, and scopes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct TokenKey {
    registry: String,
    realm: Url,
    service: Option<String>,
    scopes: Scopes,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

impl Auth {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            challenges: Mutex::default(),
            tokens: Mutex::default(),
            accepted: Mutex::default(),
        }
    }

    /// Returns the scheme that the registry asked for, or `None` before its first challenge.
    pub(super) fn scheme(&self, endpoint: &Endpoint) -> Option<&'static str> {
        match self.challenge(endpoint, RequestKind::Content)? {
            Challenge::Basic => Some("basic"),
            Challenge::Bearer { .. } => Some("bearer"),
        }
    }

    /// Returns the path of the token service that the registry named, if it named one.
    pub(super) fn realm(&self, endpoint: &Endpoint) -> Option<String> {
        match self.challenge(endpoint, RequestKind::Content)? {
            Challenge::Basic => None,
            Challenge::Bearer { realm, .. } => Some(realm.path().to_owned()),
        }
    }

    /// Fetches a token for the purpose's scopes, and returns whether it grants `push`.
    pub(super) async fn push_grant(
        &self,
        http: &Engine,
        purpose: Purpose<'_>,
    ) -> Result<PushGrant> {
        let Some(Challenge::Bearer { .. }) = self.challenge(purpose.endpoint, purpose.kind) else {
            return Ok(PushGrant::NoToken);
        };
        let authorization = self.authorization(http, purpose).await?;
        let text = authorization
            .as_ref()
            .and_then(|own| own.header.to_str().ok());
        let token = text.and_then(|text| text.strip_prefix("Bearer "));
        let path = &purpose.endpoint.repository.path;
        Ok(
            match token.and_then(|token| claims::grants_push(token, path)) {
                Some(true) => PushGrant::Granted,
                Some(false) => PushGrant::Withheld,
                None => PushGrant::Untold,
            },
        )
    }

    /// Returns where credentials for a host are looked for.
    pub(super) fn credential_search(&self, host: &Host) -> CredentialSearch {
        CredentialSearch {
            host: host.to_string(),
            files: self.credentials.places().to_vec(),
        }
    }

    /// Returns the challenge for this kind of request in the repository, else the registry's.
    fn challenge(&self, endpoint: &Endpoint, kind: RequestKind) -> Option<Challenge> {
        let challenges = lock(&self.challenges);
        let own = challenges.get(&ChallengeScope::own(endpoint, kind));
        own.or_else(|| challenges.get(&ChallengeScope::registry(endpoint)))
            .cloned()
    }

    /// Returns the header to send, or `None` if the registry has not asked for one yet or asks
    /// for a password that is not known.
    pub(super) async fn authorization(
        &self,
        http: &Engine,
        purpose: Purpose<'_>,
    ) -> Result<Option<Authorization>> {
        let Purpose {
            endpoint,
            scopes,
            kind,
            ..
        } = purpose;
        match self.challenge(endpoint, kind) {
            None => Ok(None),
            Some(Challenge::Basic) => {
                let credential = self.credential(http, &endpoint.repository, scopes).await?;
                let login = credential.as_ref().and_then(Credential::login);
                let header = login.and_then(|(username, password)| basic(username, password));
                Ok(header.map(|header| Authorization {
                    header,
                    credentials: true,
                }))
            }
            Some(Challenge::Bearer { realm, service }) => {
                let slot = self.slot(endpoint, &realm, service.as_deref(), scopes);
                let mut slot = slot.lock().await;
                let token = match slot.as_ref().filter(|t| Instant::now() < t.renew_at) {
                    Some(token) => token.clone(),
                    None => {
                        let request = TokenRequest {
                            endpoint,
                            realm: &realm,
                            service: service.as_deref(),
                            scopes,
                        };
                        let token = self.fetch(http, purpose, &request).await?;
                        slot.insert(token).clone()
                    }
                };
                Ok(Some(Authorization {
                    header: token.header,
                    credentials: token.credentials,
                }))
            }
        }
    }

    /// Learns the challenge of a 401, and forgets the token that was refused. Returns true if a
    /// header for the challenge can be made.
    pub(super) async fn challenged(
        &self,
        purpose: Purpose<'_>,
        headers: &HeaderMap,
        used: Option<&Authorization>,
        http: &Engine,
    ) -> Result<bool> {
        let Purpose {
            endpoint,
            scopes,
            kind,
            base,
            ..
        } = purpose;
        let Some(challenge) = preferred_challenge(headers, base) else {
            return Ok(false);
        };
        self.learn(endpoint, kind, challenge.clone());
        let Challenge::Bearer { realm, service } = challenge else {
            let credential = self.credential(http, &endpoint.repository, scopes).await?;
            return Ok(credential.is_some_and(|found| found.login().is_some()));
        };
        let slot = self.slot(endpoint, &realm, service.as_deref(), scopes);
        let mut slot = slot.lock().await;
        if let (Some(token), Some(used)) = (slot.as_ref(), used)
            && token.header == used.header
        {
            *slot = None;
        }
        Ok(true)
    }

    fn learn(&self, endpoint: &Endpoint, kind: RequestKind, challenge: Challenge) {
        let mut challenges = lock(&self.challenges);
        let (registry, own) = (
            ChallengeScope::registry(endpoint),
            ChallengeScope::own(endpoint, kind),
        );
        match challenges.get(&registry) {
            Some(known) if *known == challenge => {
                challenges.remove(&own);
            }
            None if kind == RequestKind::Content => {
                challenges.insert(registry, challenge);
            }
            _ => {
                challenges.insert(own, challenge);
            }
        }
    }

    fn slot(
        &self,
        endpoint: &Endpoint,
        realm: &Url,
        service: Option<&str>,
        scopes: &Scopes,
    ) -> Slot {
        let key = TokenKey {
            registry: authority(&endpoint.repository.host),
            realm: realm.clone(),
            service: service.map(str::to_owned),
            scopes: scopes.clone(),
        };
        Arc::clone(lock(&self.tokens).entry(key).or_default())
    }

    async fn credential(
        &self,
        http: &Engine,
        repository: &Repository,
        scopes: &Scopes,
    ) -> Result<Option<Credential>> {
        // Without scopes the lookup is for the host, and the path is a placeholder.
        let path = (!scopes.is_empty()).then_some(&repository.path);
        let found = self.credentials.lookup(&repository.host, path).await;
        for failure in self.credentials.take_passed_over() {
            let host = &repository.host;
            let message = format!("{failure}; another login for {host} is used instead");
            http.settings().progress.emit(Event::Warning { message });
        }
        found.map_err(|source| Error::Credentials {
            host: repository.host.to_string(),
            source,
        })
    }

    async fn fetch(
        &self,
        http: &Engine,
        purpose: Purpose<'_>,
        request: &TokenRequest<'_>,
    ) -> Result<Token> {
        let endpoint = request.endpoint;
        let credential = self
            .credential(http, &endpoint.repository, request.scopes)
            .await?;
        let insecure = purpose.insecure;
        if credential.is_some() && !may_have_credentials(request.realm, purpose.base, insecure) {
            return Err(Error::UntrustedRealm {
                host: endpoint.repository.host.to_string(),
                realm: request.realm.into(),
            });
        }
        let registry = authority(&endpoint.repository.host);
        let accepts = (registry, request.realm.clone());
        let asked_at = Instant::now();
        let response = request.send(http, credential.as_ref(), insecure).await?;
        if !response.status().is_success() {
            let error = response.into_error().await;
            if error.is_network() {
                return Err(error);
            }
            let has_credentials = credential.is_some();
            let is_about_scope = has_credentials
                && !request.scopes.is_empty()
                && (lock(&self.accepted).contains(&accepts)
                    || request
                        .is_accepted(http, credential.as_ref(), insecure)
                        .await);
            if is_about_scope {
                lock(&self.accepted).insert(accepts);
            }
            let search =
                (!is_about_scope).then(|| self.credential_search(&endpoint.repository.host));
            return Err(error.into_token_service_error(has_credentials, search));
        }
        if credential.is_some() {
            lock(&self.accepted).insert(accepts);
        }
        Token::read(response, asked_at, credential.is_some()).await
    }
}
