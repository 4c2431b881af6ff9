//! Settings of the engine.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use super::proxies::Proxies;
use super::retry::RetryPolicy;
use crate::progress::Progress;
use crate::registry::tls::ClientPair;

/// Bytes per second at which a slow store copies a blob to its final place.
const SLOW_STORE: u64 = 4 << 20;

/// Settings of the engine; `ClientOptions` documents each.
pub(in crate::registry) struct Settings {
    pub(in crate::registry) certificates: CertificateStore,
    pub(in crate::registry) proxies: Arc<Proxies>,
    pub(in crate::registry) retry: RetryPolicy,
    pub(in crate::registry) timeouts: Timeouts,
    pub(in crate::registry) jobs: Option<NonZeroUsize>,
    pub(in crate::registry) limit_rate: Option<NonZeroU64>,
    pub(in crate::registry) user_agent: String,
    pub(in crate::registry) progress: Arc<dyn Progress>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("certificates", &self.certificates)
            .field("proxies", &self.proxies)
            .field("retry", &self.retry)
            .field("timeouts", &self.timeouts)
            .field("jobs", &self.jobs)
            .field("limit_rate", &self.limit_rate)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}

/// Limits on the time without any sign of life. There is no limit on the length of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Limit for establishing a connection, including TLS.
    pub connect: Duration,
    /// Limit for the next bytes of a body, in either direction, and for the head of an answer to
    /// a request without a body.
    pub idle: Duration,
    /// Upper limit for the answer to a request that finishes a large blob: registries move the
    /// blob to its final place before they answer, which takes minutes on some stores.
    pub commit: Duration,
}

impl Timeouts {
    /// Returns the limit for the answer to a request that finishes a blob of so many bytes (0: to
    /// any other request): `idle`, plus the time that a slow store needs to copy them.
    pub(super) fn for_commit(&self, bytes: u64) -> Duration {
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

/// Certificates and keys as PEM bytes; the caller reads the files.
#[derive(Clone, Default)]
pub struct CertificateStore {
    /// Files with CA certificates that are trusted for every host, in addition to the system's.
    pub roots: Vec<Vec<u8>>,
    /// Client certificates with their keys, for hosts without an entry in `hosts`.
    pub clients: Vec<ClientPair>,
    /// Content of `certs.d/<host[:port]>/`, by `host[:port]` in lower case
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
    /// `*.cert` with its `*.key`: client certificates that may be sent to this host.
    pub clients: Vec<ClientPair>,
    /// Unusable files in the directory; reported when the host is first contacted.
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
