//! Errors of starting a server.

use std::io;
use std::net::SocketAddr;

use crate::sys::registry_store::StoreError;

/// Reason for which a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The store cannot be opened.
    #[error("Cannot open the registry's store")]
    Store {
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// The server cannot listen on the address.
    #[error("Cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Other machines could reach the registry without TLS or without credentials.
    #[error("{address} is reachable from other machines, but the registry has no {missing}")]
    Exposed {
        /// The address.
        address: SocketAddr,
        /// The missing protection.
        missing: &'static str,
    },
    /// The certificate or key cannot be used.
    #[error("The TLS {what} cannot be used")]
    Tls {
        /// The part that cannot be used.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The task that opens the store was cancelled or panicked.
    #[error("The server was stopped while it started")]
    Stopped,
}
