//! One request: sent, redirected, watched for signs of life.
//!
//! An `Authorization` header is sent to the origin (scheme, host, port) of the registry alone. A
//! redirect or an upload Location that leads elsewhere is followed without it, and what lies behind
//! it gets none even when it leads back.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue};
use reqwest::{Method, StatusCode};
use url::Url;

use super::clients::{HttpClients, Peer};
use super::failure::classify;
use super::gate::{Flow, Gates};
use super::length::length;
use super::outage::Outages;
use super::request::{Payload, Sending};
use super::response::Response;
use super::retry::Budget;
use super::settings::Settings;
use super::upload_body::Activity;
use crate::model::Host;
use crate::registry::authority::authority_of;
use crate::registry::error::{Error, Result};

/// Redirects that one request may follow.
const MOST_REDIRECTS: usize = 5;

/// What all requests of a process share: connections, limits, and the hosts that are down.
pub(in crate::registry) struct Engine {
    settings: Settings,
    clients: HttpClients,
    gates: Gates,
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
    /// Makes an engine. Nothing is contacted and no certificate is read before the first use.
    pub(in crate::registry) fn new(settings: Settings) -> Self {
        Self {
            gates: Gates::new(settings.jobs, settings.limit_rate),
            clients: HttpClients::default(),
            outages: Arc::default(),
            settings,
        }
    }

    pub(in crate::registry) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The attempts for one object.
    pub(in crate::registry) fn budget(&self, what: impl Into<String>) -> Budget {
        let progress = Arc::clone(&self.settings.progress);
        let outages = Arc::clone(&self.outages);
        Budget::new(self.settings.retry, progress, outages, what.into())
    }

    /// Waits until a registry may get one more request, and sends it. What the answer says of the
    /// registry's load counts for the requests after it. The next request may be sent when the
    /// answer's body was read.
    pub(in crate::registry) async fn paced<Fut>(
        &self,
        host: &Host,
        send: impl FnOnce(Flow) -> Fut,
    ) -> Result<Response>
    where
        Fut: Future<Output = Result<Response>>,
    {
        let pass = self.gates.enter(host).await;
        let mut answered = send(pass.flow().clone()).await;
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
                idle: self.settings.timeouts.idle,
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
        let client = self
            .clients
            .client(&self.settings, peer, sending.connections)?;
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
        let timeouts = self.settings.timeouts;
        let commit = timeouts.for_commit(sending.finishes);
        let answer = watched(request.send(), activity, timeouts.idle, commit).await;
        let answer = answer.map_err(|after| Error::TimedOut {
            url: url.into(),
            after,
        })?;
        if answer.is_ok() {
            self.outages.answered(&authority_of(url));
        }
        answer.map_err(|error| classify(error, url, self.clients.proxy(url)))
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
