//! Reads blobs that were made by this program, for a lane.

use std::sync::Arc;

use bytes::Bytes;

use crate::bundle::write::made;
use crate::error::Result;
use crate::model::Digest;
use crate::ops::blocking;
use crate::sys::media::{Media, ReadAt};

/// Bytes per read.
const PIECE: usize = 1 << 20;

/// Reads a made blob in pieces, starting at an offset.
pub(super) struct Reading {
    file: Arc<dyn ReadAt>,
    offset: u64,
}

impl Reading {
    /// Opens a blob for reading from `offset`.
    pub(super) async fn open(media: &Arc<dyn Media>, digest: Digest, offset: u64) -> Result<Self> {
        let media = Arc::clone(media);
        let file = Arc::from(blocking(move || made::open(media.as_ref(), &digest)).await?);
        Ok(Self { file, offset })
    }

    /// Returns the next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        let bytes = blocking(move || {
            let mut bytes = vec![0; PIECE];
            let read = file.read_at(&mut bytes, offset)?;
            bytes.truncate(read);
            Ok(bytes)
        });
        let bytes = bytes.await?;
        self.offset += bytes.len() as u64;
        Ok((!bytes.is_empty()).then(|| bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;
    use crate::format::hash::sha256;
    use crate::sys::media::DirMedia;

    #[tokio::test]
    async fn a_blob_is_read_from_where_it_was_left() {
        let directory = tempfile::tempdir().unwrap();
        let media: Arc<dyn Media> = Arc::new(DirMedia::open(directory.path()).unwrap());
        let digest = sha256(b"abc");
        media.make_dir("export.made").unwrap();
        media
            .write_atomically(&made::path(&digest), b"abc")
            .unwrap();
        let mut reading = Reading::open(&media, digest, 1).await.unwrap();
        assert_eq!(reading.next().await.unwrap().unwrap(), "bc");
        assert!(reading.next().await.unwrap().is_none());
        let missing = Reading::open(&media, sha256(b""), 0).await.err().unwrap();
        assert_eq!(missing.class(), Class::Media);
    }
}
