//! Request and response bodies, in pieces of limited size and with limited idle time.

use std::io::{self, Read as _};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::response::{ApiError, Body, Code};
use crate::sys::registry_store::{BlobReader, StoreError, Upload};

/// Bytes collected before they are written to the disk.
const BATCH: usize = 1 << 20;

/// How long received bytes wait for more before they are written. When a client that is slow or
/// stuck asks how far its upload has come, the bytes that it has sent should count.
const BATCH_DELAY: Duration = Duration::from_millis(250);

/// Bytes read from the disk at once.
const PIECE: u64 = 256 << 10;

/// Maximum bytes of a refused body that are read and dropped, so that the client sees the
/// refusal.
const DRAIN: u64 = 64 << 20;

/// How an incoming body ended.
#[derive(Debug)]
pub(super) enum End {
    /// It ended regularly.
    Whole,
    /// The client disconnected or sent nothing for too long; the bytes received are kept.
    Cut,
    /// It is longer than allowed.
    TooLong,
    /// It could not be written.
    Failed(StoreError),
}

/// An upload session after a body was received.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) upload: Upload,
    pub(super) bytes: u64,
    pub(super) end: End,
}

/// Next event of an incoming body.
enum Next {
    Data(Bytes),
    End,
    /// The client disconnected.
    Gone,
    /// Nothing arrived within the timeout.
    Silence,
}

async fn next(body: &mut Incoming, patience: Duration) -> Next {
    loop {
        match timeout(patience, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Next::Data(data);
                }
            }
            Ok(None) => return Next::End,
            Ok(Some(Err(_))) => return Next::Gone,
            Err(_) => return Next::Silence,
        }
    }
}

/// Appends a body of at most `room` bytes to an upload session and syncs it.
pub(super) async fn receive(
    body: &mut Incoming,
    mut upload: Upload,
    room: u64,
    patience: Duration,
) -> Result<Received, ApiError> {
    let mut bytes = 0_u64;
    loop {
        let mut batch = Vec::new();
        let mut batched = 0_usize;
        let mut end = None;
        while batched < BATCH && end.is_none() {
            let wait = match batch.is_empty() {
                true => patience,
                false => patience.min(BATCH_DELAY),
            };
            match next(body, wait).await {
                Next::Data(data) => {
                    bytes = bytes.saturating_add(data.len() as u64);
                    batched = batched.saturating_add(data.len());
                    batch.push(data);
                    if bytes > room {
                        end = Some(End::TooLong);
                    }
                }
                Next::End => end = Some(End::Whole),
                Next::Silence if !batch.is_empty() => break,
                Next::Gone | Next::Silence => end = Some(End::Cut),
            }
        }
        if let Some(End::TooLong) = end {
            let end = End::TooLong;
            return Ok(Received { upload, bytes, end });
        }
        let last = end.is_some();
        let written;
        (upload, written) = spawn_blocking(move || {
            let result = batch.iter().try_for_each(|data| upload.append(data));
            let result = match last {
                true => result.and_then(|()| upload.sync()),
                false => result,
            };
            (upload, result)
        })
        .await
        .map_err(|error| ApiError::internal(error.to_string()))?;
        if let Err(error) = written {
            let end = End::Failed(error);
            return Ok(Received { upload, bytes, end });
        }
        if let Some(end) = end {
            return Ok(Received { upload, bytes, end });
        }
    }
}

/// Reads a small body into memory.
pub(super) async fn collect(
    body: &mut Incoming,
    limit: u64,
    patience: Duration,
) -> Result<Vec<u8>, ApiError> {
    let too_large = || {
        let message = format!("A manifest has at most {limit} bytes");
        ApiError::new(Code::ManifestTooLarge, message)
    };
    if body.size_hint().lower() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    loop {
        match next(body, patience).await {
            Next::End => return Ok(bytes),
            Next::Data(data) => bytes.extend_from_slice(&data),
            Next::Gone | Next::Silence => {
                return Err(ApiError::new(Code::SizeInvalid, "The body was cut short"));
            }
        }
        if bytes.len() as u64 > limit {
            return Err(too_large());
        }
    }
}

/// Reads and drops the rest of a refused body: a client that is still sending would otherwise see
/// a reset connection instead of the answer.
pub(super) async fn drain(body: &mut Incoming, patience: Duration) {
    let mut bytes = 0_u64;
    while bytes < DRAIN && !body.is_end_stream() {
        match next(body, patience).await {
            Next::Data(data) => bytes = bytes.saturating_add(data.len() as u64),
            Next::End | Next::Gone | Next::Silence => return,
        }
    }
}

/// Streams `length` bytes of a blob from the reader's position.
pub(super) fn stream(reader: BlobReader, length: u64) -> Body {
    let pieces = futures_util::stream::try_unfold((reader, length), |(reader, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let read = move || read_piece(reader, left.min(PIECE));
        let (reader, piece) = spawn_blocking(read).await.map_err(io::Error::other)??;
        let left = left.saturating_sub(piece.len() as u64);
        Ok::<_, io::Error>(Some((Frame::data(piece), (reader, left))))
    });
    BodyExt::boxed_unsync(StreamBody::new(pieces))
}

fn read_piece(mut reader: BlobReader, count: u64) -> io::Result<(BlobReader, Bytes)> {
    let mut piece = Vec::new();
    (&mut reader).take(count).read_to_end(&mut piece)?;
    match piece.is_empty() {
        true => Err(io::ErrorKind::UnexpectedEof.into()),
        false => Ok((reader, piece.into())),
    }
}
