//! The HTTP engine: connections, TLS per host, redirects, proxies, retries, and how many requests a
//! host gets at a time.
//!
//! It knows nothing of credentials and of the registry API. A request gets an `Authorization` header
//! as a value, and which origin may see it; what a refusal means is decided above.

mod clients;
mod engine;
mod failure;
mod gate;
mod length;
mod outage;
mod pace;
mod rate;
mod request;
mod response;
mod retry;
mod settings;
mod upload_body;

pub(super) use clients::Connections;
pub(super) use engine::Engine;
pub(super) use gate::Flow;
pub(super) use length::length;
pub(super) use request::{Payload, Sending};
pub(super) use response::Response;
pub use retry::RetryPolicy;
pub(super) use retry::{Budget, http_date, retry_after};
pub(super) use settings::Settings;
pub use settings::{CertificateStore, HostCertificates, Timeouts};
pub(super) use upload_body::{Flaw, PieceBody, PieceTrace, Window, hash_window};
