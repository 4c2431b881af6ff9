//! Answers to a registry's challenge: Basic, or Bearer tokens
//! (distribution's "Token Authentication Specification" and its OAuth2 variant).

use std::collections::HashMap;
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

use super::client::{Client, lock};
use super::credentials::{Credential, Credentials, Secret};
use super::error::{Error, Result, Sought};
use super::mirrors::Endpoint;
use super::retry::http_date;
use super::scheme::authority;
use super::transport::{Payload, Sending};
use crate::model::{Host, Repository, RepositoryPath};

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
pub(super) struct Scopes(Vec<String>);

impl Scopes {
    pub(super) fn pull(path: &RepositoryPath) -> Self {
        Self(vec![format!("repository:{path}:pull")])
    }

    pub(super) fn push(path: &RepositoryPath) -> Self {
        Self(vec![format!("repository:{path}:pull,push")])
    }

    /// For mounting a blob of `from` into `path`.
    pub(super) fn mount(path: &RepositoryPath, from: &RepositoryPath) -> Self {
        Self(vec![
            format!("repository:{path}:pull,push"),
            format!("repository:{from}:pull"),
        ])
    }
}

/// An `Authorization` header.
pub(super) struct Authorization {
    /// Marked as sensitive.
    pub(super) header: HeaderValue,
    /// Whether credentials are behind it; anonymous tokens have none.
    pub(super) credentials: bool,
}

#[derive(Clone)]
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

/// A place for one token, locked while the token is fetched: of many requests that need it one
/// fetches it.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// What is known about how to log in, for each registry.
pub(super) struct Auth {
    credentials: Credentials,
    /// By `host[:port]`.
    challenges: Mutex<HashMap<String, Challenge>>,
    tokens: Mutex<HashMap<(String, Scopes), Slot>>,
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
    pub(super) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            challenges: Mutex::default(),
            tokens: Mutex::default(),
        }
    }

    /// How the registry wants us to log in, as far as it was heard.
    pub(super) fn scheme(&self, endpoint: &Endpoint) -> Option<&'static str> {
        match self.challenge(endpoint)? {
            Challenge::Basic => Some("basic"),
            Challenge::Bearer { .. } => Some("bearer"),
        }
    }

    /// Where credentials for a host were looked for.
    pub(super) fn sought(&self, host: &Host) -> Sought {
        Sought {
            host: host.to_string(),
            files: self.credentials.places().to_vec(),
        }
    }

    fn challenge(&self, endpoint: &Endpoint) -> Option<Challenge> {
        let authority = authority(&endpoint.repository.host);
        lock(&self.challenges).get(&authority).cloned()
    }

    /// The header to send, or `None` while the registry has not asked for one, or when it asks
    /// for a password that we do not have.
    pub(super) async fn authorization(
        &self,
        client: &Client,
        endpoint: &Endpoint,
        scopes: &Scopes,
    ) -> Result<Option<Authorization>> {
        match self.challenge(endpoint) {
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
                let slot = self.slot(endpoint, scopes);
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
    pub(super) async fn challenged(
        &self,
        client: &Client,
        endpoint: &Endpoint,
        scopes: &Scopes,
        headers: &HeaderMap,
        used: Option<&Authorization>,
    ) -> Result<bool> {
        let base = client.base(endpoint).await?;
        let Some(challenge) = preferred_challenge(headers, &base) else {
            return Ok(false);
        };
        let is_basic = matches!(challenge, Challenge::Basic);
        lock(&self.challenges).insert(authority(&endpoint.repository.host), challenge);
        if is_basic {
            let credential = self.credential(&endpoint.repository, scopes).await?;
            return Ok(credential.is_some_and(|found| found.login().is_some()));
        }
        let slot = self.slot(endpoint, scopes);
        let mut slot = slot.lock().await;
        if let (Some(token), Some(used)) = (slot.as_ref(), used)
            && token.header == used.header
        {
            *slot = None;
        }
        Ok(true)
    }

    fn slot(&self, endpoint: &Endpoint, scopes: &Scopes) -> Slot {
        let key = (authority(&endpoint.repository.host), scopes.clone());
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
        let (mut sending, header, payload) = request.to_http(credential.as_ref(), insecure);
        sending.registry = Some(authority(&endpoint.repository.host));
        let asked_at = Instant::now();
        let response = client.follow(&sending, header.as_ref(), payload).await?;
        let url = response.shown();
        if !response.status().is_success() {
            return Err(match response.into_error().await {
                Error::Unauthorized { url, answer, .. } => Error::Unauthorized {
                    url,
                    answer,
                    credentials: credential.is_some(),
                    sought: Some(Box::new(self.sought(&endpoint.repository.host))),
                    token_service: true,
                },
                other => other,
            });
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
