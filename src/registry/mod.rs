//! The OCI registry client: HTTP, asynchronous, for the source and for the target.
//!
//! Speaks the OCI distribution-spec 1.1 and the Docker registry API v2 below it. Everything
//! that it is given is a value: texts of auth files and of `registries.conf`, PEM bytes,
//! policies. It never touches the file system, never reads the environment (proxy variables
//! are read by the HTTP library) and never prints. Hashing of downloads is the caller's.
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

pub use client::{Client, ClientOptions};
pub use credentials::{
    AuthFile, Credential, Credentials, CredentialsError, ParsedAuthFile, Secret,
};
pub use error::{Answer, Error, Result, Sought};
pub use http::{CertificateStore, HostCertificates, RetryPolicy, Timeouts};
pub use places::{Mirrors, MirrorsError};
pub use read::{
    Authentication, BlobDownload, DocumentRequest, Fetched, ManifestHead, Ping, Referrer,
    Referrers, ReferrersSource, Selector,
};
pub use redact::RedactedUrl;
pub use tls::{ClientPair, TlsProblem, check_authorities, check_client};
pub use write::{
    BlobSource, BlobUpload, MemorySessions, Mount, PositionListener, PushedManifest, SessionStore,
    SessionTextError, UploadSession, Uploaded,
};
