//! Makes a blob of the bundle the source of an upload: bridges blocking reads to an asynchronous
//! stream.
//!
//! A blocking thread reads a few pieces ahead, and stops when the stream is dropped.

use std::io;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc;

use crate::bundle::read::StoredBlob;
use crate::registry::BlobSource;

/// Number of pieces that are read ahead.
const AHEAD: usize = 2;

impl BlobSource for StoredBlob {
    fn read_from(&self, offset: u64) -> BoxStream<'static, io::Result<Bytes>> {
        let (send, receive) = mpsc::channel(AHEAD);
        let blob = self.clone();
        tokio::task::spawn_blocking(move || {
            let listens = |piece| send.blocking_send(Ok(piece)).is_ok();
            if let Err(error) = blob.pieces_from(offset, listens) {
                // A closed channel means that the stream was dropped: the error is dropped too.
                let _ = send.blocking_send(Err(io::Error::other(error)));
            }
        });
        stream::unfold(receive, |mut receive| async move {
            let piece = receive.recv().await?;
            Some((piece, receive))
        })
        .boxed()
    }
}
