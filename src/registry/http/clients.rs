//! The HTTP library's clients: one for all hosts without certificates of their own, and one for
//! each directory of certificates; each of them a second time for large bodies. Each keeps a pool
//! of connections.

use std::collections::{HashMap, HashSet};
use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::{Identity, Proxy};
use zeroize::Zeroizing;

use super::settings::{CertificateStore, HostCertificates, Settings};
use crate::model::Host;
use crate::progress::Event;
use crate::registry::authority::DOCKER_HUB_API;
use crate::registry::error::{Error, Result};
use crate::registry::tls;
use crate::registry::tls::ClientPair;

/// HTTP/2 flow-control window of one stream in bytes, large enough for one blob to fill a fast
/// line. The connection's window is four times as large.
const STREAM_WINDOW: u32 = 2 << 20;

/// Bodies of at least so many bytes get a connection of their own. A smaller one takes less than
/// a tenth of a second even on a slow line, less than a new connection is worth.
const LARGE: u64 = 64 << 10;

/// The default port of HTTPS, behind a host.
const DEFAULT_PORT: &str = ":443";

/// The connections that a request may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(in crate::registry) enum Connections {
    /// The pool that all requests share; it has one connection if the server speaks HTTP/2.
    #[default]
    Shared,
    /// A connection that no other request uses at the same time (HTTP/1.1). HTTP/2 would send all
    /// bodies over one connection, and on a line that loses packets all of them together would
    /// have the throughput of one TCP stream.
    Own,
}

impl Connections {
    /// Returns the connections for a body of so many bytes.
    pub(in crate::registry) fn for_body(bytes: u64) -> Self {
        if bytes < LARGE {
            Self::Shared
        } else {
            Self::Own
        }
    }
}

/// A server to which a client connects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer<'a> {
    /// `host[:port]`.
    pub(in crate::registry) authority: &'a str,
    /// The registry on whose behalf it is asked: itself, or the registry that named it as its
    /// token service or redirected to it.
    pub(in crate::registry) registry: &'a str,
    /// True if a redirect or an upload Location of the registry led to it.
    pub(in crate::registry) other_origin: bool,
    /// True if its certificate is not checked.
    pub(in crate::registry) insecure: bool,
}

/// The properties in which clients differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    /// Name of the directory of certificates that is used, if any.
    directory: Option<String>,
    /// True if the client certificates in that directory may be sent.
    shows: bool,
    insecure: bool,
    connections: Connections,
}

#[derive(Default)]
pub(super) struct HttpClients {
    clients: Mutex<HashMap<Key, reqwest::Client>>,
    /// Directories whose unusable files were already reported.
    told: Mutex<HashSet<String>>,
}

impl fmt::Debug for HttpClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClients")
    }
}

impl HttpClients {
    /// Returns the client for a host, and makes it at the first request.
    ///
    /// Its own directory of certificates is used; if it has none, that of the registry on whose
    /// behalf it is asked, as in skopeo. After a redirect to another host, the registry's
    /// directory only adds trusted authorities: the operator's client certificates are not sent
    /// there.
    pub(in crate::registry) fn client(
        &self,
        settings: &Settings,
        peer: Peer<'_>,
        connections: Connections,
    ) -> Result<reqwest::Client> {
        let own = directory(&settings.certificates, peer.authority);
        let shows = own.is_some() || !peer.other_origin;
        let found = own.or_else(|| directory(&settings.certificates, peer.registry));
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

    /// Reports the unusable files in a directory of certificates, once for each directory.
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

/// Returns the directory of certificates of a host, with the name under which it was found:
/// `host[:port]`, with or without the default port 443, or either name of Docker Hub.
fn directory<'o>(
    certificates: &'o CertificateStore,
    authority: &str,
) -> Option<(&'o str, &'o HostCertificates)> {
    let hosts = &certificates.hosts;
    let find = |name: &str| {
        let (name, certificates) = hosts.get_key_value(name)?;
        Some((name.as_str(), certificates))
    };
    let hub = (authority == DOCKER_HUB_API).then_some(Host::DOCKER_HUB);
    find(authority)
        .or_else(|| match authority.strip_suffix(DEFAULT_PORT) {
            Some(host) => find(host),
            None => find(&format!("{authority}{DEFAULT_PORT}")),
        })
        .or_else(|| find(hub?))
}

/// TLS settings for one host.
struct Tls<'o> {
    /// CA certificates in addition to the system's and to those for all hosts.
    authorities: &'o [Vec<u8>],
    clients: &'o [ClientPair],
    insecure: bool,
}

fn build(
    settings: &Settings,
    tls: &Tls<'_>,
    connections: Connections,
) -> std::result::Result<reqwest::Client, Box<dyn StdError + Send + Sync>> {
    // The HTTP library takes its cryptography from this process-wide default and panics if there
    // is none. A second installation is refused, which does no harm.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(&settings.user_agent)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(settings.timeouts.connect)
        .pool_idle_timeout(settings.timeouts.idle)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(STREAM_WINDOW.saturating_mul(4));
    let proxies = Arc::clone(&settings.proxies);
    builder = builder.proxy(Proxy::custom(move |url| proxies.proxy(url).cloned()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_found_with_and_without_the_default_port() {
        for (directory_of, authority, expected) in [
            ("q.lan", "q.lan", true),
            ("q.lan:443", "q.lan", true),
            ("q.lan", "q.lan:443", true),
            ("q.lan", "q.lan:5000", false),
            ("q.lan:5000", "q.lan", false),
            ("docker.io", DOCKER_HUB_API, true),
        ] {
            let mut certificates = CertificateStore::default();
            let hosts = &mut certificates.hosts;
            hosts.insert(directory_of.to_owned(), HostCertificates::default());
            let found = directory(&certificates, authority).map(|(name, _)| name);
            let expected = expected.then_some(directory_of);
            assert_eq!(found, expected, "{authority} in {directory_of}");
        }
    }
}
