//! An HTTP server on loopback that answers as a test says, including faults, and records the
//! requests. It ends with the test's runtime.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Test helpers may panic.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use airferry::model::{Host, Repository};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// A request as it was received.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) version: Version,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// Returns the first byte of a `Range: bytes=N-` request; 0 without a range.
    pub(crate) fn range_start(&self) -> usize {
        let range = self.header("range").unwrap_or("bytes=0-");
        let start = range.strip_prefix("bytes=").unwrap();
        start.split('-').next().unwrap().parse().unwrap()
    }
}

/// End of an answer after the bytes of its body: complete, cut off, or stalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Cut,
    Stall,
}

/// Treatment of an answer's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Sent,
    /// The connection is broken instead.
    HangUp,
    /// It is never sent.
    Silence,
}

/// An answer to a request.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    end: End,
    head: Head,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            end: End::Whole,
            head: Head::Sent,
        }
    }

    /// Breaks the connection without any answer.
    pub(crate) fn hang_up() -> Self {
        Self {
            head: Head::HangUp,
            ..Self::new(500)
        }
    }

    /// Keeps the connection open, and never answers.
    pub(crate) fn silence() -> Self {
        Self {
            head: Head::Silence,
            ..Self::new(500)
        }
    }

    /// Answers with an OCI error document.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"said so"}}]}}"#);
        Self::new(status).body(body)
    }

    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Answers with the part of `whole` that a request asks for, as a registry should.
    pub(crate) fn range(asked: &Asked, whole: &Bytes) -> Self {
        let start = asked.range_start();
        if start == 0 && asked.header("range").is_none() {
            return Self::new(200)
                .header("content-length", whole.len())
                .body(whole.clone());
        }
        let total = whole.len();
        if start >= total {
            return Self::new(416).header("content-range", format!("bytes */{total}"));
        }
        let last = total - 1;
        Self::new(206)
            .header("content-length", total - start)
            .header("content-range", format!("bytes {start}-{last}/{total}"))
            .body(whole.slice(start..))
    }

    /// Breaks the connection after `bytes` bytes of the body.
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.body.truncate(bytes);
        self.end = End::Cut;
        self
    }

    /// Sends only `bytes` bytes of the body, and keeps the connection open.
    pub(crate) fn stall_after(mut self, bytes: usize) -> Self {
        self.body.truncate(bytes);
        self.end = End::Stall;
        self
    }

    fn into_http(self) -> Response<impl hyper::body::Body<Data = Bytes, Error = io::Error>> {
        let mut response = Response::builder().status(StatusCode::from_u16(self.status).unwrap());
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let end = self.end;
        let tail = stream::once(async move {
            match end {
                End::Whole => None,
                End::Cut => {
                    // Lets the server flush the bytes before the cut.
                    tokio::task::yield_now().await;
                    Some(Err(io::Error::other("cut by the test")))
                }
                End::Stall => std::future::pending().await,
            }
        });
        let bytes = stream::iter([Ok(Frame::data(self.body))]);
        let body = StreamBody::new(bytes.chain(tail.filter_map(std::future::ready)));
        response.body(body).unwrap()
    }
}

/// Returns the answer to the n-th request, counted from 0.
pub(crate) type Script = Arc<dyn Fn(&Asked, usize) -> Reply + Send + Sync>;

/// Returns, from a request's head, the number of bytes of its body after which the connection
/// breaks.
pub(crate) type Scissors = Arc<dyn Fn(&Asked, usize) -> Option<usize> + Send + Sync>;

struct Shared {
    script: Script,
    scissors: Scissors,
    asked: Mutex<Vec<Asked>>,
}

/// A running server.
pub(crate) struct FakeRegistry {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
    /// The self-signed certificate, as PEM; empty without TLS.
    pub(crate) ca_pem: String,
}

impl FakeRegistry {
    /// Starts a server with plain HTTP. `GET /v2/` is always answered with 200 and not recorded:
    /// clients use it to find out whether a host speaks TLS.
    pub(crate) async fn start(
        script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::run(Arc::new(script), Arc::new(|_, _| None), None).await
    }

    /// As `start`; `scissors` cuts some requests while they are sent.
    pub(crate) async fn start_with_scissors(
        script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static,
        scissors: impl Fn(&Asked, usize) -> Option<usize> + Send + Sync + 'static,
    ) -> Self {
        Self::run(Arc::new(script), Arc::new(scissors), None).await
    }

    /// Starts a server with TLS and a self-signed certificate for 127.0.0.1; offers HTTP/2.
    pub(crate) async fn start_tls(
        script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], PrivateKeyDer::from(key))
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let tls = TlsAcceptor::from(Arc::new(config));
        let mut registry = Self::run(Arc::new(script), Arc::new(|_, _| None), Some(tls)).await;
        registry.ca_pem = certified.cert.pem();
        registry
    }

    async fn run(script: Script, scissors: Scissors, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script,
            scissors,
            asked: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (Arc::clone(&serving), tls.clone());
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                    let server = auto::Builder::new(TokioExecutor::new());
                    // Errors are ignored: broken connections are the subject of these tests.
                    match tls {
                        None => {
                            let _ = server.serve_connection(TokioIo::new(stream), service).await;
                        }
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                let stream = TokioIo::new(stream);
                                let _ = server.serve_connection(stream, service).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            shared,
            accepting: accepting.abort_handle(),
            ca_pem: String::new(),
        }
    }

    /// Returns `127.0.0.1:port`.
    pub(crate) fn host(&self) -> Host {
        self.address.to_string().parse().unwrap()
    }

    pub(crate) fn repository(&self, path: &str) -> Repository {
        Repository::new(self.host(), path.parse().unwrap())
    }

    /// Returns a URL of this server by its other name, which makes it another host for clients.
    pub(crate) fn other_name(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.address.port())
    }

    /// Returns all requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Returns `METHOD target` of all requests so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |asked: &Asked| format!("{} {}", asked.method, asked.target);
        self.asked().iter().map(line).collect()
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = io::Error>>, io::Error> {
    let (head, mut body) = request.into_parts();
    let target = head.uri.path_and_query().unwrap().to_string();
    let mut asked = Asked {
        method: head.method,
        target,
        headers: head.headers,
        body: Vec::new(),
        version: head.version,
    };
    if asked.target == "/v2/" {
        return Ok(Reply::new(200).into_http());
    }
    let number = {
        let mut log = shared.asked.lock().unwrap();
        log.push(asked.clone());
        log.len() - 1
    };
    let cut_at = (shared.scissors)(&asked, number);
    while let Some(frame) = body.frame().await {
        // A request that the client breaks off gets no answer.
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            asked.body.extend_from_slice(&data);
        }
        if cut_at.is_some_and(|at| asked.body.len() >= at) {
            break;
        }
    }
    shared.asked.lock().unwrap()[number].body = asked.body.clone();
    let reply = (shared.script)(&asked, number);
    if reply.head == Head::Silence {
        std::future::pending::<()>().await;
    }
    if cut_at.is_some() || reply.head == Head::HangUp {
        return Err(io::Error::other("cut by the test"));
    }
    Ok(reply.into_http())
}
