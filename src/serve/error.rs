//! Why a server does not start.

use std::io;
use std::net::SocketAddr;

use crate::sys::registry_store::StoreError;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The store cannot be used.
    #[error("Cannot open the registry's store")]
    Store {
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// The address cannot be listened on.
    #[error("Cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Others could reach the registry without TLS and credentials.
    #[error("{address} can be reached from outside, and the registry would have no {missing}")]
    Exposed {
        /// The address.
        address: SocketAddr,
        /// What is missing.
        missing: &'static str,
    },
    /// The certificate or key is not usable.
    #[error("The TLS {what} cannot be used")]
    Tls {
        /// Which of them.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The blocking work of opening the store was lost.
    #[error("The server was stopped while it started")]
    Stopped,
}
