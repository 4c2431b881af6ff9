//! What a caller decides about a client.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use crate::progress::{Progress, Silent};
use crate::registry::credentials::Credentials;
use crate::registry::http::RetryPolicy;
use crate::registry::places::Mirrors;
use crate::registry::tls::ClientPair;

/// Bytes a second at which a slow store copies a blob from one place to another.
const SLOW_STORE: u64 = 4 << 20;

/// What a caller decides about a client. The default verifies TLS against the system's roots
/// and knows no credentials.
#[derive(Clone)]
pub struct ClientOptions {
    /// Whether TLS is required and verified. When false, nobody checks certificates, and a
    /// host that does not answer over TLS is spoken to in plain HTTP, as skopeo does. `None`:
    /// yes, but where `insecure` of `mirrors` says otherwise.
    pub tls_verify: Option<bool>,
    /// Certificates besides the system's.
    pub certificates: CertificateStore,
    /// Who we are.
    pub credentials: Credentials,
    /// Where else content may be read.
    pub mirrors: Mirrors,
    /// How failures are retried.
    pub retry: RetryPolicy,
    /// How long we wait for signs of life.
    pub timeouts: Timeouts,
    /// Requests that a registry gets at the same time; `None`: as many as it does well with.
    pub jobs: Option<NonZeroUsize>,
    /// Bytes a second for all transfers together.
    pub limit_rate: Option<NonZeroU64>,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Who is told of retries and of mirrors that fail.
    pub progress: Arc<dyn Progress>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            tls_verify: None,
            certificates: CertificateStore::default(),
            credentials: Credentials::default(),
            mirrors: Mirrors::default(),
            retry: RetryPolicy::default(),
            timeouts: Timeouts::default(),
            jobs: None,
            limit_rate: None,
            user_agent: concat!("airferry/", env!("CARGO_PKG_VERSION")).to_owned(),
            progress: Arc::new(Silent),
        }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("tls_verify", &self.tls_verify)
            .field("certificates", &self.certificates)
            .field("credentials", &self.credentials)
            .field("mirrors", &self.mirrors)
            .field("retry", &self.retry)
            .field("timeouts", &self.timeouts)
            .field("jobs", &self.jobs)
            .field("limit_rate", &self.limit_rate)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}

/// How long we wait for signs of life. There is no limit on a whole transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the next bytes of a body, in either direction, or for the head of an answer to a
    /// request without one.
    pub idle: Duration,
    /// For the answer to a request that finishes a large blob, at most: registries move it to its
    /// place before they answer, which takes minutes on some stores.
    pub commit: Duration,
}

impl Timeouts {
    /// For the answer to a request that finishes a blob of so many bytes, or to any other (0): the
    /// registry gets as much longer as a slow store needs to copy them.
    pub(in crate::registry) fn for_commit(&self, bytes: u64) -> Duration {
        let copying = Duration::from_secs(bytes / SLOW_STORE);
        self.idle
            .saturating_add(copying)
            .min(self.commit.max(self.idle))
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            commit: Duration::from_secs(900),
        }
    }
}

/// Certificates and keys as PEM bytes; reading files is the caller's.
#[derive(Clone, Default)]
pub struct CertificateStore {
    /// Bundles of CA certificates that are trusted for every host, besides the system's.
    pub roots: Vec<Vec<u8>>,
    /// Certificates with their keys for hosts for which `hosts` has none.
    pub clients: Vec<ClientPair>,
    /// What `certs.d/<host[:port]>/` holds, by `host[:port]` in lower case
    /// (containers-certs.d(5)).
    pub hosts: BTreeMap<String, HostCertificates>,
}

impl fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateStore")
            .field("roots", &self.roots.len())
            .field("clients", &self.clients.len())
            .field("hosts", &self.hosts)
            .finish()
    }
}

/// The content of one `certs.d/<host[:port]>/` directory.
#[derive(Clone, Default)]
pub struct HostCertificates {
    /// `*.crt`: CA certificates that are trusted for this host.
    pub roots: Vec<Vec<u8>>,
    /// `*.cert` with its `*.key`: the certificates that we may show to this host.
    pub clients: Vec<ClientPair>,
    /// What cannot be used in the directory; told when the host is spoken to.
    pub problems: Vec<String>,
}

impl fmt::Debug for HostCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostCertificates")
            .field("roots", &self.roots.len())
            .field("clients", &self.clients.len())
            .field("problems", &self.problems)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_waited_for_as_long_as_its_blob_is_large() {
        let timeouts = Timeouts::default();
        for (bytes, seconds) in [(0, 60), (20 << 20, 65), (1 << 30, 316), (1 << 40, 900)] {
            assert_eq!(timeouts.for_commit(bytes), Duration::from_secs(seconds));
        }
        let mut patient = timeouts;
        patient.idle = Duration::from_secs(1000);
        assert_eq!(patient.for_commit(0), Duration::from_secs(1000));
    }
}
