//! What the engine is told by its caller.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use super::retry::RetryPolicy;
use crate::progress::Progress;
use crate::registry::tls::ClientPair;

/// Bytes a second at which a slow store copies a blob from one place to another.
const SLOW_STORE: u64 = 4 << 20;

/// What the engine is told by its caller; `ClientOptions` says what each means.
pub(in crate::registry) struct Settings {
    pub(in crate::registry) certificates: CertificateStore,
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
