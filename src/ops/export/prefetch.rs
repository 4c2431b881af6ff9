//! Fetches small blobs of a lane into memory before their turn. On a line with high latency their
//! requests wait in parallel instead of one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio_util::task::AbortOnDropHandle;

use super::sources::{Failed, Sources};
use crate::bundle::write::lane::LaneBlob;

/// Largest blob that is fetched ahead, in bytes. Larger ones are fetched in parallel parts where
/// that is faster.
const SMALL: u64 = 4 << 20;

/// Number of blobs after the current one that are considered, for each lane.
const AHEAD: usize = 16;

/// Limit of prefetched bytes in memory, for all lanes together. An interrupted run loses them and
/// fetches them again.
const AHEAD_BYTES: u64 = 16 << 20;

/// Result of fetching a small blob ahead.
pub(super) struct Fetched {
    pub(super) pieces: Vec<Bytes>,
    /// Ok if the blob is whole; else the next place continues after these pieces.
    pub(super) end: std::result::Result<(), Failed>,
}

/// The task that fetches a small blob ahead.
pub(super) type Prefetching = AbortOnDropHandle<Fetched>;

/// Prefetched blobs of one lane, in lane order.
pub(super) struct Prefetch {
    sources: Arc<Sources>,
    fetching: VecDeque<(usize, u64, Prefetching)>,
    next: usize,
    /// Bytes that may still be fetched.
    room: u64,
}

impl Prefetch {
    /// Prefetches for one of `lanes` lanes, from its blob number `next` on.
    pub(super) fn of(sources: Arc<Sources>, lanes: usize, next: usize) -> Self {
        Self {
            sources,
            fetching: VecDeque::new(),
            next,
            room: AHEAD_BYTES / (lanes.max(1) as u64),
        }
    }

    /// Starts downloads of the small blobs among the next ones, while memory allows.
    pub(super) fn fill(&mut self, blobs: &[LaneBlob], current: usize) {
        self.next = self.next.max(current);
        while self.next < blobs.len() && self.next <= current + AHEAD {
            let index = self.next;
            let Some(blob) = blobs.get(index).copied() else {
                return;
            };
            let is_small = blob.size <= SMALL;
            let skipped = self.sources.skipped.contains(&blob.digest);
            let is_fetched = !self.sources.is_made(&blob) && !skipped;
            if is_small && is_fetched && blob.size > self.room && !self.fetching.is_empty() {
                return;
            }
            self.next += 1;
            if is_small && is_fetched && blob.size <= self.room {
                self.room -= blob.size;
                let sources = Arc::clone(&self.sources);
                let task = tokio::spawn(async move { fetch(&sources, blob).await });
                let fetching = AbortOnDropHandle::new(task);
                self.fetching.push_back((index, blob.size, fetching));
            }
        }
    }

    /// Returns the download of the blob with this number, if it was started.
    pub(super) fn take(&mut self, index: usize) -> Option<Prefetching> {
        let (first, size, _) = self.fetching.front()?;
        if *first != index {
            return None;
        }
        self.room += size;
        self.fetching.pop_front().map(|(.., fetching)| fetching)
    }
}

/// Fetches a blob into memory, from its first place.
async fn fetch(sources: &Sources, blob: LaneBlob) -> Fetched {
    let mut pieces = Vec::new();
    let end = collect(sources, blob, &mut pieces).await;
    Fetched { pieces, end }
}

async fn collect(
    sources: &Sources,
    blob: LaneBlob,
    pieces: &mut Vec<Bytes>,
) -> std::result::Result<(), Failed> {
    let failed = |error| sources.failed(error);
    let Some(place) = sources.places(&blob).first() else {
        return Err(Failed::no_source());
    };
    let opened = sources.client.blob(place, blob.digest, blob.size, 0);
    let mut download = opened.await.map_err(failed)?;
    while let Some(bytes) = download.next().await.map_err(failed)? {
        pieces.push(bytes);
    }
    Ok(())
}
