//! The body of an upload: a piece of a blob that is hashed while it is sent.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use sha2::{Digest as _, Sha256};

use super::gate::Flow;
use super::length::length;
use crate::model::Digest;
use crate::registry::locks::lock;

/// Signs of life of a body that the HTTP library is sending.
#[derive(Debug, Default)]
pub(super) struct Activity {
    bytes: AtomicU64,
    finished: AtomicBool,
}

impl Activity {
    /// Bytes that were handed over.
    pub(in crate::registry) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether all bytes were.
    pub(in crate::registry) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }
}

/// Why a body was broken off by ourselves.
#[derive(Debug)]
pub(in crate::registry) enum Flaw {
    /// The source cannot be read.
    Read(io::Error),
    /// The source has fewer bytes than promised; here is how many it had.
    Short(u64),
    /// The source's bytes have this digest instead.
    Digest(Digest),
}

/// What the body leaves behind, whatever became of the request.
#[derive(Debug, Default)]
struct Trace {
    hasher: Sha256,
    flaw: Option<Flaw>,
}

/// The sender's hold on a body that is gone.
#[derive(Debug, Clone)]
pub(in crate::registry) struct PieceTrace(Arc<Mutex<Trace>>);

impl PieceTrace {
    /// Why the body was broken off, if it was.
    pub(in crate::registry) fn flaw(&self) -> Option<Flaw> {
        lock(&self.0).flaw.take()
    }

    /// The hasher with all bytes that were handed over.
    pub(in crate::registry) fn hasher(&self) -> Sha256 {
        lock(&self.0).hasher.clone()
    }
}

/// A window of a blob.
pub(in crate::registry) struct Window {
    /// The blob's bytes from `offset` on; may have more than the window.
    pub(in crate::registry) bytes: BoxStream<'static, io::Result<Bytes>>,
    /// Where the window begins.
    pub(in crate::registry) offset: u64,
    /// Bytes in the window.
    pub(in crate::registry) length: u64,
    /// The hash of what stands before the window.
    pub(in crate::registry) hasher: Sha256,
    /// The digest that must come out at the window's end, where the request itself makes the
    /// blob visible: the last bytes are held back until it is right.
    pub(in crate::registry) must_be: Option<Digest>,
    /// Is told of every position reached.
    pub(in crate::registry) listener: Arc<dyn Fn(u64) + Send + Sync>,
}

/// A body that can be sent once.
pub(in crate::registry) struct PieceBody {
    window: Window,
    activity: Arc<Activity>,
    trace: PieceTrace,
}

impl fmt::Debug for PieceBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceBody")
            .field("offset", &self.window.offset)
            .field("length", &self.window.length)
            .finish_non_exhaustive()
    }
}

impl PieceBody {
    pub(in crate::registry) fn new(window: Window) -> Self {
        let trace = Trace {
            hasher: window.hasher.clone(),
            flaw: None,
        };
        Self {
            window,
            activity: Arc::default(),
            trace: PieceTrace(Arc::new(Mutex::new(trace))),
        }
    }

    pub(in crate::registry) fn length(&self) -> u64 {
        self.window.length
    }

    pub(super) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    pub(in crate::registry) fn trace(&self) -> PieceTrace {
        self.trace.clone()
    }

    pub(super) fn into_body(self, flow: Option<Flow>) -> reqwest::Body {
        reqwest::Body::wrap_stream(self.into_stream(flow))
    }

    fn into_stream(
        self,
        flow: Option<Flow>,
    ) -> impl stream::Stream<Item = io::Result<Bytes>> + Send + 'static {
        let outgoing = Outgoing {
            body: self,
            flow,
            read: Bytes::new(),
            done: 0,
        };
        stream::try_unfold(outgoing, |mut outgoing| async move {
            let next = outgoing.next().await?;
            Ok(next.map(|bytes| (bytes, outgoing)))
        })
    }

    /// The source's next bytes, of the `left` ones that are wanted; `done` came before them.
    async fn read(&mut self, done: u64, left: u64) -> io::Result<Bytes> {
        let mut bytes = loop {
            match self.window.bytes.next().await {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => break bytes,
                Some(Err(error)) => return Err(self.flawed(Flaw::Read(error))),
                None => {
                    let got = self.window.offset.saturating_add(done);
                    return Err(self.flawed(Flaw::Short(got)));
                }
            }
        };
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    /// Hashes bytes that are handed over next, behind `done` others.
    fn hand_over(&self, bytes: &Bytes, done: u64) -> io::Result<()> {
        lock(&self.trace.0).hasher.update(bytes);
        let done = done.saturating_add(length(bytes));
        if done == self.window.length {
            let actual = Digest::from_bytes(self.trace.hasher().finalize().into());
            if self.window.must_be.is_some_and(|digest| digest != actual) {
                return Err(self.flawed(Flaw::Digest(actual)));
            }
            self.activity.finished.store(true, Ordering::Relaxed);
        }
        self.activity.bytes.store(done, Ordering::Relaxed);
        (self.window.listener)(self.window.offset.saturating_add(done));
        Ok(())
    }

    /// Keeps why, and gives the HTTP library a reason to break the request off.
    fn flawed(&self, flaw: Flaw) -> io::Error {
        lock(&self.trace.0).flaw = Some(flaw);
        io::Error::other("the upload's source is not as promised")
    }
}

/// A body while the HTTP library takes it.
struct Outgoing {
    body: PieceBody,
    flow: Option<Flow>,
    /// What was read and not handed over yet.
    read: Bytes,
    /// Bytes of the window that were handed over.
    done: u64,
}

impl Outgoing {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let left = self.body.window.length.saturating_sub(self.done);
        if left == 0 {
            self.body.activity.finished.store(true, Ordering::Relaxed);
            return Ok(None);
        }
        if self.read.is_empty() {
            self.read = self.body.read(self.done, left).await?;
        }
        let bytes = match &self.flow {
            Some(flow) => flow.next_piece(&mut self.read).await,
            None => std::mem::take(&mut self.read),
        };
        self.body.hand_over(&bytes, self.done)?;
        self.done = self.done.saturating_add(length(&bytes));
        Ok(Some(bytes))
    }
}

/// Hashes a window without sending it.
pub(in crate::registry) async fn hash_window(window: Window) -> std::result::Result<Sha256, Flaw> {
    let body = PieceBody::new(window);
    let trace = body.trace();
    let mut stream = std::pin::pin!(body.into_stream(None));
    while stream.next().await.is_some() {}
    match trace.flaw() {
        Some(flaw) => Err(flaw),
        None => Ok(trace.hasher()),
    }
}
