//! The body of an upload: a piece of a blob that is hashed while it is sent.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use sha2::{Digest as _, Sha256};

use super::host_limit::Throttle;
use super::length::length;
use crate::model::Digest;
use crate::registry::locks::lock;

/// Progress of a body that the HTTP library is sending.
#[derive(Debug, Default)]
pub(super) struct Activity {
    bytes: AtomicU64,
    finished: AtomicBool,
}

impl Activity {
    /// Returns the number of bytes handed to the HTTP library.
    pub(in crate::registry) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// True if all bytes were handed over.
    pub(in crate::registry) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }
}

/// Reason for which this side stopped sending a body.
#[derive(Debug)]
pub(in crate::registry) enum SourceFault {
    /// The source cannot be read.
    Read(io::Error),
    /// The source has fewer bytes than promised; the value is the offset at which it ended.
    Short(u64),
    /// The source's bytes have this digest instead of the expected one.
    Digest(Digest),
}

/// State of a body that outlives the request.
#[derive(Debug, Default)]
struct BodyState {
    hasher: Sha256,
    fault: Option<SourceFault>,
}

/// The sender's access to the state of a body after the HTTP library consumed it.
#[derive(Debug, Clone)]
pub(in crate::registry) struct PieceTrace(Arc<Mutex<BodyState>>);

impl PieceTrace {
    /// Returns the reason for which the body was stopped, if it was.
    pub(in crate::registry) fn fault(&self) -> Option<SourceFault> {
        lock(&self.0).fault.take()
    }

    /// Returns the hasher over the bytes before the window and all bytes handed over.
    pub(in crate::registry) fn hasher(&self) -> Sha256 {
        lock(&self.0).hasher.clone()
    }
}

/// A contiguous range of a blob that is sent in one request.
pub(in crate::registry) struct Window {
    /// The blob's bytes from `offset` on; the stream may be longer than the window.
    pub(in crate::registry) bytes: BoxStream<'static, io::Result<Bytes>>,
    /// Offset of the window in the blob.
    pub(in crate::registry) offset: u64,
    /// Length of the window in bytes.
    pub(in crate::registry) length: u64,
    /// Hasher over all bytes before the window.
    pub(in crate::registry) hasher: Sha256,
    /// Expected digest of the blob at the window's end, for a request that makes the blob visible
    /// by itself. The last bytes are sent only if it matches.
    pub(in crate::registry) expected_digest: Option<Digest>,
    /// Called with the offset in the blob after every hand-over.
    pub(in crate::registry) listener: Arc<dyn Fn(u64) + Send + Sync>,
}

/// A request body that can be sent once.
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
        let trace = BodyState {
            hasher: window.hasher.clone(),
            fault: None,
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

    pub(super) fn into_body(self, throttle: Option<Throttle>) -> reqwest::Body {
        reqwest::Body::wrap_stream(self.into_stream(throttle))
    }

    fn into_stream(
        self,
        throttle: Option<Throttle>,
    ) -> impl stream::Stream<Item = io::Result<Bytes>> + Send + 'static {
        let outgoing = Outgoing {
            body: self,
            throttle,
            read: Bytes::new(),
            done: 0,
        };
        stream::try_unfold(outgoing, |mut outgoing| async move {
            let next = outgoing.next().await?;
            Ok(next.map(|bytes| (bytes, outgoing)))
        })
    }

    /// Returns the source's next bytes, at most `left`, which follow `done` bytes of the window.
    async fn read(&mut self, done: u64, left: u64) -> io::Result<Bytes> {
        let mut bytes = loop {
            match self.window.bytes.next().await {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => break bytes,
                Some(Err(error)) => return Err(self.stop(SourceFault::Read(error))),
                None => {
                    let got = self.window.offset.saturating_add(done);
                    return Err(self.stop(SourceFault::Short(got)));
                }
            }
        };
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    /// Hashes the bytes that are handed over next, after `done` bytes of the window.
    fn hand_over(&self, bytes: &Bytes, done: u64) -> io::Result<()> {
        lock(&self.trace.0).hasher.update(bytes);
        let done = done.saturating_add(length(bytes));
        if done == self.window.length {
            let actual = Digest::from_bytes(self.trace.hasher().finalize().into());
            if self
                .window
                .expected_digest
                .is_some_and(|digest| digest != actual)
            {
                return Err(self.stop(SourceFault::Digest(actual)));
            }
            self.activity.finished.store(true, Ordering::Relaxed);
        }
        self.activity.bytes.store(done, Ordering::Relaxed);
        (self.window.listener)(self.window.offset.saturating_add(done));
        Ok(())
    }

    /// Stores the reason, and returns an error on which the HTTP library aborts the request.
    fn stop(&self, fault: SourceFault) -> io::Error {
        lock(&self.trace.0).fault = Some(fault);
        io::Error::other("the upload's source has other bytes than expected")
    }
}

/// A body while the HTTP library consumes it.
struct Outgoing {
    body: PieceBody,
    throttle: Option<Throttle>,
    /// Bytes read from the source and not handed over yet.
    read: Bytes,
    /// Bytes of the window handed over so far.
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
        let bytes = match &self.throttle {
            Some(throttle) => throttle.next_piece(&mut self.read).await,
            None => std::mem::take(&mut self.read),
        };
        self.body.hand_over(&bytes, self.done)?;
        self.done = self.done.saturating_add(length(&bytes));
        Ok(Some(bytes))
    }
}

/// Hashes a window without sending it.
pub(in crate::registry) async fn hash_window(
    window: Window,
) -> std::result::Result<Sha256, SourceFault> {
    let body = PieceBody::new(window);
    let trace = body.trace();
    let mut stream = std::pin::pin!(body.into_stream(None));
    while stream.next().await.is_some() {}
    match trace.fault() {
        Some(fault) => Err(fault),
        None => Ok(trace.hasher()),
    }
}
