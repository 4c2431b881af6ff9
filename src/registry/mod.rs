//! The OCI registry client: HTTP, asynchronous, for the source and for the target.
//!
//! Speaks the OCI distribution-spec 1.1 and the Docker registry API v2 below it. Everything
//! that it is given is a value: texts of auth files and of `registries.conf`, PEM bytes,
//! policies. It never touches the file system, never reads the environment (proxy variables
//! are read by the HTTP library) and never prints. Hashing of downloads is the caller's.
//!
//! Secrets are credentials, tokens, the queries of presigned URLs, and the Locations of
//! upload sessions. None of them appears in `Debug`, `Display`, events or errors.

mod answer;
mod auth;
mod auth_file;
mod certificate;
mod client;
mod credentials;
mod documents;
mod download;
mod error;
mod gate;
mod helper;
mod http_client;
mod manifest;
mod mirrors;
mod options;
mod outage;
mod pace;
mod paging;
mod parts;
mod ping;
mod presence;
mod push;
mod ranges;
mod rate;
mod redact;
mod referrers;
mod refusal;
mod registries_conf;
mod response;
mod retry;
mod scheme;
mod session;
mod site_authorities;
mod tags;
mod tls;
mod tls_problem;
mod transfer;
mod transport;
mod upload;
mod upload_body;
mod upload_way;

pub use answer::Answer;
pub use client::Client;
pub use credentials::{AuthFile, Credential, Credentials, CredentialsError, Secret};
pub use documents::DocumentRequest;
pub use download::BlobDownload;
pub use error::{Error, Result, Sought};
pub use manifest::{Fetched, ManifestHead, Selector};
pub use mirrors::{Mirrors, MirrorsError};
pub use options::{CertificateStore, ClientOptions, HostCertificates, Timeouts};
pub use ping::{Authentication, Ping};
pub use push::PushedManifest;
pub use redact::RedactedUrl;
pub use referrers::{Referrer, Referrers, ReferrersSource};
pub use retry::RetryPolicy;
pub use session::{MemorySessions, SessionStore, SessionTextError, UploadSession};
pub use tls::{ClientPair, check_authorities, check_client};
pub use tls_problem::TlsProblem;
pub use upload::{BlobSource, BlobUpload, Mount, PositionListener, Uploaded};
