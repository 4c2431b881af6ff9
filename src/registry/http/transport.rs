//! One request: authenticated, redirected, watched for signs of life. Retrying is above.
//!
//! Credentials are sent to the origin (scheme, host, port) of the registry alone. A redirect
//! or an upload Location that leads elsewhere is followed without them, and what lies behind
//! it gets none even when it leads back.

use std::error::Error as StdError;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use rustls::CertificateError;
use url::{Origin, Url};

use super::clients::{Connections, Peer};
use super::gate::Flow;
use super::length::length;
use super::response::Response;
use super::upload_body::{Activity, PieceBody};
use crate::registry::auth::{Matter, Purpose, Scopes};
use crate::registry::authority::{authority, authority_of};
use crate::registry::client::Client;
use crate::registry::error::{Error, Result};
use crate::registry::places::Endpoint;
use crate::registry::redact::RedactedUrl;
use crate::registry::tls::TlsProblem;

/// Redirects that one request may follow.
const MOST_REDIRECTS: usize = 5;

/// What a request carries.
#[derive(Debug)]
pub(in crate::registry) enum Payload {
    Empty,
    Bytes(Bytes),
    /// Can be sent once.
    Piece(PieceBody),
}

impl Payload {
    /// The same payload again, where that is possible.
    fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.clone())),
            Self::Piece(_) => None,
        }
    }
}

/// A request to a registry.
#[derive(Debug)]
pub(in crate::registry) struct Call<'a> {
    pub(in crate::registry) endpoint: &'a Endpoint,
    pub(in crate::registry) scopes: &'a Scopes,
    pub(in crate::registry) method: Method,
    pub(in crate::registry) url: Url,
    pub(in crate::registry) headers: HeaderMap,
    pub(in crate::registry) payload: Payload,
    pub(in crate::registry) connections: Connections,
    /// Bytes of the blob that the request finishes.
    pub(in crate::registry) finishes: u64,
    /// Which other requests share its way to log in.
    pub(in crate::registry) matter: Matter,
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
            matter: Matter::default(),
        }
    }

    /// Says what the request is about, where a challenge to it is not meant for all others.
    pub(in crate::registry) fn about(mut self, matter: Matter) -> Self {
        self.matter = matter;
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

    /// Says that the request finishes a blob of so many bytes, which may take its time.
    pub(in crate::registry) fn finishes(mut self, bytes: u64) -> Self {
        self.finishes = bytes;
        self
    }

    /// Says how many bytes go one way or the other, so that they get the right connection.
    pub(in crate::registry) fn carries(mut self, bytes: u64) -> Self {
        self.connections = Connections::for_body(bytes);
        self
    }
}

/// A request as `follow` needs it, with the origin to which credentials may go.
#[derive(Debug)]
pub(in crate::registry) struct Sending {
    pub(in crate::registry) method: Method,
    pub(in crate::registry) url: Url,
    pub(in crate::registry) headers: HeaderMap,
    pub(in crate::registry) home: Origin,
    /// The registry for which it is sent, `host[:port]`, where that is another host than the
    /// URL's.
    pub(in crate::registry) registry: Option<String>,
    pub(in crate::registry) insecure: bool,
    pub(in crate::registry) connections: Connections,
    /// Bytes of the blob that it finishes.
    pub(in crate::registry) finishes: u64,
    /// What counts the bytes of its body.
    pub(in crate::registry) flow: Option<Flow>,
}

impl Sending {
    pub(in crate::registry) fn new(method: Method, url: &Url, insecure: bool) -> Self {
        Self {
            method,
            url: url.clone(),
            headers: HeaderMap::new(),
            home: url.origin(),
            registry: None,
            insecure,
            connections: Connections::default(),
            finishes: 0,
            flow: None,
        }
    }
}

impl Client {
    /// Sends a request with whatever authorisation the registry asks for.
    ///
    /// Refusals other than a final 401 are returned as responses.
    pub(in crate::registry) async fn call(&self, call: Call<'_>) -> Result<Response> {
        let pass = self.gates().enter(&call.endpoint.repository.host).await;
        let mut answered = self.answer(call, pass.flow().clone()).await;
        match &mut answered {
            Ok(response) => {
                if matches!(response.status().as_u16(), 429 | 503) {
                    pass.refused();
                }
                response.pass = Some(pass);
            }
            Err(Error::TimedOut { .. }) => pass.refused(),
            Err(_) => {}
        }
        answered
    }

    async fn answer(&self, call: Call<'_>, flow: Flow) -> Result<Response> {
        let sending = Sending {
            home: self.base(call.endpoint).await?.origin(),
            registry: Some(authority(&call.endpoint.repository.host)),
            insecure: self.is_insecure(call.endpoint),
            method: call.method,
            url: call.url,
            headers: call.headers,
            connections: call.connections,
            finishes: call.finishes,
            flow: Some(flow),
        };
        let mut payload = call.payload;
        let purpose = Purpose {
            endpoint: call.endpoint,
            scopes: call.scopes,
            matter: call.matter,
        };
        let (mut challenged, mut restarted) = (false, false);
        loop {
            let authorization = self.auth().authorization(self, purpose).await?;
            let again = payload.again();
            let header = authorization.as_ref().map(|auth| &auth.header);
            let response = self.follow(&sending, header, payload).await?;
            let refused_away = response.away && matches!(response.status().as_u16(), 401 | 403);
            if refused_away && sending.url.origin() != sending.home {
                let host = call.endpoint.repository.host.to_string();
                return Err(response.into_sent_elsewhere(host).await);
            }
            if refused_away && !restarted {
                // A presigned URL that has expired: the registry makes a new one.
                restarted = true;
            } else if response.status() == StatusCode::UNAUTHORIZED && !response.away {
                let used = authorization.as_ref();
                let can_answer = self
                    .auth()
                    .challenged(self, purpose, response.headers(), used)
                    .await?;
                if challenged || !can_answer {
                    let host = &call.endpoint.repository.host;
                    let sought = self.auth().sought(host);
                    return Err(response.into_unauthorized(used, sought).await);
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

    /// Sends a request and follows redirects; `authorization` goes to `sending.home` only.
    pub(in crate::registry) async fn follow(
        &self,
        sending: &Sending,
        authorization: Option<&HeaderValue>,
        mut payload: Payload,
    ) -> Result<Response> {
        let mut url = sending.url.clone();
        let mut away = url.origin() != sending.home;
        for _ in 0..=MOST_REDIRECTS {
            let again = payload.again();
            let own = authorization.filter(|_| !away);
            let inner = self.send(sending, &url, own, payload).await?;
            let response = Response {
                inner,
                url: url.clone(),
                away,
                idle: self.options().timeouts.idle,
                pass: None,
            };
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            let next = response.location()?;
            let leaves = next.origin() != sending.home;
            let reading = matches!(sending.method, Method::GET | Method::HEAD);
            let keeps_method = matches!(response.status().as_u16(), 307 | 308);
            if !matches!(next.scheme(), "http" | "https") {
                return Err(response.unexpected("it redirects to something else than HTTP"));
            }
            if next.scheme() == "http" && url.scheme() == "https" && !sending.insecure {
                return Err(response.unexpected("it redirects from TLS to plain HTTP"));
            }
            payload = match again {
                Some(again) if reading || (keeps_method && !leaves) => again,
                _ => return Err(response.unexpected("it redirects a request that changes it")),
            };
            away |= leaves;
            url = next;
        }
        Err(Error::Protocol {
            url: (&url).into(),
            reason: format!("more than {MOST_REDIRECTS} redirects lead there"),
        })
    }

    /// Sends one HTTP request and waits for the head of the answer.
    async fn send(
        &self,
        sending: &Sending,
        url: &Url,
        authorization: Option<&HeaderValue>,
        payload: Payload,
    ) -> Result<reqwest::Response> {
        let own = authority_of(url);
        let peer = Peer {
            authority: &own,
            registry: sending.registry.as_deref().unwrap_or(&own),
            away: url.origin() != sending.home,
            insecure: sending.insecure,
        };
        let client = self.http(peer, sending.connections)?;
        let mut request = client
            .request(sending.method.clone(), url.clone())
            .headers(sending.headers.clone());
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let mut activity = None;
        request = match payload {
            // Proxies want a length on requests that could have a body.
            Payload::Empty if matches!(sending.method, Method::GET | Method::HEAD) => request,
            Payload::Empty => request.header(CONTENT_LENGTH, 0),
            Payload::Bytes(bytes) => {
                if let Some(flow) = &sending.flow {
                    flow.moves(length(&bytes)).await;
                }
                request.body(bytes)
            }
            Payload::Piece(piece) => {
                activity = Some(piece.activity());
                request
                    .header(CONTENT_LENGTH, piece.length())
                    .body(piece.into_body(sending.flow.clone()))
            }
        };
        let timeouts = self.options().timeouts;
        let commit = timeouts.for_commit(sending.finishes);
        let answer = watched(request.send(), activity, timeouts.idle, commit).await;
        let answer = answer.map_err(|after| Error::TimedOut {
            url: url.into(),
            after,
        })?;
        if answer.is_ok() {
            self.outages().answered(&authority_of(url));
        }
        answer.map_err(|error| classify(error, url, self.proxy(url)))
    }
}

/// Waits for an answer as long as there are signs of life: for `idle` while a body is sent, for
/// `commit` after that. Else says how long there were none.
async fn watched<T>(
    answer: impl Future<Output = T>,
    activity: Option<Arc<Activity>>,
    idle: Duration,
    commit: Duration,
) -> std::result::Result<T, Duration> {
    let mut answer = pin!(answer);
    let mut seen = None;
    loop {
        let sending = activity.as_ref().is_some_and(|a| !a.is_finished());
        let patience = if sending { idle } else { commit };
        if let Ok(answer) = tokio::time::timeout(patience, &mut answer).await {
            return Ok(answer);
        }
        let now = activity.as_ref().map(|a| (a.bytes(), a.is_finished()));
        if now == seen || now.is_none() {
            return Err(patience);
        }
        seen = now;
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Finds out what a failure of the HTTP library means. Its text may hold the URL, so that is
/// taken out. `proxy` is the one through which the request went.
fn classify(error: reqwest::Error, url: &Url, proxy: Option<RedactedUrl>) -> Error {
    let connecting = error.is_connect();
    let source = error.without_url();
    let host = authority_of(url);
    match (tls_failure(&source), proxy.filter(|_| connecting)) {
        (Some(rustls::Error::InvalidMessage(_)), _) => Error::NoTls { host, source },
        (Some(rustls::Error::AlertReceived(_)), _) => Error::TlsRefused { host, source },
        (Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))), _) => {
            let problem = other.0.downcast_ref::<TlsProblem>().cloned();
            match problem {
                Some(problem) => Error::Tls {
                    host,
                    source: problem.into(),
                },
                None => Error::Tls {
                    host,
                    source: source.into(),
                },
            }
        }
        (Some(_), _) => Error::Tls {
            host,
            source: source.into(),
        },
        (None, _) if is_tls_alert(&source) => Error::TlsRefused { host, source },
        (None, Some(proxy)) => Error::Proxy {
            url: url.into(),
            proxy,
            source,
        },
        (None, None) => Error::Connect {
            url: url.into(),
            source,
        },
    }
}

/// Whether the server broke off TLS. It may do so after its own side is set up, when it has
/// seen what the client shows or does not show; the HTTP library keeps the words alone then.
fn is_tls_alert(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::InvalidData)
            && error.to_string().starts_with("received fatal alert")
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// The TLS library's error among the causes; it hides inside `io::Error`s.
fn tls_failure<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(inner) = inner
            && let Some(found) = tls_failure(inner)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}
