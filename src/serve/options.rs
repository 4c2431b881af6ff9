//! What a server is told when it starts.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Credentials;

/// A request that was answered, for the access log. Holds no secrets: no headers, no query,
/// and upload sessions' names are left out of the path.
#[derive(Debug, Clone)]
pub struct Access {
    /// Who asked.
    pub peer: SocketAddr,
    /// The user, when credentials were asked for and were right.
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

/// Is told what the server does. Must not block.
pub trait Observer: Send + Sync {
    /// A request was answered; its body may still be on the way.
    fn answered(&self, access: &Access);

    /// The server could not do its work (a full disk, a damaged store). `failure` names paths,
    /// which clients are not told.
    fn failed(&self, failure: &str);
}

/// Nobody looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn answered(&self, _access: &Access) {}

    fn failed(&self, _failure: &str) {}
}

/// A certificate chain and its key, as PEM texts.
#[derive(Clone)]
pub struct TlsIdentity {
    /// The server's certificate, then those that lead to its authority.
    pub certificates: Vec<u8>,
    /// The private key (PKCS#8, PKCS#1 or SEC1), not encrypted.
    pub key: zeroize::Zeroizing<Vec<u8>>,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity(..)")
    }
}

/// How a registry is served.
#[derive(Clone)]
pub struct ServeOptions {
    /// The store's directory; created when absent, unless `read_only`.
    pub store: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Allows an address that others reach, without both TLS and credentials.
    pub insecure_listen: bool,
    /// Serves HTTPS.
    pub tls: Option<TlsIdentity>,
    /// Asks for basic authentication.
    pub credentials: Option<Credentials>,
    /// Refuses every change; the store may be on a read-only file system.
    pub read_only: bool,
    /// Allows DELETE of manifests, tags and blobs.
    pub allow_delete: bool,
    /// Accepts indexes whose children are not all there.
    pub accept_sparse: bool,
    /// Largest blob in bytes.
    pub max_blob: u64,
    /// Connections served at once; further ones wait.
    pub max_connections: usize,
    /// How long a peer may send or take nothing in the middle of a message.
    pub idle_timeout: Duration,
    /// How long running requests may go on after the server was told to stop.
    pub shutdown_grace: Duration,
    /// Is told of requests and failures.
    pub observer: Arc<dyn Observer>,
}

impl ServeOptions {
    /// Loopback on a free port, plain HTTP, writable, nothing is deleted.
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
            observer: Arc::new(Unobserved),
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
