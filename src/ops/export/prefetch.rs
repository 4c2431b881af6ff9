//! Small blobs of a lane, fetched into memory before their turn: where a line is slow to answer,
//! their requests wait beside each other and not one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio_util::task::AbortOnDropHandle;

use super::sources::{Failed, Sources};
use crate::bundle::write::lane::LaneBlob;

/// Blobs up to this size in bytes are fetched ahead of their turn. Larger ones come in parts
/// where that is faster.
const SMALL: u64 = 4 << 20;

/// How many blobs are looked at ahead of their turn, for each lane.
const AHEAD: usize = 16;

/// Bytes that wait in memory for their turn, for all lanes together. They are fetched again after
/// an interruption.
const AHEAD_BYTES: u64 = 16 << 20;

/// What came of a small blob before its turn.
pub(super) struct Fetched {
    pub(super) pieces: Vec<Bytes>,
    /// Whether that is all of it; if not, the next place goes on behind it.
    pub(super) end: std::result::Result<(), Failed>,
}

/// A small blob that is being fetched before its turn.
pub(super) type Prefetching = AbortOnDropHandle<Fetched>;

/// Small blobs on their way, in lane order.
pub(super) struct Prefetch {
    sources: Arc<Sources>,
    fetching: VecDeque<(usize, u64, Prefetching)>,
    next: usize,
    /// Bytes that may be fetched besides.
    room: u64,
}

impl Prefetch {
    /// For one of `lanes` lanes, from its blob number `next` on.
    pub(super) fn of(sources: Arc<Sources>, lanes: usize, next: usize) -> Self {
        Self {
            sources,
            fetching: VecDeque::new(),
            next,
            room: AHEAD_BYTES / (lanes.max(1) as u64),
        }
    }

    /// Starts downloads of the small blobs among the next ones.
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

    /// The blob with this number, if it is being fetched.
    pub(super) fn take(&mut self, index: usize) -> Option<Prefetching> {
        let (first, size, _) = self.fetching.front()?;
        if *first != index {
            return None;
        }
        self.room += size;
        self.fetching.pop_front().map(|(.., fetching)| fetching)
    }
}

/// Fetches a blob into memory, from the first place.
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
        return Err(Failed::nobody());
    };
    let opened = sources.client.blob(place, blob.digest, blob.size, 0);
    let mut download = opened.await.map_err(failed)?;
    while let Some(bytes) = download.next().await.map_err(failed)? {
        pieces.push(bytes);
    }
    Ok(())
}
