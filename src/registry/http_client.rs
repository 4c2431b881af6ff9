//! The HTTP library's clients: one for all hosts, and one for each host that has certificates
//! of its own, each of them once more for bodies that are large. Connections are kept and
//! shared within each.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Certificate, Identity};
use url::Url;
use zeroize::Zeroizing;

use super::error::{Error, Result};
use super::options::{ClientOptions, HostCertificates};
use super::redact::RedactedUrl;

/// Bytes that a server may send ahead on one HTTP/2 stream, so that one blob fills a fast
/// line; the connection's window is four times that.
const STREAM_WINDOW: u32 = 2 << 20;

/// Bytes of a body from which on it gets a connection to itself: less than a tenth of a second
/// on a slow line is not worth one.
const LARGE: u64 = 64 << 10;

/// Which connections a request may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum Connections {
    /// Those that are there for everybody: one, where the server speaks HTTP/2.
    #[default]
    Shared,
    /// One that nobody else uses at the time. HTTP/2 would put all bodies onto one connection,
    /// and where packets get lost all of them together would have the throughput of one TCP
    /// stream.
    Own,
}

impl Connections {
    /// The connections for a body of so many bytes.
    pub(super) fn for_body(bytes: u64) -> Self {
        if bytes < LARGE {
            Self::Shared
        } else {
            Self::Own
        }
    }
}

/// What clients differ in.
type Key = (Option<String>, bool, Connections);

pub(super) struct HttpClients {
    /// Decides as the library does, which does not tell whom it asked.
    proxies: Matcher,
    /// By the host whose certificates are used, if any, whether TLS is not verified, and whose the
    /// connections are.
    clients: Mutex<HashMap<Key, reqwest::Client>>,
}

impl Default for HttpClients {
    fn default() -> Self {
        Self {
            proxies: Matcher::from_system(),
            clients: Mutex::default(),
        }
    }
}

impl fmt::Debug for HttpClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClients")
    }
}

impl HttpClients {
    /// The proxy through which requests for a URL go, without its credentials.
    pub(super) fn proxy(&self, url: &Url) -> Option<RedactedUrl> {
        let target: http::Uri = url.as_str().parse().ok()?;
        let proxy = self.proxies.intercept(&target)?;
        let proxy: Url = proxy.uri().to_string().parse().ok()?;
        Some((&proxy).into())
    }

    /// The client for `authority` (`host[:port]`).
    pub(super) fn client(
        &self,
        options: &ClientOptions,
        authority: &str,
        insecure: bool,
        connections: Connections,
    ) -> Result<reqwest::Client> {
        let own = options.certificates.hosts.get_key_value(authority);
        let key = (own.map(|(host, _)| host.clone()), insecure, connections);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let certificates = own.map(|(_, certificates)| certificates);
        let client = build(options, certificates, insecure, connections);
        let client = client.map_err(|source| Error::Certificates {
            host: authority.to_owned(),
            source,
        })?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

fn build(
    options: &ClientOptions,
    own: Option<&HostCertificates>,
    insecure: bool,
    connections: Connections,
) -> reqwest::Result<reqwest::Client> {
    // The library takes its cryptography from this process-wide place and panics when it is
    // empty. Whoever was first has filled it, so the result does not matter.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(&options.user_agent)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(options.timeouts.connect)
        .pool_idle_timeout(options.timeouts.idle)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(STREAM_WINDOW.saturating_mul(4))
        .tls_danger_accept_invalid_certs(insecure);
    if connections == Connections::Own {
        builder = builder.http1_only();
    }
    let own_roots = own.into_iter().flat_map(|own| &own.roots);
    for pem in options.certificates.roots.iter().chain(own_roots) {
        builder = builder.tls_certs_merge(Certificate::from_pem_bundle(pem)?);
    }
    let client = own.and_then(|own| own.client.as_ref());
    if let Some((certificate, key)) = client.or(options.certificates.client.as_ref()) {
        let mut pem = Zeroizing::new(certificate.clone());
        pem.push(b'\n');
        pem.extend_from_slice(key);
        builder = builder.identity(Identity::from_pem(&pem)?);
    }
    builder.build()
}
