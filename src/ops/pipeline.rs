//! The bridge between blocking file access and asynchronous transfers.
//!
//! The only place where one meets the other on the reading side: a blocking thread reads ahead
//! by a few pieces, and stops when nobody listens any more; or it reads what tasks fetch.

use std::error::Error;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::model::{Carried, ChunkKind, chunk_path};
use crate::registry::BlobSource;
use crate::sys;
use crate::sys::media::Media;

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// Pieces that are read ahead.
const AHEAD: usize = 2;

/// A run of bytes in a file of the medium.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    path: String,
    offset: u64,
    length: u64,
}

/// A carried blob as the source of an upload. Nothing is verified here: who sends the bytes
/// hashes the very bytes that are sent.
pub(crate) struct StoredBlob {
    media: Arc<dyn Media>,
    runs: Vec<Run>,
}

impl StoredBlob {
    /// The blob stored in these extents of data chunks.
    pub(crate) fn new(media: Arc<dyn Media>, carried: &Carried) -> Self {
        let run = |extent: &crate::model::Extent| Run {
            path: chunk_path(extent.chunk, ChunkKind::Data),
            offset: extent.offset,
            length: extent.stored,
        };
        Self {
            media,
            runs: carried.extents.iter().map(run).collect(),
        }
    }

    /// What is left of the runs behind the blob's first `offset` bytes.
    fn runs_from(&self, mut offset: u64) -> Vec<Run> {
        let mut left = Vec::new();
        for run in &self.runs {
            let skipped = offset.min(run.length);
            offset -= skipped;
            if skipped < run.length {
                left.push(Run {
                    path: run.path.clone(),
                    offset: run.offset + skipped,
                    length: run.length - skipped,
                });
            }
        }
        left
    }

    /// Gives the blob's bytes piece by piece, until `take` has enough.
    pub(crate) fn each_piece(&self, mut take: impl FnMut(&[u8]) -> bool) -> sys::Result<()> {
        read_runs(self.media.as_ref(), &self.runs, |piece| take(&piece))
    }

    /// Reads the blob whole, or its first `cap` bytes.
    pub(crate) fn read(&self, cap: u64) -> sys::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        read_runs(self.media.as_ref(), &self.runs, |piece| {
            bytes.extend_from_slice(&piece);
            (bytes.len() as u64) < cap
        })?;
        bytes.truncate(usize::try_from(cap).unwrap_or(usize::MAX));
        Ok(bytes)
    }
}

impl BlobSource for StoredBlob {
    fn read_from(&self, offset: u64) -> BoxStream<'static, io::Result<Bytes>> {
        let (send, receive) = mpsc::channel(AHEAD);
        let (media, runs) = (Arc::clone(&self.media), self.runs_from(offset));
        tokio::task::spawn_blocking(move || {
            let listens = |piece| send.blocking_send(Ok(piece)).is_ok();
            if let Err(error) = read_runs(media.as_ref(), &runs, listens) {
                // Nobody listening means nobody to tell.
                let _ = send.blocking_send(Err(io::Error::other(error)));
            }
        });
        received(receive).boxed()
    }
}

/// What comes through a channel.
fn received<T>(mut channel: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    stream::poll_fn(move |context| channel.poll_recv(context))
}

/// Reads what a task sends, in a blocking thread. The task's error is what the `io::Error` holds.
pub(crate) fn blocking_reader<E: Into<Box<dyn Error + Send + Sync>> + 'static>(
    runtime: Handle,
    pieces: mpsc::Receiver<Result<Bytes, E>>,
) -> impl Read {
    let pieces = received(pieces).map_err(io::Error::other);
    SyncIoBridge::new_with_handle(StreamReader::new(pieces), runtime)
}

/// Reads runs piece by piece until `take` has enough.
fn read_runs(
    media: &dyn Media,
    runs: &[Run],
    mut take: impl FnMut(Bytes) -> bool,
) -> sys::Result<()> {
    for run in runs {
        let file = media.open(&run.path)?;
        let mut done = 0;
        while done < run.length {
            let wanted = usize::try_from(PIECE.min(run.length - done)).unwrap_or(0);
            let mut piece = vec![0; wanted];
            let read = file.read_at(&mut piece, run.offset + done)?;
            piece.truncate(read);
            if read < wanted {
                let why = "it ends before the blob does";
                return Err(sys::IoAt::refused(
                    "read",
                    media.root().join(&run.path),
                    why,
                ));
            }
            done += read as u64;
            if !take(Bytes::from(piece)) {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[test]
    fn a_reader_gives_what_was_sent_and_the_error_itself() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (send, receive) = mpsc::channel(4);
        for piece in [Ok(&b"ab"[..]), Ok(b""), Ok(b"c"), Err(fmt::Error)] {
            send.blocking_send(piece.map(Bytes::from_static)).unwrap();
        }
        drop(send);
        let mut reader = blocking_reader(runtime.handle().clone(), receive);
        let mut bytes = [0; 3];
        reader.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"abc");
        let error = reader.read(&mut bytes).unwrap_err();
        assert!(error.downcast::<fmt::Error>().is_ok());
        assert_eq!(reader.read(&mut bytes).unwrap(), 0, "the end");
    }
}
