//! Requests to token services, and their answers (distribution's "Token Authentication
//! Specification" and its OAuth2 variant).

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderValue};
use serde::{Deserialize, Deserializer};
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::header::{basic, sensitive};
use super::scopes::Scopes;
use crate::registry::authority::authority;
use crate::registry::credentials::{Credential, Secret};
use crate::registry::error::{Error, Result};
use crate::registry::http::{Engine, Payload, Request, Response, http_date};
use crate::registry::places::Endpoint;

/// The client's name at token services.
const CLIENT_ID: &str = "airferry";

/// Maximum bytes of a token service's answer.
const TOKEN_ANSWER: u64 = 256 << 10;

/// Seconds that a token is valid if the service does not say (token specification, "expires_in").
const DEFAULT_VALIDITY: u64 = 60;

/// Tokens are renewed this long before they expire, but not before three quarters of their life.
const RENEW_BEFORE: Duration = Duration::from_secs(30);

/// A token from a token service.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    /// True if it was obtained with credentials.
    pub(super) credentials: bool,
    pub(super) renew_at: Instant,
}

impl Token {
    /// Reads a token service's answer to a request that was sent at `asked_at`.
    pub(super) async fn read(
        response: Response,
        asked_at: Instant,
        credentials: bool,
    ) -> Result<Self> {
        let url = response.shown();
        let served_at = response.text(DATE).and_then(http_date);
        let body = Zeroizing::new(response.read(TOKEN_ANSWER).await?);
        let not_understood = || Error::Protocol {
            url: url.clone(),
            reason: "it contains no token".to_owned(),
        };
        // The parser's message might quote the token, so it is dropped.
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
        Ok(Self {
            header,
            credentials,
            renew_at: asked_at + life.saturating_sub(RENEW_BEFORE.min(life / 4)),
        })
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Secret>,
    access_token: Option<Secret>,
    /// Any value other than a number of seconds counts as absent.
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
    #[serde(default, deserialize_with = "text")]
    issued_at: Option<String>,
}

fn seconds<'de, D: Deserializer<'de>>(given: D) -> std::result::Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(given)?;
    let whole = value.as_f64().filter(|seconds| *seconds >= 0.0);
    Ok(value.as_u64().or(whole.map(|seconds| seconds as u64)))
}

fn text<'de, D: Deserializer<'de>>(given: D) -> std::result::Result<Option<String>, D::Error> {
    let value = serde_json::Value::deserialize(given)?;
    Ok(value.as_str().map(str::to_owned))
}

impl TokenAnswer {
    /// Returns the seconds for which the token is still valid. `issued_at` and the answer's
    /// `Date` come from the service's clock, so the local clock need not be right.
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

/// A request to a token service.
pub(super) struct TokenRequest<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) realm: &'a Url,
    pub(super) service: Option<&'a str>,
    pub(super) scopes: &'a Scopes,
}

impl TokenRequest<'_> {
    pub(super) async fn send(
        &self,
        http: &Engine,
        credential: Option<&Credential>,
        insecure: bool,
    ) -> Result<Response> {
        let (mut request, header, payload) = self.to_http(credential, insecure);
        request.registry = Some(authority(&self.endpoint.repository.host));
        http.send_following_redirects(&request, header.as_ref(), payload)
            .await
    }

    /// True if the service accepts the credentials when no scopes are requested. Then a refusal
    /// concerns the scopes: for repositories that cannot exist, OpenShift's service answers 401
    /// and Quay's 400.
    pub(super) async fn is_accepted(
        &self,
        http: &Engine,
        credential: Option<&Credential>,
        insecure: bool,
    ) -> bool {
        let scopes = Scopes::default();
        let bare = TokenRequest {
            scopes: &scopes,
            ..*self
        };
        let answer = bare.send(http, credential, insecure).await;
        answer.is_ok_and(|response| response.status().is_success())
    }

    /// Returns the request with its `Authorization` header and body.
    fn to_http(
        &self,
        credential: Option<&Credential>,
        insecure: bool,
    ) -> (Request, Option<HeaderValue>, Payload) {
        let mut url = self.realm.clone();
        if let Some(Credential::IdentityToken { token, .. }) = credential {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token")
                .append_pair("client_id", CLIENT_ID)
                .append_pair("service", self.service.unwrap_or(""))
                .append_pair("scope", &self.scopes.joined())
                .append_pair("refresh_token", token.expose());
            let mut request = Request::new(Method::POST, &url, insecure);
            let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers.insert(CONTENT_TYPE, form_type);
            return (request, None, Payload::Bytes(form.finish().into()));
        }
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = self.service {
                query.append_pair("service", service);
            }
            for scope in self.scopes.each() {
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
            Request::new(Method::GET, &url, insecure),
            header,
            Payload::Empty,
        )
    }
}

/// True if credentials for the registry at `base` may be sent to `realm`: to the registry's own
/// host (but not over plain HTTP when the registry uses TLS), or to an https realm that the
/// registry named over verified TLS. A realm named over an unverified connection may be an
/// attacker's.
pub(super) fn may_have_credentials(realm: &Url, base: &Url, insecure: bool) -> bool {
    let realm_is_tls = realm.scheme() == "https";
    let base_is_tls = base.scheme() == "https";
    let own_host = realm.host_str() == base.host_str();
    (own_host && (realm_is_tls || !base_is_tls)) || (realm_is_tls && base_is_tls && !insecure)
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
    fn an_odd_life_says_nothing() {
        for (life, expected) in [
            ("300", 300),
            ("300.0", 300),
            ("-1", 60),
            ("\"300\"", 60),
            ("null", 60),
            ("{}", 60),
        ] {
            let text = format!(r#"{{"token":"t","expires_in":{life},"issued_at":{life}}}"#);
            let answer: TokenAnswer = serde_json::from_str(&text).unwrap();
            assert_eq!(answer.life(Some(0)), expected, "{life}");
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
}
