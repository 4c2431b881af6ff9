//! Sends one request: follows redirects and enforces timeouts.
//!
//! An `Authorization` header is sent only to the origin (scheme, host, port) of the registry. A
//! redirect or an upload Location to another origin is followed without it, and so is every
//! redirect after that, even one that leads back to the registry.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue};
use reqwest::{Method, StatusCode};
use url::Url;

use super::clients::{HttpClients, Peer};
use super::failure::classify;
use super::host_limit::{HostLimits, Throttle};
use super::length::length;
use super::outage::Outages;
use super::request::{Payload, Request};
use super::response::{Response, means_overload};
use super::retry::Budget;
use super::settings::Settings;
use super::upload_body::Activity;
use crate::model::Host;
use crate::registry::authority::authority_of;
use crate::registry::error::{Error, Result};

/// Redirects that one request may follow.
const MOST_REDIRECTS: usize = 5;

/// State shared by all requests of a process: connections, limits, and the hosts that are down.
pub(in crate::registry) struct Engine {
    settings: Settings,
    clients: HttpClients,
    limits: HostLimits,
    outages: Arc<Outages>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes an engine. No host is contacted and no certificate is parsed before the first use.
    pub(in crate::registry) fn new(settings: Settings) -> Self {
        Self {
            limits: HostLimits::new(settings.jobs, settings.limit_rate),
            clients: HttpClients::default(),
            outages: Arc::default(),
            settings,
        }
    }

    pub(in crate::registry) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the retry budget for one object.
    pub(in crate::registry) fn budget(&self, what: impl Into<String>) -> Budget {
        let progress = Arc::clone(&self.settings.progress);
        let outages = Arc::clone(&self.outages);
        Budget::new(self.settings.retry, progress, outages, what.into())
    }

    /// Waits until one more request may run at the registry, and sends it. Statuses 429 and 503
    /// and timeouts lower the limit for later requests, and so does the code TOOMANYREQUESTS, when
    /// the answer is read. The request occupies its place until the
    /// body of its answer has been read.
    pub(in crate::registry) async fn paced<Fut>(
        &self,
        host: &Host,
        send: impl FnOnce(Throttle) -> Fut,
    ) -> Result<Response>
    where
        Fut: Future<Output = Result<Response>>,
    {
        let admission = self.limits.enter(host).await;
        let mut answered = send(admission.throttle().clone()).await;
        match &mut answered {
            Ok(response) => {
                if means_overload(response.status().as_u16()) {
                    admission.refused();
                }
                response.admission = Some(admission);
            }
            Err(Error::TimedOut { .. }) => admission.refused(),
            Err(_) => {}
        }
        answered
    }

    /// Sends a request and follows redirects. `authorization` is sent only to the request's
    /// `authorization_origin`.
    pub(in crate::registry) async fn send_following_redirects(
        &self,
        request: &Request,
        authorization: Option<&HeaderValue>,
        mut payload: Payload,
    ) -> Result<Response> {
        let mut url = request.url.clone();
        let mut other_origin = url.origin() != request.authorization_origin;
        for _ in 0..=MOST_REDIRECTS {
            let again = payload.again();
            let own = authorization.filter(|_| !other_origin);
            let inner = self.send(request, &url, own, payload).await?;
            let response = Response {
                inner,
                url: url.clone(),
                other_origin,
                idle: self.settings.timeouts.idle,
                admission: None,
            };
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            let next = response.location()?;
            let leaves = next.origin() != request.authorization_origin;
            let reading = matches!(request.method, Method::GET | Method::HEAD);
            let keeps_method = matches!(response.status().as_u16(), 307 | 308);
            if !matches!(next.scheme(), "http" | "https") {
                return Err(
                    response.unexpected("it redirects to a URL that is neither http nor https")
                );
            }
            if next.scheme() == "http" && url.scheme() == "https" && !request.insecure {
                return Err(response.unexpected("it redirects from TLS to plain HTTP"));
            }
            payload = match again {
                Some(again) if reading || (keeps_method && !leaves) => again,
                _ => {
                    return Err(
                        response.unexpected("it redirects a write request, which is not followed")
                    );
                }
            };
            other_origin |= leaves;
            url = next;
        }
        Err(Error::Protocol {
            url: (&url).into(),
            reason: format!("it ends a chain of more than {MOST_REDIRECTS} redirects"),
        })
    }

    /// Sends one HTTP request and waits for the head of the answer.
    async fn send(
        &self,
        request: &Request,
        url: &Url,
        authorization: Option<&HeaderValue>,
        payload: Payload,
    ) -> Result<reqwest::Response> {
        let own = authority_of(url);
        let peer = Peer {
            authority: &own,
            registry: request.registry.as_deref().unwrap_or(&own),
            other_origin: url.origin() != request.authorization_origin,
            insecure: request.insecure,
        };
        let client = self
            .clients
            .client(&self.settings, peer, request.connections)?;
        let mut builder = client
            .request(request.method.clone(), url.clone())
            .headers(request.headers.clone());
        if let Some(authorization) = authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        let mut activity = None;
        builder = match payload {
            // GET and HEAD have no body; other methods send a length even without one, because
            // proxies ask for it.
            Payload::Empty if matches!(request.method, Method::GET | Method::HEAD) => builder,
            Payload::Empty => builder.header(CONTENT_LENGTH, 0),
            Payload::Bytes(bytes) => {
                if let Some(throttle) = &request.throttle {
                    throttle.moves(length(&bytes)).await;
                }
                builder.body(bytes)
            }
            Payload::Piece(piece) => {
                activity = Some(piece.activity());
                builder
                    .header(CONTENT_LENGTH, piece.length())
                    .body(piece.into_body(request.throttle.clone()))
            }
        };
        let timeouts = self.settings.timeouts;
        let commit = timeouts.for_commit(request.finishes);
        let answer = with_idle_timeout(builder.send(), activity, timeouts.idle, commit).await;
        let answer = answer.map_err(|after| Error::TimedOut {
            url: url.into(),
            after,
        })?;
        if answer.is_ok() {
            self.outages.answered(&authority_of(url));
        }
        let proxy = || self.settings.proxies.proxy(url).map(Into::into);
        let answer = answer.map_err(|error| classify(error, url, proxy()))?;
        match (answer.status(), proxy()) {
            (StatusCode::PROXY_AUTHENTICATION_REQUIRED, Some(proxy)) => Err(Error::ProxyLogin {
                url: url.into(),
                proxy,
            }),
            _ => Ok(answer),
        }
    }
}

/// Waits for an answer while the body makes progress. The time without progress is limited to
/// `idle` while the body is sent and to `commit` after that.
///
/// # Errors
///
/// The limit that was exceeded.
async fn with_idle_timeout<T>(
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
