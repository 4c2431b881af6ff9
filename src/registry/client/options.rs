//! What a caller decides about a client.

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;

use crate::progress::{Progress, Silent};
use crate::registry::credentials::Credentials;
use crate::registry::http::{CertificateStore, RetryPolicy, Timeouts};
use crate::registry::places::Mirrors;

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
