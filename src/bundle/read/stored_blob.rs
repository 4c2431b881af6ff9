//! Reads a carried blob from its extents, without parsing the tar.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::{Carried, ChunkKind, chunk_path};
use crate::sys;
use crate::sys::media::Media;

/// Bytes read at once.
const PIECE: u64 = 1 << 20;

/// A range of bytes in a file of the medium.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    path: String,
    offset: u64,
    length: u64,
}

/// A blob in a bundle. Verifies nothing: the caller hashes the bytes that it uses.
#[derive(Clone)]
pub(crate) struct StoredBlob {
    media: Arc<dyn Media>,
    runs: Vec<Run>,
}

impl StoredBlob {
    /// Creates a reader of the blob with these extents, which are in data chunks.
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

    /// Returns the ranges that remain after the blob's first `offset` bytes.
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

    /// Passes the bytes after the first `offset` to `take`, in pieces, until it returns false.
    pub(crate) fn pieces_from(
        &self,
        offset: u64,
        take: impl FnMut(Bytes) -> bool,
    ) -> sys::Result<()> {
        read_runs(self.media.as_ref(), &self.runs_from(offset), take)
    }

    /// Passes the blob's bytes to `take`, in pieces, until it returns false.
    pub(crate) fn each_piece(&self, mut take: impl FnMut(&[u8]) -> bool) -> sys::Result<()> {
        read_runs(self.media.as_ref(), &self.runs, |piece| take(&piece))
    }

    /// Reads the whole blob, but at most its first `cap` bytes.
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

/// Passes the bytes of ranges to `take`, in pieces, until it returns false.
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
                return Err(sys::FileError::refused(
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
