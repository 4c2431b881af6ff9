//! An answer: its head, and its body read with caps and with patience.

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, LOCATION};
use url::Url;

use super::gate::Pass;
use super::length::length;
use super::retry::retry_after;
use crate::registry::error::{Answer, Error, Result};
use crate::registry::redact::RedactedUrl;

/// Bytes of an error response that are read.
const ERROR_BODY: u64 = 64 << 10;

/// The head of an answer, with its body still to be read.
#[derive(Debug)]
pub(in crate::registry) struct Response {
    pub(super) inner: reqwest::Response,
    pub(super) url: Url,
    /// Whether a redirect or the address itself led away from the registry's origin.
    pub(super) away: bool,
    pub(super) idle: Duration,
    /// Keeps the request's place at the registry until the body is read.
    pub(super) pass: Option<Pass>,
}

impl Response {
    pub(in crate::registry) fn status(&self) -> StatusCode {
        self.inner.status()
    }

    pub(in crate::registry) fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// Whether a server of another origin than the registry's may have answered.
    pub(in crate::registry) fn is_away(&self) -> bool {
        self.away
    }

    /// A header's text; `None` when it is absent or no text.
    pub(in crate::registry) fn text(
        &self,
        name: impl reqwest::header::AsHeaderName,
    ) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// `Content-Length` as written; `None` also when it is no number.
    pub(in crate::registry) fn content_length(&self) -> Option<u64> {
        self.text(CONTENT_LENGTH)?.trim().parse().ok()
    }

    pub(in crate::registry) fn url(&self) -> &Url {
        &self.url
    }

    pub(in crate::registry) fn shown(&self) -> RedactedUrl {
        (&self.url).into()
    }

    pub(in crate::registry) fn unexpected(&self, reason: impl Into<String>) -> Error {
        Error::Protocol {
            url: self.shown(),
            reason: reason.into(),
        }
    }

    /// Refuses bytes that are not those which the digest is about.
    pub(in crate::registry) fn refuse_encoding(&self) -> Result<()> {
        let encoding = self.text(CONTENT_ENCODING).unwrap_or("identity");
        if self.status().is_success() && !encoding.eq_ignore_ascii_case("identity") {
            return Err(self.unexpected("it is encoded although that was not asked for"));
        }
        Ok(())
    }

    /// The `Location` header, resolved.
    pub(in crate::registry) fn location(&self) -> Result<Url> {
        let location = self
            .text(LOCATION)
            .ok_or_else(|| self.unexpected("it has no Location"))?;
        self.url
            .join(location)
            .map_err(|_| self.unexpected("its Location is no URL"))
    }

    /// The next bytes of the body, or `None` at its end.
    pub(in crate::registry) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        match tokio::time::timeout(self.idle, self.inner.chunk()).await {
            Err(_) => Err(Error::TimedOut {
                url: self.shown(),
                after: self.idle,
            }),
            Ok(Err(error)) => Err(Error::Interrupted {
                url: self.shown(),
                source: error.without_url(),
            }),
            Ok(Ok(chunk)) => {
                if let (Some(chunk), Some(pass)) = (&chunk, &self.pass) {
                    pass.flow().moves(length(chunk)).await;
                }
                Ok(chunk)
            }
        }
    }

    /// The whole body, refused as soon as it is longer than `limit`.
    pub(in crate::registry) async fn read(mut self, limit: u64) -> Result<Vec<u8>> {
        let too_long = |response: &Self| Error::TooLong {
            url: response.shown(),
            limit,
        };
        if self.content_length().is_some_and(|length| length > limit) {
            return Err(too_long(&self));
        }
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if length(&body).saturating_add(length(&chunk)) > limit {
                return Err(too_long(&self));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The error that this response is.
    pub(in crate::registry) async fn into_error(self) -> Error {
        let url = self.shown();
        let pause = retry_after(self.headers());
        let answer = self.into_answer().await;
        Error::refused(url, answer, pause)
    }

    /// What an error response says. That its body cannot be read whole does not matter.
    pub(in crate::registry) async fn into_answer(mut self) -> Box<Answer> {
        let status = self.status().as_u16();
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = self.chunk().await {
            body.extend_from_slice(&chunk);
            if length(&body) > ERROR_BODY {
                break;
            }
        }
        Answer::new(status, &body)
    }
}
