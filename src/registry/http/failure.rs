//! What a failure of the HTTP library means.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;
use url::Url;

use crate::registry::authority::authority_of;
use crate::registry::error::Error;
use crate::registry::redact::RedactedUrl;
use crate::registry::tls::TlsProblem;

/// Finds out what a failure of the HTTP library means. Its text may hold the URL, so that is
/// taken out. `proxy` is the one through which the request went.
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
