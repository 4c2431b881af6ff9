//! An answer: its head, and its body, read with limits on size and idle time.

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, LOCATION};
use url::Url;

use super::host_limit::Admission;
use super::length::length;
use super::retry::retry_after;
use crate::registry::error::{Answer, Error, Result};
use crate::registry::redact::{RedactedUrl, one_line};

/// Maximum bytes read of an error response.
const ERROR_BODY: u64 = 64 << 10;

/// True if an answer with this status lowers the registry's limit, whatever its body says.
pub(super) fn means_overload(status: u16) -> bool {
    matches!(status, 429 | 503)
}

/// The head of an answer; the body is still to be read.
#[derive(Debug)]
pub(in crate::registry) struct Response {
    pub(super) inner: reqwest::Response,
    pub(super) url: Url,
    /// True if a redirect or the requested URL itself led away from the registry's origin.
    pub(super) other_origin: bool,
    pub(super) idle: Duration,
    /// Keeps the request's place at the registry until the body has been read.
    pub(super) admission: Option<Admission>,
}

impl Response {
    pub(in crate::registry) fn status(&self) -> StatusCode {
        self.inner.status()
    }

    pub(in crate::registry) fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// True if a server of another origin than the registry's may have answered.
    pub(in crate::registry) fn is_other_origin(&self) -> bool {
        self.other_origin
    }

    /// Returns a header's text; `None` if it is absent or not visible ASCII.
    pub(in crate::registry) fn text(
        &self,
        name: impl reqwest::header::AsHeaderName,
    ) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// Returns `Content-Length` as it was sent; `None` also if it is not a number.
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

    /// Returns the `Content-Encoding` other than `identity`. Stores keep the header that came with
    /// an upload (`aws-chunked`, `gzip` for a layer) and send the bytes as they are, so it alone is
    /// no reason to refuse them: their digest decides.
    pub(in crate::registry) fn encoding(&self) -> Option<String> {
        let encoding = self.text(CONTENT_ENCODING)?.trim();
        let is_named = !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity");
        is_named.then(|| one_line(encoding, 40))
    }

    /// Returns the `Location` header, resolved against the request's URL.
    pub(in crate::registry) fn location(&self) -> Result<Url> {
        let location = self
            .text(LOCATION)
            .ok_or_else(|| self.unexpected("it has no Location header"))?;
        self.url
            .join(location)
            .map_err(|_| self.unexpected("its Location header is not a URL"))
    }

    /// Returns the next bytes of the body, or `None` at its end.
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
                if let (Some(chunk), Some(admission)) = (&chunk, &self.admission) {
                    admission.throttle().moves(length(chunk)).await;
                }
                Ok(chunk)
            }
        }
    }

    /// Returns the whole body, or an error as soon as it is longer than `limit` bytes.
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

    /// Converts an error response into an error.
    pub(in crate::registry) async fn into_error(self) -> Error {
        let url = self.shown();
        let pause = retry_after(self.headers());
        let answer = self.into_answer().await;
        Error::refused(url, answer, pause)
    }

    /// Reads the registry's answer from an error response. A body that breaks off is used as far
    /// as it arrived.
    pub(in crate::registry) async fn into_answer(mut self) -> Box<Answer> {
        let status = self.status().as_u16();
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = self.chunk().await {
            body.extend_from_slice(&chunk);
            if length(&body) > ERROR_BODY {
                break;
            }
        }
        let answer = Answer::new(status, &body);
        if answer.is_too_many()
            && !means_overload(status)
            && let Some(admission) = &self.admission
        {
            admission.refused();
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::model::Host;
    use crate::registry::http::host_limit::HostLimits;

    /// Some registries and proxies put the code into an answer with another status.
    #[tokio::test]
    async fn too_many_requests_lower_the_limit_whatever_the_status() {
        let host: Host = "r.lan".parse().unwrap();
        for (status, code, expected) in [
            (403, "TOOMANYREQUESTS", 4),
            (403, "DENIED", 8),
            (500, "TOOMANYREQUESTS", 4),
        ] {
            let limits = HostLimits::new(NonZeroUsize::new(8), None);
            let body = format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#);
            let answer = http::Response::builder().status(status).body(body).unwrap();
            let response = Response {
                inner: answer.into(),
                url: "https://r.lan/v2/".parse().unwrap(),
                other_origin: false,
                idle: Duration::from_secs(60),
                admission: Some(limits.enter(&host).await),
            };
            let error = response.into_error().await;
            assert_eq!(error.is_too_many(), expected == 4, "{status} {code}");
            assert_eq!(limits.limit(&host), expected, "{status} {code}");
        }
    }
}
