//! A blob to be uploaded, and the result of its upload.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::session::{SessionStore, UploadSession};
use crate::model::{Digest, Repository};

/// Source of an upload's bytes. May be read several times.
pub trait BlobSource: Send + Sync {
    /// The blob's bytes from `offset` to its end.
    fn read_from(&self, offset: u64) -> BoxStream<'static, io::Result<Bytes>>;
}

/// Called with the position of an upload, in bytes from the blob's beginning. The position
/// decreases when a piece is sent again.
pub type PositionListener = Arc<dyn Fn(u64) + Send + Sync>;

/// A blob to be uploaded.
pub struct BlobUpload<'a> {
    /// The target's repository.
    pub repository: &'a Repository,
    /// The blob's digest.
    pub digest: Digest,
    /// The blob's size in bytes.
    pub size: u64,
    /// Source of its bytes.
    pub source: &'a dyn BlobSource,
    /// Store for its session.
    pub sessions: &'a dyn SessionStore,
    /// The session that a mount left ([`Mount::Upload`](super::Mount::Upload)), if any.
    pub session: Option<UploadSession>,
    /// Called with the upload's position.
    pub listener: PositionListener,
}

impl fmt::Debug for BlobUpload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobUpload")
            .field("repository", &self.repository)
            .field("digest", &self.digest)
            .field("size", &self.size)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Result of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploaded {
    /// Bytes that an earlier run had sent.
    pub resumed_at: u64,
    /// Bytes that this run has sent and the registry has acknowledged, repetitions included.
    pub sent: u64,
}
