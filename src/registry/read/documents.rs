//! Small documents from ordinary web servers: signatures, update graphs.
//!
//! Uses the same TLS, proxies, timeouts and retries as for registries, but no credentials, no
//! mirrors and no fallback to plain HTTP, whatever the options for registries are: the scheme of
//! the URL is used.

use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderValue};
use url::Url;

use crate::registry::client::Client;
use crate::registry::error::{Error, Result};
use crate::registry::http::{Payload, Request, retry_after};
use crate::registry::redact::RedactedUrl;

/// A document to fetch.
#[derive(Debug, Clone, Copy)]
pub struct DocumentRequest<'a> {
    /// Its URL: `http` or `https`, including the query.
    pub url: &'a Url,
    /// The `Accept` header, if any: visible ASCII.
    pub accept: Option<&'static str>,
    /// Maximum length of the body in bytes.
    pub limit: u64,
    /// True if the caller can ask another server, so that fewer attempts are made here.
    pub has_alternative: bool,
}

impl Client {
    /// Fetches a document; `None` when the server says that there is none (404).
    ///
    /// A few redirects are followed, never from TLS to plain HTTP.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] for every answer but 2xx and 404; [`Error::TooLong`] if the body exceeds
    /// the limit, after which no more is read; connection errors.
    pub async fn document(&self, request: DocumentRequest<'_>) -> Result<Option<Vec<u8>>> {
        let shown = RedactedUrl::from(request.url);
        if !matches!(request.url.scheme(), "http" | "https") {
            return Err(Error::Protocol {
                url: shown,
                reason: "it is neither an http nor an https URL".to_owned(),
            });
        }
        let (what, last) = (shown.to_string(), !request.has_alternative);
        self.retry_at(what, last, || self.document_once(&request))
            .await
    }

    async fn document_once(&self, request: &DocumentRequest<'_>) -> Result<Option<Vec<u8>>> {
        let mut sending = Request::new(Method::GET, request.url, false);
        if let Some(accept) = request.accept {
            let accept = HeaderValue::from_static(accept);
            sending.headers.insert(ACCEPT, accept);
        }
        let response = self
            .http()
            .send_following_redirects(&sending, None, Payload::Empty)
            .await?;
        match response.status() {
            status if status.is_success() => response.read(request.limit).await.map(Some),
            status if status == 404 => Ok(None),
            status => Err(Error::Status {
                url: response.shown(),
                status: status.as_u16(),
                retry_after: retry_after(response.headers()),
            }),
        }
    }
}
