//! Lets a blocking thread read the bytes that an asynchronous task fetches.

use std::error::Error;
use std::io::{self, Read};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// Returns a blocking reader of the pieces that arrive through a channel. An error sent by the
/// task is wrapped in the `io::Error`; `downcast` gives it back.
pub(crate) fn blocking_reader<E: Into<Box<dyn Error + Send + Sync>> + 'static>(
    runtime: Handle,
    mut pieces: mpsc::Receiver<Result<Bytes, E>>,
) -> impl Read {
    let pieces = stream::poll_fn(move |context| pieces.poll_recv(context));
    SyncIoBridge::new_with_handle(StreamReader::new(pieces.map_err(io::Error::other)), runtime)
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
