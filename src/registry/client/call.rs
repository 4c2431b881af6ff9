//! One request to a registry: within the registry's limits, with the authorisation it asks for.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use url::Url;

use super::Client;
use crate::registry::auth::{self, Authorization, Purpose, RequestKind, Scopes};
use crate::registry::authority::{authority, authority_of};
use crate::registry::error::{CredentialSearch, Error, Result};
use crate::registry::http::{Connections, Payload, Request, Response, Throttle};
use crate::registry::places::Endpoint;
use crate::registry::redact::RedactedUrl;

/// A request to a registry.
#[derive(Debug)]
pub(in crate::registry) struct Call<'a> {
    endpoint: &'a Endpoint,
    scopes: &'a Scopes,
    method: Method,
    url: Url,
    headers: HeaderMap,
    payload: Payload,
    connections: Connections,
    /// Size in bytes of the blob that the request finishes; 0 if it finishes none.
    finishes: u64,
    /// Kind of request; requests of the same kind share a challenge.
    kind: RequestKind,
}

impl<'a> Call<'a> {
    pub(in crate::registry) fn new(
        endpoint: &'a Endpoint,
        scopes: &'a Scopes,
        method: Method,
        url: Url,
    ) -> Self {
        Self {
            endpoint,
            scopes,
            method,
            url,
            headers: HeaderMap::new(),
            payload: Payload::Empty,
            connections: Connections::default(),
            finishes: 0,
            kind: RequestKind::default(),
        }
    }

    /// Sets the kind of request, for requests whose challenge must not apply to all others.
    pub(in crate::registry) fn kind(mut self, kind: RequestKind) -> Self {
        self.kind = kind;
        self
    }

    pub(in crate::registry) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    pub(in crate::registry) fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    /// Declares that the request finishes a blob of so many bytes: the timeout for its answer
    /// grows with them.
    pub(in crate::registry) fn finishes(mut self, bytes: u64) -> Self {
        self.finishes = bytes;
        self
    }

    /// Declares how many bytes the body has, in either direction, which decides the connection to
    /// use.
    pub(in crate::registry) fn carries(mut self, bytes: u64) -> Self {
        self.connections = Connections::for_body(bytes);
        self
    }
}

impl Client {
    /// Sends a request with the authorisation that the registry asks for.
    ///
    /// Refusals other than a final 401 are returned as responses, not as errors.
    pub(in crate::registry) async fn call(&self, call: Call<'_>) -> Result<Response> {
        let host = &call.endpoint.repository.host;
        let answer = |throttle| self.answer(call, throttle);
        self.http().paced(host, answer).await
    }

    async fn answer(&self, call: Call<'_>, throttle: Throttle) -> Result<Response> {
        let base = self.base(call.endpoint).await?;
        let request = Request {
            authorization_origin: base.origin(),
            registry: Some(authority(&call.endpoint.repository.host)),
            insecure: self.is_insecure(call.endpoint),
            method: call.method,
            url: call.url,
            headers: call.headers,
            connections: call.connections,
            finishes: call.finishes,
            throttle: Some(throttle),
        };
        let mut payload = call.payload;
        let purpose = Purpose {
            endpoint: call.endpoint,
            scopes: call.scopes,
            kind: call.kind,
            base: &base,
            insecure: request.insecure,
        };
        let (mut challenged, mut restarted) = (false, false);
        loop {
            let authorization = self.auth().authorization(self.http(), purpose).await?;
            let again = payload.again();
            let header = authorization.as_ref().map(|auth| &auth.header);
            let response = self
                .http()
                .send_following_redirects(&request, header, payload)
                .await?;
            let refused_elsewhere =
                response.is_other_origin() && matches!(response.status().as_u16(), 401 | 403);
            if refused_elsewhere && request.url.origin() != request.authorization_origin {
                let host = call.endpoint.repository.host.to_string();
                return Err(upload_on_other_host(host, response).await);
            }
            if refused_elsewhere && !restarted {
                // A presigned URL may have expired: ask the registry again, which makes a new
                // one.
                restarted = true;
            } else if response.status() == StatusCode::UNAUTHORIZED && !response.is_other_origin() {
                let used = authorization.as_ref();
                let can_answer = self
                    .auth()
                    .challenged(purpose, response.headers(), used, self.http())
                    .await?;
                if challenged || !can_answer {
                    let host = &call.endpoint.repository.host;
                    let search = self.auth().credential_search(host);
                    return Err(unauthorized(response, used, search).await);
                }
                challenged = true;
            } else {
                return Ok(response);
            }
            let Some(next) = again else {
                return Err(Error::TokenExpired {
                    url: response.shown(),
                });
            };
            payload = next;
        }
    }
}

/// The error for a 401 from the registry itself that no credential can answer.
async fn unauthorized(
    response: Response,
    used: Option<&Authorization>,
    search: CredentialSearch,
) -> Error {
    let url = response.shown();
    let unknown = auth::unknown_challenge(response.headers());
    let mut answer = response.into_answer().await;
    if let Some(unknown) = unknown {
        let words = answer.message.take().map(|words| format!("{words}; "));
        answer.message = Some(format!(
            "{}it asks for a login by `{unknown}`, which airferry does not know",
            words.unwrap_or_default()
        ));
    }
    Error::Unauthorized {
        answer,
        url,
        credentials: used.is_some_and(|used| used.credentials),
        search: Some(Box::new(search)),
        token_service: false,
    }
}

/// The error for a request whose own URL (not a redirect) is on another host than the registry's,
/// and that was refused there.
async fn upload_on_other_host(host: String, response: Response) -> Error {
    let url = response.url();
    let location = RedactedUrl::of_authority(url.scheme(), &authority_of(url));
    Error::UploadOnOtherHost {
        host,
        location,
        answer: response.into_answer().await,
    }
}
