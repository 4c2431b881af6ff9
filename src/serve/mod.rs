//! The embedded registry: OCI distribution-spec 1.1 over a store in a directory.
//!
//! For sites without a registry, and for tests. This module speaks HTTP; `sys::registry_store`
//! handles the files. Every name from the network is parsed into a model type before any other
//! code uses it, bodies are streamed in both directions, and the memory that a client can make
//! the server use is limited.

mod auth;
mod blobs;
mod body;
mod document;
mod error;
mod handler;
mod listing;
mod manifests;
mod options;
mod range;
mod response;
mod route;
mod server;
mod signals;
mod stall;
mod tls;
mod uploads;

pub use auth::{Credentials, CredentialsError};
pub use error::ServeError;
pub use options::{Access, NoObserver, Observer, ServeOptions, TlsIdentity};
pub use server::Server;
pub use signals::Signals;

/// Shorthand for results of starting a server.
pub type Result<T> = std::result::Result<T, ServeError>;
