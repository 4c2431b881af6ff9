//! The listening socket and its connections.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::handler::Registry;
use super::response::ApiError;
use super::stall::WriteTimeoutStream;
use super::{Result, ServeError, ServeOptions, tls};
use crate::sys::registry_store::{Access, Store};

/// Maximum time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Pause after a connection could not be accepted, for example because the system has no more
/// sockets.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Maximum time for headers, and maximum idle time between requests.
const HEADERS: Duration = Duration::from_secs(60);

/// Maximum bytes of headers, and of a body in the buffer.
const BUFFER: usize = 256 << 10;

/// Maximum concurrent streams of one HTTP/2 connection.
const STREAMS: u32 = 64;

/// A registry with its listening socket.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    connections: Connections,
    limit: Arc<Semaphore>,
    grace: Duration,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// State that each connection needs.
#[derive(Clone)]
struct Connections {
    registry: Arc<Registry>,
    tls: Option<TlsAcceptor>,
    patience: Duration,
    /// Closed when the server is stopping.
    stop: watch::Receiver<()>,
    /// Held by every running request, so that the shutdown can wait for them.
    busy: mpsc::Sender<Infallible>,
}

impl Server {
    /// Opens the store and the listening socket. Requests are answered only by [`Server::run`].
    ///
    /// # Errors
    ///
    /// When the address is reachable from other machines and TLS or credentials are missing, when
    /// it is in use, or when the store or the certificate cannot be used.
    pub async fn bind(options: ServeOptions) -> Result<Self> {
        let listen = options.listen;
        if !listen.ip().to_canonical().is_loopback() && !options.insecure_listen {
            let missing = match (&options.tls, &options.credentials) {
                (Some(_), Some(_)) => None,
                (None, None) => Some("TLS and no credentials"),
                (None, Some(_)) => Some("TLS"),
                (Some(_), None) => Some("credentials"),
            };
            if let Some(missing) = missing {
                let address = listen;
                return Err(ServeError::Exposed { address, missing });
            }
        }
        let tls = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let refused = |source| ServeError::Listen {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let access = match options.read_only {
            true => Access::ReadOnly,
            false => Access::ReadWrite,
        };
        let store = spawn_blocking(move || Store::open(&options.store, access))
            .await
            .map_err(|_| ServeError::Stopped)?
            .map_err(|source| ServeError::Store { source })?;
        let registry = Registry {
            store: Arc::new(store),
            credentials: options.credentials,
            read_only: options.read_only,
            allow_delete: options.allow_delete,
            accept_sparse: options.accept_sparse,
            max_blob: options.max_blob,
            idle_timeout: options.idle_timeout,
            observer: options.observer,
        };
        // `run` replaces these by channels whose other ends it keeps.
        let (_, stop) = watch::channel(());
        let (busy, _) = mpsc::channel(1);
        Ok(Self {
            listener,
            address,
            connections: Connections {
                registry: Arc::new(registry),
                tls,
                patience: options.idle_timeout,
                stop,
                busy,
            },
            limit: Arc::new(Semaphore::new(options.max_connections)),
            grace: options.shutdown_grace,
        })
    }

    /// Returns the address, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL, for example `http://127.0.0.1:5000`.
    pub fn url(&self) -> String {
        let scheme = match self.connections.tls {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}", self.address)
    }

    /// Answers requests until `shutdown` completes. Requests that are running then may finish
    /// within the grace period; after it connections are closed, and uploads have the same time
    /// again to store what has arrived. The store is released when this returns.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (stopping, stop) = watch::channel(());
        let (busy, mut finished) = mpsc::channel(1);
        let Self {
            listener,
            mut connections,
            limit,
            grace,
            ..
        } = self;
        connections.stop = stop;
        connections.busy = busy;
        let mut tasks = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = async {
                let permit = Arc::clone(&limit).acquire_owned().await;
                (permit, listener.accept().await)
            };
            tokio::select! {
                () = &mut shutdown => break,
                (permit, accepted) = accepted => match accepted {
                    Ok((stream, peer)) => {
                        let connections = connections.clone();
                        tasks.spawn(async move {
                            let _permit = permit;
                            // A broken connection is not an error of the server.
                            let _ = connections.serve(stream, peer).await;
                        });
                    }
                    Err(_) => sleep(ACCEPT_RETRY_DELAY).await,
                },
            }
            while tasks.try_join_next().is_some() {}
        }
        drop(listener);
        drop(stopping);
        drop(connections);
        let all_done = async {
            while tasks.join_next().await.is_some() {}
            let _ = finished.recv().await;
        };
        if timeout(grace, all_done).await.is_err() {
            // Requests notice that their connection is closed, and keep the bytes received.
            tasks.shutdown().await;
            let _ = timeout(grace, finished.recv()).await;
        }
    }
}

impl Connections {
    async fn serve(mut self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        // Answers are small and the client waits for them, so they must not be delayed.
        stream.set_nodelay(true)?;
        let stream = WriteTimeoutStream::new(stream, self.patience);
        match self.tls.take() {
            None => self.talk(stream, peer, false).await,
            Some(acceptor) => {
                let stream = timeout(HANDSHAKE, acceptor.accept(stream)).await??;
                let http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
                self.talk(stream, peer, http2).await
            }
        }
    }

    async fn talk<T>(self, stream: T, peer: SocketAddr, http2: bool) -> io::Result<()>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            registry,
            mut stop,
            busy,
            ..
        } = self;
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = Arc::clone(&registry).answer(request, peer);
            let busy = busy.clone();
            // A separate task: when the client disconnects, hyper drops the future that it waits
            // for, but the bytes of an upload that have arrived should still be written.
            let task = tokio::spawn(async move {
                let _busy = busy;
                answer.await
            });
            async move {
                let failed = |error: tokio::task::JoinError| ApiError::internal(error.to_string());
                let answered = task.await.map_err(failed);
                Ok::<_, Infallible>(answered.unwrap_or_else(ApiError::into_response))
            }
        });
        let io = TokioIo::new(stream);
        let stopped = async move {
            // No value is ever sent: the loop ends when the sender is dropped.
            while stop.changed().await.is_ok() {}
        };
        // The connection's future ends with the connection; `stopped` only makes it end earlier.
        macro_rules! until_stopped {
            ($connection:expr) => {{
                let mut connection = pin!($connection);
                tokio::select! {
                    result = connection.as_mut() => return result.map_err(io::Error::other),
                    () = stopped => {}
                }
                connection.as_mut().graceful_shutdown();
                connection.await.map_err(io::Error::other)
            }};
        }
        if http2 {
            until_stopped!(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .max_concurrent_streams(STREAMS)
                    .keep_alive_interval(HEADERS)
                    .serve_connection(io, service)
            )
        } else {
            until_stopped!(
                hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADERS)
                    .max_buf_size(BUFFER)
                    .serve_connection(io, service)
            )
        }
    }
}
