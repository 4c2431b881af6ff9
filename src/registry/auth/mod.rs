//! Answers to a registry's challenge: Basic, or Bearer tokens
//! (distribution's "Token Authentication Specification" and its OAuth2 variant).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use crate::model::{Host, Repository, RepositoryPath};
use crate::registry::authority::authority;
use crate::registry::client::Client;
use crate::registry::credentials::{Credential, Credentials, Secret};
use crate::registry::error::{Error, Result, Sought};
use crate::registry::http::{Payload, Response, Sending, http_date};
use crate::registry::locks::lock;
use crate::registry::places::Endpoint;

/// How token services know us.
const CLIENT_ID: &str = "airferry";

/// Bytes of a token service's answer that are read.
const TOKEN_ANSWER: u64 = 256 << 10;

/// How long a token is valid when nothing is said (token specification, "expires_in").
const DEFAULT_VALIDITY: u64 = 60;

/// Tokens are renewed this long before they expire, or after three quarters of their life.
const RENEW_BEFORE: Duration = Duration::from_secs(30);

/// The rights that a request needs, in the token specification's words.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(in crate::registry) struct Scopes(Vec<String>);

impl Scopes {
    pub(in crate::registry) fn pull(path: &RepositoryPath) -> Self {
        Self(vec![format!("repository:{path}:pull")])
    }

    pub(in crate::registry) fn push(path: &RepositoryPath) -> Self {
        Self(vec![format!("repository:{path}:pull,push")])
    }

    /// For mounting a blob of `from` into `path`.
    pub(in crate::registry) fn mount(path: &RepositoryPath, from: &RepositoryPath) -> Self {
        Self(vec![
            format!("repository:{path}:pull,push"),
            format!("repository:{from}:pull"),
        ])
    }
}

/// An `Authorization` header.
pub(in crate::registry) struct Authorization {
    /// Marked as sensitive.
    pub(in crate::registry) header: HeaderValue,
    /// Whether credentials are behind it; anonymous tokens have none.
    pub(in crate::registry) credentials: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    credentials: bool,
    renew_at: Instant,
}

/// Requests of one registry that share a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(in crate::registry) enum Matter {
    /// Everything that has no kind of its own.
    #[default]
    Content,
    /// Lists of referrers. Some registries and proxies ask for another login there, or name a
    /// token service that does not answer. That must not stop all other requests.
    Referrers,
}

/// What an `Authorization` header is for.
#[derive(Debug, Clone, Copy)]
pub(in crate::registry) struct Purpose<'a> {
    pub(in crate::registry) endpoint: &'a Endpoint,
    pub(in crate::registry) scopes: &'a Scopes,
    pub(in crate::registry) matter: Matter,
}

/// A place for one token, locked while the token is fetched: of many requests that need it one
/// fetches it.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// What is known about how to log in, for each registry.
pub(in crate::registry) struct Auth {
    credentials: Credentials,
    /// The first that a registry gave for its content is the one for everything there; another
    /// one counts for such requests in the repository that gave it.
    challenges: Mutex<HashMap<Asker, Challenge>>,
    tokens: Mutex<HashMap<TokenKey, Slot>>,
    /// Token services, with the registry, that have taken the credentials in this run.
    accepted: Mutex<HashSet<(String, Url)>>,
}

/// Who asks for a login: a registry (`host[:port]`), or what of it asks for another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Asker {
    registry: String,
    own: Option<(Matter, RepositoryPath)>,
}

impl Asker {
    fn registry(endpoint: &Endpoint) -> Self {
        Self {
            registry: authority(&endpoint.repository.host),
            own: None,
        }
    }

    fn own(endpoint: &Endpoint, matter: Matter) -> Self {
        Self {
            own: Some((matter, endpoint.repository.path.clone())),
            ..Self::registry(endpoint)
        }
    }
}

/// What a token is for: a registry, its token service, and rights.
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

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<u64>,
    issued_at: Option<String>,
}

impl Auth {
    pub(in crate::registry) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            challenges: Mutex::default(),
            tokens: Mutex::default(),
            accepted: Mutex::default(),
        }
    }

    /// How the registry wants us to log in, as far as it was heard.
    pub(in crate::registry) fn scheme(&self, endpoint: &Endpoint) -> Option<&'static str> {
        match self.challenge(endpoint, Matter::Content)? {
            Challenge::Basic => Some("basic"),
            Challenge::Bearer { .. } => Some("bearer"),
        }
    }

    /// Where credentials for a host were looked for.
    pub(in crate::registry) fn sought(&self, host: &Host) -> Sought {
        Sought {
            host: host.to_string(),
            files: self.credentials.places().to_vec(),
        }
    }

    /// The challenge that was heard for such requests, else the one for all others.
    fn challenge(&self, endpoint: &Endpoint, matter: Matter) -> Option<Challenge> {
        let challenges = lock(&self.challenges);
        let own = challenges.get(&Asker::own(endpoint, matter));
        own.or_else(|| challenges.get(&Asker::registry(endpoint)))
            .cloned()
    }

    /// The header to send, or `None` while the registry has not asked for one, or when it asks
    /// for a password that we do not have.
    pub(in crate::registry) async fn authorization(
        &self,
        client: &Client,
        purpose: Purpose<'_>,
    ) -> Result<Option<Authorization>> {
        let Purpose {
            endpoint,
            scopes,
            matter,
        } = purpose;
        match self.challenge(endpoint, matter) {
            None => Ok(None),
            Some(Challenge::Basic) => {
                let credential = self.credential(&endpoint.repository, scopes).await?;
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
                        let token = self.fetch(client, &request).await?;
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

    /// Learns from a 401, and forgets the token that led to it. Returns whether there is
    /// anything to answer with.
    pub(in crate::registry) async fn challenged(
        &self,
        client: &Client,
        purpose: Purpose<'_>,
        headers: &HeaderMap,
        used: Option<&Authorization>,
    ) -> Result<bool> {
        let Purpose {
            endpoint,
            scopes,
            matter,
        } = purpose;
        let base = client.base(endpoint).await?;
        let Some(challenge) = preferred_challenge(headers, &base) else {
            return Ok(false);
        };
        self.learn(endpoint, matter, challenge.clone());
        let Challenge::Bearer { realm, service } = challenge else {
            let credential = self.credential(&endpoint.repository, scopes).await?;
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

    fn learn(&self, endpoint: &Endpoint, matter: Matter, challenge: Challenge) {
        let mut challenges = lock(&self.challenges);
        let (registry, own) = (Asker::registry(endpoint), Asker::own(endpoint, matter));
        match challenges.get(&registry) {
            Some(known) if *known == challenge => {
                challenges.remove(&own);
            }
            None if matter == Matter::Content => {
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
        repository: &Repository,
        scopes: &Scopes,
    ) -> Result<Option<Credential>> {
        // Without scopes the question is about the host, and the path is a placeholder.
        let path = (!scopes.0.is_empty()).then_some(&repository.path);
        let found = self.credentials.lookup(&repository.host, path).await;
        found.map_err(|source| Error::Credentials {
            host: repository.host.to_string(),
            source,
        })
    }

    async fn fetch(&self, client: &Client, request: &TokenRequest<'_>) -> Result<Token> {
        let endpoint = request.endpoint;
        let credential = self
            .credential(&endpoint.repository, request.scopes)
            .await?;
        let base = client.base(endpoint).await?;
        let insecure = client.is_insecure(endpoint);
        if credential.is_some() && !may_have_credentials(request.realm, &base, insecure) {
            return Err(Error::UntrustedRealm {
                host: endpoint.repository.host.to_string(),
                realm: request.realm.into(),
            });
        }
        let registry = authority(&endpoint.repository.host);
        let accepts = (registry, request.realm.clone());
        let asked_at = Instant::now();
        let response = request.send(client, credential.as_ref(), insecure).await?;
        let url = response.shown();
        if !response.status().is_success() {
            let error = response.into_error().await;
            if error.is_network() {
                return Err(error);
            }
            let has_credentials = credential.is_some();
            let is_about_scope = has_credentials
                && !request.scopes.0.is_empty()
                && (lock(&self.accepted).contains(&accepts)
                    || request
                        .is_accepted(client, credential.as_ref(), insecure)
                        .await);
            if is_about_scope {
                lock(&self.accepted).insert(accepts);
            }
            let sought = (!is_about_scope).then(|| self.sought(&endpoint.repository.host));
            return Err(error.of_token_service(has_credentials, sought));
        }
        if credential.is_some() {
            lock(&self.accepted).insert(accepts);
        }
        let served_at = response.text(DATE).and_then(http_date);
        let body = Zeroizing::new(response.read(TOKEN_ANSWER).await?);
        let not_understood = || Error::Protocol {
            url: url.clone(),
            reason: "it is no token".to_owned(),
        };
        // The parser's message might quote the token.
        let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| not_understood())?;
        let life = Duration::from_secs(answer.life(served_at));
        let given = |secret: &Secret| !secret.expose().is_empty();
        let secret = answer
            .token
            .filter(given)
            .or(answer.access_token.filter(given))
            .ok_or_else(not_understood)?;
        let text = Zeroizing::new(format!("Bearer {}", secret.expose()));
        let header = sensitive(&text).ok_or_else(not_understood)?;
        Ok(Token {
            header,
            credentials: credential.is_some(),
            renew_at: asked_at + life.saturating_sub(RENEW_BEFORE.min(life / 4)),
        })
    }
}

impl TokenAnswer {
    /// Seconds that the token is still valid. `issued_at` and the answer's `Date` come from
    /// the service's clock, so ours need not be right.
    fn life(&self, served_at: Option<i64>) -> u64 {
        let seconds = self.expires_in.unwrap_or(DEFAULT_VALIDITY).min(86_400);
        let issued_at = self.issued_at.as_ref().and_then(|text| {
            let time: jiff::Timestamp = text.parse().ok()?;
            Some(time.as_second())
        });
        let age = match (served_at, issued_at) {
            (Some(served), Some(issued)) => u64::try_from(served.saturating_sub(issued)),
            _ => Ok(0),
        };
        seconds.saturating_sub(age.unwrap_or(0))
    }
}

/// What is asked of a token service.
struct TokenRequest<'a> {
    endpoint: &'a Endpoint,
    realm: &'a Url,
    service: Option<&'a str>,
    scopes: &'a Scopes,
}

impl TokenRequest<'_> {
    async fn send(
        &self,
        client: &Client,
        credential: Option<&Credential>,
        insecure: bool,
    ) -> Result<Response> {
        let (mut sending, header, payload) = self.to_http(credential, insecure);
        sending.registry = Some(authority(&self.endpoint.repository.host));
        client.follow(&sending, header.as_ref(), payload).await
    }

    /// Whether the service takes the credentials when no rights are asked for. Then a refusal is
    /// about the rights: OpenShift's answers 401 and Quay's 400 for repositories that cannot be.
    async fn is_accepted(
        &self,
        client: &Client,
        credential: Option<&Credential>,
        insecure: bool,
    ) -> bool {
        let scopes = Scopes::default();
        let bare = TokenRequest {
            scopes: &scopes,
            ..*self
        };
        let answer = bare.send(client, credential, insecure).await;
        answer.is_ok_and(|response| response.status().is_success())
    }

    /// The request with its `Authorization` header and body.
    fn to_http(
        &self,
        credential: Option<&Credential>,
        insecure: bool,
    ) -> (Sending, Option<HeaderValue>, Payload) {
        let mut url = self.realm.clone();
        if let Some(Credential::IdentityToken { token, .. }) = credential {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token")
                .append_pair("client_id", CLIENT_ID)
                .append_pair("service", self.service.unwrap_or(""))
                .append_pair("scope", &self.scopes.0.join(" "))
                .append_pair("refresh_token", token.expose());
            let mut sending = Sending::new(Method::POST, &url, insecure);
            let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
            sending.headers.insert(CONTENT_TYPE, form_type);
            return (sending, None, Payload::Bytes(form.finish().into()));
        }
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = self.service {
                query.append_pair("service", service);
            }
            for scope in &self.scopes.0 {
                query.append_pair("scope", scope);
            }
            if let Some(Credential::Password { username, .. }) = credential {
                query.append_pair("account", username);
            }
        }
        let header = match credential {
            Some(Credential::Password { username, password }) => basic(username, password),
            _ => None,
        };
        (
            Sending::new(Method::GET, &url, insecure),
            header,
            Payload::Empty,
        )
    }
}

/// Whether credentials for the registry at `base` may go to `realm`: to its own host (not from
/// TLS down to plain HTTP), or to an https realm that it names over verified TLS. A realm
/// named over an unverified connection may be anybody's.
fn may_have_credentials(realm: &Url, base: &Url, insecure: bool) -> bool {
    let realm_is_tls = realm.scheme() == "https";
    let base_is_tls = base.scheme() == "https";
    let own_host = realm.host_str() == base.host_str();
    (own_host && (realm_is_tls || !base_is_tls)) || (realm_is_tls && base_is_tls && !insecure)
}

/// The challenge that we answer: Bearer before Basic. A realm may be relative to the registry.
fn preferred_challenge(headers: &HeaderMap, base: &Url) -> Option<Challenge> {
    let mut found = None;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Some(challenges) = value
            .to_str()
            .ok()
            .and_then(|text| http_auth::parse_challenges(text).ok())
        else {
            continue;
        };
        for challenge in challenges {
            let parameter = |name: &str| {
                let found = challenge.params.iter();
                let mut found = found.filter(|(key, _)| key.eq_ignore_ascii_case(name));
                found.next().map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let realm = parameter("realm").and_then(|realm| base.join(&realm).ok());
                if let Some(realm) = realm.filter(|r| matches!(r.scheme(), "http" | "https")) {
                    let service = parameter("service");
                    return Some(Challenge::Bearer { realm, service });
                }
            } else if challenge.scheme.eq_ignore_ascii_case("basic") {
                found = Some(Challenge::Basic);
            }
        }
    }
    found
}

fn basic(username: &str, password: &Secret) -> Option<HeaderValue> {
    let plain = Zeroizing::new(format!("{username}:{}", password.expose()));
    let encoded = base64::engine::general_purpose::STANDARD.encode(plain.as_bytes());
    sensitive(&Zeroizing::new(format!("Basic {encoded}")))
}

/// A header whose `Debug` shows nothing.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn credentials_go_to_trusted_realms_only() {
        for (realm, base, insecure, allowed) in [
            (
                "https://auth.docker.io/token",
                "https://registry-1.docker.io/v2/",
                false,
                true,
            ),
            (
                "http://auth.docker.io/token",
                "https://registry-1.docker.io/v2/",
                false,
                false,
            ),
            (
                "https://evil.example/token",
                "https://r.lan/v2/",
                true,
                false,
            ),
            (
                "https://evil.example/token",
                "http://r.lan/v2/",
                true,
                false,
            ),
            (
                "https://r.lan:8443/token",
                "https://r.lan:5000/v2/",
                true,
                true,
            ),
            (
                "http://r.lan:5001/token",
                "http://r.lan:5000/v2/",
                true,
                true,
            ),
            ("http://r.lan/token", "https://r.lan/v2/", true, false),
            (
                "https://r.lan.evil.example/token",
                "http://r.lan/v2/",
                true,
                false,
            ),
        ] {
            assert_eq!(
                may_have_credentials(&url(realm), &url(base), insecure),
                allowed,
                "{realm} {base} {insecure}"
            );
        }
    }

    #[test]
    fn bearer_is_preferred_and_rubbish_is_skipped() {
        let mut headers = HeaderMap::new();
        let base = url("https://r.lan/v2/");
        assert!(preferred_challenge(&headers, &base).is_none());
        headers.append(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"x\""),
        );
        assert!(matches!(
            preferred_challenge(&headers, &base),
            Some(Challenge::Basic)
        ));
        headers.append(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=,,\"\\"),
        );
        assert!(matches!(
            preferred_challenge(&headers, &base),
            Some(Challenge::Basic)
        ));
        let bearer = "Bearer realm=\"https://a.lan/t?x=\\\"\",service=\"s,1\",scope=\"y\"";
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(bearer));
        match preferred_challenge(&headers, &base) {
            Some(Challenge::Bearer { realm, service }) => {
                assert_eq!(realm.as_str(), "https://a.lan/t?x=%22");
                assert_eq!(service.as_deref(), Some("s,1"));
            }
            _ => panic!("Bearer was not preferred"),
        }
    }

    #[test]
    fn a_tokens_life_is_told_by_the_services_own_clock() {
        let answer = |expires_in, issued_at: Option<&str>| TokenAnswer {
            token: None,
            access_token: None,
            expires_in,
            issued_at: issued_at.map(str::to_owned),
        };
        assert_eq!(answer(None, None).life(None), 60);
        assert_eq!(answer(Some(300), None).life(Some(0)), 300);
        let issued = answer(Some(300), Some("1994-11-06T08:49:37Z"));
        let served = http_date("Sun, 06 Nov 1994 08:50:37 GMT");
        assert_eq!(issued.life(served), 240);
        assert_eq!(issued.life(None), 300);
        assert_eq!(issued.life(Some(0)), 300, "issued in the future");
        assert_eq!(answer(Some(u64::MAX), None).life(None), 86_400);
    }

    #[test]
    fn headers_are_not_shown() {
        let header = basic("user", &Secret::new("hunter2")).unwrap();
        assert_eq!(format!("{header:?}"), "Sensitive");
    }
}
