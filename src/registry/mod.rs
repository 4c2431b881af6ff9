//! The OCI registry client: HTTP, asynchronous, for the source and for the target.
//!
//! Speaks the OCI distribution-spec 1.1 and the Docker registry API v2 below it. All inputs are
//! values: texts of auth files and of `registries.conf`, PEM bytes, proxies, policies. It reads
//! neither files nor the environment itself; libraries read the system's CA certificates. The only
//! programs that it starts are credential helpers. It never prints. The caller
//! hashes downloads.
//!
//! Its modules, lowest first; each uses only modules listed before it:
//!
//! - `tls`, `credentials`, `error`: certificates; auth files and helpers; errors;
//! - `http`: the engine, which sends requests without knowledge of credentials;
//! - `places`: mirrors, rewrites, and the scheme (TLS or plain HTTP) of a host;
//! - `auth`: challenges and tokens, for the engine's `Authorization` header;
//! - `client`: combines these and remembers facts about hosts and repositories;
//! - `read`, `write`: the operations on a registry.
//!
//! Secrets are credentials, tokens, the queries of presigned URLs, and the Locations of
//! upload sessions. None of them appears in `Debug`, `Display`, events or errors.

mod auth;
mod authority;
mod client;
mod credentials;
mod error;
mod http;
mod locks;
mod places;
mod read;
mod redact;
mod tls;
mod write;

pub use auth::PushGrant;
pub use client::{Client, ClientOptions};
pub use credentials::{
    AuthFile, Credential, Credentials, CredentialsError, ParsedAuthFile, Secret,
};
pub use error::{Answer, CredentialSearch, Error, Result};
pub use http::{
    CertificateStore, HostCertificates, Proxies, ProxyVariables, RetryPolicy, Timeouts,
};
pub use places::{Mirrors, MirrorsError};
pub use read::{
    Authentication, BlobDownload, DocumentRequest, Fetched, Known, ManifestHead, Ping, Referrer,
    Referrers, ReferrersSource, Selector, Software,
};
pub use redact::RedactedUrl;
pub use tls::{ClientPair, TlsProblem, check_authorities, check_client};
pub use write::{
    BlobSource, BlobUpload, MemorySessions, Mount, PositionListener, PushedManifest, Removal,
    SessionStore, SessionTextError, UploadSession, Uploaded,
};
