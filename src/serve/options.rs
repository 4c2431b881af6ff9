//! Options of a server.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Credentials;

/// An answered request, for the access log. Contains no secrets: no headers, no query, and no ids
/// of upload sessions in the path.
#[derive(Debug, Clone)]
pub struct Access {
    /// Address of the client.
    pub peer: SocketAddr,
    /// The authenticated user, if the server has credentials.
    pub user: Option<String>,
    /// The method.
    pub method: String,
    /// The path, without control characters.
    pub path: String,
    /// The status code of the answer.
    pub status: u16,
    /// The length of the answer's body in bytes, when it was announced.
    pub length: Option<u64>,
}

/// Receives events of the server. Its methods must not block.
pub trait Observer: Send + Sync {
    /// Called after a request was answered; the answer's body may still be on the way.
    fn answered(&self, access: &Access);

    /// Called when the server could not do its work (a full disk, a damaged store). `failure`
    /// contains paths, which are not sent to clients.
    fn failed(&self, failure: &str);
}

/// An observer that ignores all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn answered(&self, _access: &Access) {}

    fn failed(&self, _failure: &str) {}
}

/// A certificate chain and its private key, in PEM.
#[derive(Clone)]
pub struct TlsIdentity {
    /// The server's certificate, then its intermediate certificates.
    pub certificates: Vec<u8>,
    /// The private key (PKCS#8, PKCS#1 or SEC1), not encrypted.
    pub key: zeroize::Zeroizing<Vec<u8>>,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity(..)")
    }
}

/// Options of a registry server.
#[derive(Clone)]
pub struct ServeOptions {
    /// The store's directory; created when absent, unless `read_only`.
    pub store: PathBuf,
    /// The address to listen on; port 0 selects a free port.
    pub listen: SocketAddr,
    /// Allows an address that other machines can reach even if TLS or credentials are missing.
    pub insecure_listen: bool,
    /// Certificate for HTTPS; `None`: plain HTTP.
    pub tls: Option<TlsIdentity>,
    /// Users for basic authentication; `None`: no authentication.
    pub credentials: Option<Credentials>,
    /// Refuses all changes; the store may be on a read-only file system.
    pub read_only: bool,
    /// Allows DELETE of manifests, tags and blobs.
    pub allow_delete: bool,
    /// Accepts an index even if children of it are missing.
    pub accept_sparse: bool,
    /// Maximum size of a blob in bytes.
    pub max_blob: u64,
    /// Maximum concurrent connections; further ones wait.
    pub max_connections: usize,
    /// Maximum time without progress in either direction in the middle of a message.
    pub idle_timeout: Duration,
    /// Maximum time for running requests to finish after the shutdown began. Then connections are
    /// closed, and what has arrived of uploads is stored, which may take the same time again.
    pub shutdown_grace: Duration,
    /// Receives requests and failures.
    pub observer: Arc<dyn Observer>,
}

impl ServeOptions {
    /// Returns the defaults: loopback on a free port, plain HTTP, writable, no deletion.
    pub fn new(store: impl Into<PathBuf>) -> Self {
        Self {
            store: store.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            insecure_listen: false,
            tls: None,
            credentials: None,
            read_only: false,
            allow_delete: false,
            accept_sparse: false,
            max_blob: 1 << 40,
            max_connections: 512,
            idle_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(10),
            observer: Arc::new(NoObserver),
        }
    }
}

impl fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeOptions")
            .field("store", &self.store)
            .field("listen", &self.listen)
            .field("tls", &self.tls.is_some())
            .field("credentials", &self.credentials.is_some())
            .field("read_only", &self.read_only)
            .field("allow_delete", &self.allow_delete)
            .field("accept_sparse", &self.accept_sparse)
            .finish_non_exhaustive()
    }
}
