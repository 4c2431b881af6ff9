//! Classifies failures of the HTTP library.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;
use url::Url;

use crate::registry::authority::authority_of;
use crate::registry::error::Error;
use crate::registry::redact::RedactedUrl;
use crate::registry::tls::TlsProblem;

/// Converts a failure of the HTTP library into an [`Error`]. Its text may contain the URL with
/// secrets, so the URL is removed. `proxy`: the proxy that the request used.
pub(super) fn classify(error: reqwest::Error, url: &Url, proxy: Option<RedactedUrl>) -> Error {
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

/// True if the server ended TLS with an alert. A server may do so after the handshake is complete
/// on the client's side, once it has seen the client's certificate or that there is none; then
/// the HTTP library preserves only the message.
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

/// Returns the TLS library's error among the causes; it is wrapped inside `io::Error`s.
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
