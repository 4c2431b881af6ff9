//! Options of a client.

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;

use crate::progress::{NoProgress, Progress};
use crate::registry::credentials::Credentials;
use crate::registry::http::{CertificateStore, Proxies, RetryPolicy, Timeouts};
use crate::registry::places::Mirrors;

/// Options of a client. The default verifies TLS against the system's roots and has no
/// credentials.
#[derive(Clone)]
pub struct ClientOptions {
    /// True if TLS is required and verified. If false, certificates are not checked, and a host
    /// that does not answer over TLS is asked over plain HTTP, as skopeo does. `None`: true,
    /// except where `mirrors` (registries.conf) says `insecure`.
    pub tls_verify: Option<bool>,
    /// Certificates in addition to the system's.
    pub certificates: CertificateStore,
    /// Credentials for each registry.
    pub credentials: Credentials,
    /// Mirrors and rewrites from which content may be read.
    pub mirrors: Mirrors,
    /// Proxies for registries and other servers; none by default.
    pub proxies: Proxies,
    /// Number of attempts, and the pauses between them.
    pub retry: RetryPolicy,
    /// Limits on the time without any sign of life from a server.
    pub timeouts: Timeouts,
    /// Concurrent requests per registry; `None`: adaptive, from the measured throughput.
    pub jobs: Option<NonZeroUsize>,
    /// Limit in bytes per second for all transfers together.
    pub limit_rate: Option<NonZeroU64>,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Receives warnings about retries and failing mirrors.
    pub progress: Arc<dyn Progress>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            tls_verify: None,
            certificates: CertificateStore::default(),
            credentials: Credentials::default(),
            mirrors: Mirrors::default(),
            proxies: Proxies::default(),
            retry: RetryPolicy::default(),
            timeouts: Timeouts::default(),
            jobs: None,
            limit_rate: None,
            user_agent: concat!("airferry/", env!("CARGO_PKG_VERSION")).to_owned(),
            progress: Arc::new(NoProgress),
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
            .field("proxies", &self.proxies)
            .field("retry", &self.retry)
            .field("timeouts", &self.timeouts)
            .field("jobs", &self.jobs)
            .field("limit_rate", &self.limit_rate)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}
