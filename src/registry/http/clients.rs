//! The HTTP library's clients: one for all hosts, and one for each host that has certificates
//! of its own, each of them once more for bodies that are large. Connections are kept and
//! shared within each.

use std::collections::{HashMap, HashSet};
use std::error::Error as StdError;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Identity;
use url::Url;
use zeroize::Zeroizing;

use super::settings::{HostCertificates, Settings};
use crate::model::Host;
use crate::progress::Event;
use crate::registry::authority::DOCKER_HUB_API;
use crate::registry::error::{Error, Result};
use crate::registry::redact::RedactedUrl;
use crate::registry::tls;
use crate::registry::tls::ClientPair;

/// Bytes that a server may send ahead on one HTTP/2 stream, so that one blob fills a fast
/// line; the connection's window is four times that.
const STREAM_WINDOW: u32 = 2 << 20;

/// Bytes of a body from which on it gets a connection to itself: less than a tenth of a second
/// on a slow line is not worth one.
const LARGE: u64 = 64 << 10;

/// Which connections a request may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(in crate::registry) enum Connections {
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
    pub(in crate::registry) fn for_body(bytes: u64) -> Self {
        if bytes < LARGE {
            Self::Shared
        } else {
            Self::Own
        }
    }
}

/// Whom a client speaks to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer<'a> {
    /// `host[:port]`.
    pub(in crate::registry) authority: &'a str,
    /// The registry for which it is asked: itself, or the one that named it as its token service
    /// or redirected to it.
    pub(in crate::registry) registry: &'a str,
    /// Whether the registry redirected to it.
    pub(in crate::registry) away: bool,
    /// Whether nobody checks who it is.
    pub(in crate::registry) insecure: bool,
}

/// What clients differ in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    /// Whose directory of certificates is used, if any.
    directory: Option<String>,
    /// Whether certificates of ours that are in it may be shown.
    shows: bool,
    insecure: bool,
    connections: Connections,
}

pub(super) struct HttpClients {
    /// Decides as the library does, which does not tell whom it asked.
    proxies: Matcher,
    clients: Mutex<HashMap<Key, reqwest::Client>>,
    /// Directories of which the person was told what cannot be used in them.
    told: Mutex<HashSet<String>>,
}

impl Default for HttpClients {
    fn default() -> Self {
        Self {
            proxies: Matcher::from_system(),
            clients: Mutex::default(),
            told: Mutex::default(),
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
    pub(in crate::registry) fn proxy(&self, url: &Url) -> Option<RedactedUrl> {
        let target: http::Uri = url.as_str().parse().ok()?;
        let proxy = self.proxies.intercept(&target)?;
        let proxy: Url = proxy.uri().to_string().parse().ok()?;
        Some((&proxy).into())
    }

    /// The client for a host.
    ///
    /// Its own directory of certificates counts; where it has none, that of the registry for which
    /// it is asked, as in skopeo. Where a registry redirects to, that says only whom to trust: the
    /// person's own certificates are not shown there.
    pub(in crate::registry) fn client(
        &self,
        settings: &Settings,
        peer: Peer<'_>,
        connections: Connections,
    ) -> Result<reqwest::Client> {
        let own = directory(settings, peer.authority);
        let shows = own.is_some() || !peer.away;
        let found = own.or_else(|| directory(settings, peer.registry));
        let key = Key {
            directory: found.map(|(name, _)| name.to_owned()),
            shows,
            insecure: peer.insecure,
            connections,
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        if let Some((name, certificates)) = found {
            self.tell(settings, name, certificates);
        }
        let unusable = |source| Error::Certificates {
            host: peer.authority.to_owned(),
            source,
        };
        let certificates = found.map(|(_, certificates)| certificates);
        let tls = Tls {
            authorities: certificates.map_or(&[], |own| own.roots.as_slice()),
            clients: match certificates {
                Some(own) if shows && !own.clients.is_empty() => &own.clients,
                _ => &settings.certificates.clients,
            },
            insecure: peer.insecure,
        };
        let client = build(settings, &tls, connections).map_err(unusable)?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// Tells once what cannot be used in a directory of certificates.
    fn tell(&self, settings: &Settings, name: &str, certificates: &HostCertificates) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(name.to_owned()) {
            for problem in &certificates.problems {
                let message = problem.clone();
                settings.progress.emit(Event::Warning { message });
            }
        }
    }
}

/// The directory of certificates of a host, with its name: `host[:port]`, with the usual port
/// written out or not. Docker Hub's may have either of its names.
fn directory<'o>(
    settings: &'o Settings,
    authority: &str,
) -> Option<(&'o str, &'o HostCertificates)> {
    let hosts = &settings.certificates.hosts;
    let find = |name: &str| {
        let (name, certificates) = hosts.get_key_value(name)?;
        Some((name.as_str(), certificates))
    };
    let hub = (authority == DOCKER_HUB_API).then_some(Host::DOCKER_HUB);
    find(authority)
        .or_else(|| find(&format!("{authority}:443")))
        .or_else(|| find(hub?))
}

/// What decides about TLS with one host.
struct Tls<'o> {
    /// Authorities besides the system's and those for all hosts.
    authorities: &'o [Vec<u8>],
    clients: &'o [ClientPair],
    insecure: bool,
}

fn build(
    settings: &Settings,
    tls: &Tls<'_>,
    connections: Connections,
) -> std::result::Result<reqwest::Client, Box<dyn StdError + Send + Sync>> {
    // The library takes its cryptography from this process-wide place and panics when it is
    // empty. Filling it twice is refused and does no harm.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(&settings.user_agent)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(settings.timeouts.connect)
        .pool_idle_timeout(settings.timeouts.idle)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(STREAM_WINDOW.saturating_mul(4));
    let http1 = connections == Connections::Own;
    if http1 {
        builder = builder.http1_only();
    }
    if tls.insecure {
        builder = builder.tls_danger_accept_invalid_certs(true);
        if let Some((certificate, key)) = tls.clients.first() {
            let mut pem = Zeroizing::new(certificate.clone());
            pem.push(b'\n');
            pem.extend_from_slice(key);
            builder = builder.identity(Identity::from_pem(&pem)?);
        }
    } else {
        let authorities = settings.certificates.roots.iter().chain(tls.authorities);
        let mut config = tls::config(authorities, tls.clients)?;
        config.alpn_protocols = match http1 {
            true => vec![b"http/1.1".to_vec()],
            false => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        builder = builder.tls_backend_preconfigured(config);
    }
    Ok(builder.build()?)
}
