//! The HTTP engine: connections, TLS per host, redirects, proxies, retries, and the limit on
//! concurrent requests per host.
//!
//! It has no knowledge of credentials or of the registry API. The caller supplies the
//! `Authorization` header as a value, with the origin to which it may be sent, and decides what a
//! refusal means.

mod clients;
mod engine;
mod failure;
mod host_limit;
mod length;
mod outage;
mod pace;
mod proxies;
mod rate;
mod request;
mod response;
mod retry;
mod settings;
mod upload_body;

pub(super) use clients::Connections;
pub(super) use engine::Engine;
pub(super) use host_limit::Throttle;
pub(super) use length::length;
pub use proxies::{Proxies, ProxyVariables};
pub(super) use request::{Payload, Request};
pub(super) use response::Response;
pub use retry::RetryPolicy;
pub(super) use retry::{Budget, http_date, retry_after};
pub(super) use settings::Settings;
pub use settings::{CertificateStore, HostCertificates, Timeouts};
pub(super) use upload_body::{PieceBody, PieceTrace, SourceFault, Window, hash_window};
