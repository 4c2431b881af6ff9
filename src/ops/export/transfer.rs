//! Transfers blobs from registries to the medium: feeds the writer of every lane.
//!
//! A lane's order is fixed, so that the bundle's bytes do not depend on timing. Only small blobs
//! are fetched ahead; they wait in memory for their turn. The writer confirms each blob, so that a
//! wrong one is fetched again at the same position.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::made::Reading;
use super::prefetch::{Prefetch, Prefetching};
use super::sources::{Failed, RepositoryQueue, Sources};
use crate::bundle::write::LaneTarget;
use crate::bundle::write::lane::{Continue, FinishedLane, LaneBlob, LaneWriter};
use crate::bundle::write::made::lost;
use crate::error::{Class, Error, Result};
use crate::model::{Digest, PlanId, Repository};
use crate::ops::context::Context;
use crate::plan::export::Cursor;
use crate::progress::{Event, Phase};
use crate::sys;
use crate::sys::journal::Recovered;

/// Pieces of a blob that may wait between network and disk, for each lane.
const QUEUE: usize = 16;

/// Result of the transfer: written lanes and missing blobs.
#[derive(Debug, Default)]
pub(super) struct Transferred {
    pub(super) lanes: Vec<FinishedLane>,
    /// Blobs that were given up, with the reason.
    pub(super) missing: Vec<(Digest, String)>,
}

/// State shared by all lanes.
pub(super) struct Transfer {
    pub(super) sources: Arc<Sources>,
    pub(super) plan_id: PlanId,
    pub(super) target: LaneTarget,
    pub(super) recovered: Recovered,
    pub(super) context: Context,
    pub(super) missing: Mutex<Vec<(Digest, String)>>,
}

/// Message from a feeder to its writer.
enum Feed {
    /// Begins a blob, at its first byte.
    Begin(LaneBlob),
    /// The next bytes of the blob.
    Data(Bytes),
    /// Ends the blob; the writer answers true if the digest matches.
    End(oneshot::Sender<bool>),
    /// Removes the written bytes of the blob, and records it as skipped.
    GiveUp(Digest),
    /// Ends the lane.
    Done,
}

impl Transfer {
    /// Runs all lanes to their end. If one lane has to stop, all stop, and the data written so far
    /// becomes durable.
    pub(super) async fn run(self: Arc<Self>, cursors: Vec<Cursor>) -> Result<Transferred> {
        let (_, bytes) = self.sources.plan.to_fetch();
        let items = self
            .sources
            .plan
            .content
            .lanes
            .iter()
            .map(|lane| lane.blobs.len() as u64)
            .sum();
        let phase = Phase::Download;
        self.context.emit(Event::PhaseStarted {
            phase,
            items,
            bytes,
        });
        let mut writers = Vec::new();
        let mut feeders = tokio::task::JoinSet::new();
        for (number, cursor) in cursors.into_iter().enumerate() {
            let blobs = Arc::new(self.lane_blobs(number));
            let (feed, fed) = mpsc::channel(QUEUE);
            let (ready, start) = oneshot::channel();
            let (this, lane) = (Arc::clone(&self), Arc::clone(&blobs));
            writers.push(tokio::task::spawn_blocking(move || {
                this.write_lane(&lane, cursor, ready, fed)
            }));
            let this = Arc::clone(&self);
            feeders.spawn(async move {
                match start.await {
                    Ok(start) => this.feed_lane(&blobs, start, &feed).await,
                    // The writer failed; its own error is reported below.
                    Err(_) => Ok(()),
                }
            });
        }
        let mut stopped = None;
        loop {
            let ended = tokio::select! {
                ended = feeders.join_next() => ended,
                () = self.context.cancel.cancelled(), if stopped.is_none() => {
                    stopped = Some(Error::interrupted());
                    feeders.abort_all();
                    continue;
                }
            };
            match ended {
                None => break,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => {
                    stopped.get_or_insert(error);
                    feeders.abort_all();
                }
                Some(Err(join)) if join.is_cancelled() => {}
                Some(Err(join)) => {
                    stopped.get_or_insert(Error::internal("A download task failed", join));
                    feeders.abort_all();
                }
            }
        }
        let mut lanes = Vec::new();
        for writer in writers {
            match writer.await {
                Ok(Ok(Some(lane))) => lanes.push(lane),
                Ok(Ok(None)) => {}
                // A writer's error replaces a feeder's: a full disk causes the broken channel.
                Ok(Err(error)) => stopped = Some(error.into()),
                Err(join) => stopped = Some(Error::internal("A writer failed", join)),
            }
        }
        if let Some(error) = stopped {
            return Err(error);
        }
        self.context.emit(Event::PhaseFinished { phase });
        let missing = std::mem::take(&mut *self.missing());
        Ok(Transferred { lanes, missing })
    }

    fn missing(&self) -> std::sync::MutexGuard<'_, Vec<(Digest, String)>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane_blobs(&self, number: usize) -> Vec<LaneBlob> {
        let lane = self.sources.plan.content.lanes.get(number);
        let digests = lane.map(|lane| lane.blobs.as_slice()).unwrap_or_default();
        let known = |digest: &Digest| {
            let size = self.sources.plan.blob(digest)?.size;
            Some(LaneBlob {
                digest: *digest,
                size,
            })
        };
        digests.iter().filter_map(known).collect()
    }

    /// Runs the blocking half of a lane. Returns `None` if it was stopped before its end.
    fn write_lane(
        &self,
        blobs: &[LaneBlob],
        cursor: Cursor,
        ready: oneshot::Sender<Continue>,
        mut fed: mpsc::Receiver<Feed>,
    ) -> sys::Result<Option<FinishedLane>> {
        let recovered = self.recovered.clone();
        let mut writer = LaneWriter::new(self.target.clone(), self.plan_id, cursor, recovered);
        let start = writer.replay(blobs, &self.sources.skipped, |blob, offset| {
            if offset > 0 {
                let item = event_name(blob);
                self.started(blob, &item, offset);
                if offset == blob.size {
                    self.finished(&item, true);
                }
            }
        })?;
        if ready.send(start).is_err() {
            return Ok(None);
        }
        while let Some(feed) = fed.blocking_recv() {
            match feed {
                Feed::Begin(blob) => writer.begin_blob(blob)?,
                Feed::Data(bytes) => writer.write(&bytes)?,
                Feed::End(answer) => {
                    let right = writer.end_blob()?;
                    // A closed channel means that the feeder was stopped; `blocking_recv` ends the
                    // loop next.
                    let _ = answer.send(right);
                }
                Feed::GiveUp(digest) => {
                    writer.remove_blob()?;
                    self.target.journal_skip(&digest)?;
                }
                Feed::Done => return writer.finish().map(Some),
            }
        }
        writer.pause().map(|()| None)
    }

    /// Runs the asynchronous half of a lane.
    async fn feed_lane(
        self: &Arc<Self>,
        blobs: &[LaneBlob],
        start: Continue,
        feed: &mpsc::Sender<Feed>,
    ) -> Result<()> {
        let mut ahead = Prefetch::of(
            Arc::clone(&self.sources),
            self.sources.plan.content.lanes.len(),
            start.index + 1,
        );
        for (index, blob) in blobs.iter().enumerate().skip(start.index) {
            if self.sources.skipped.contains(&blob.digest) {
                continue;
            }
            ahead.fill(blobs, index);
            let offset = if index == start.index {
                start.offset
            } else {
                0
            };
            let to = BlobFeed::new(blob, feed);
            let fed = if self.sources.is_made(blob) {
                self.feed_made(&to, offset).await
            } else {
                self.feed_blob(&to, offset, ahead.take(index)).await
            };
            match fed {
                Ok(()) => self.finished(&to.item, true),
                Err(Failed::Stop(error)) => return Err(error),
                Err(Failed::Blob(reason)) => {
                    self.finished(&to.item, false);
                    self.missing().push((blob.digest, reason));
                    send(feed, Feed::GiveUp(blob.digest)).await?;
                }
            }
        }
        send(feed, Feed::Done).await
    }

    /// Asks one place after the other for the blob. Bytes sent before a failure are kept and the
    /// next place continues after them; the digest is checked at the end.
    async fn feed_blob(
        &self,
        to: &BlobFeed<'_>,
        mut offset: u64,
        mut fetched: Option<Prefetching>,
    ) -> std::result::Result<(), Failed> {
        let BlobFeed { blob, feed, .. } = *to;
        let mut places = RepositoryQueue::of(self.sources.places(blob));
        while let Some(place) = places.next() {
            if offset == 0 {
                self.started(blob, &to.item, 0);
                send(feed, Feed::Begin(*blob)).await?;
            }
            let fed = match fetched.take() {
                Some(fetching) => {
                    let fetched = fetching.await.map_err(|_| stopped())?;
                    for bytes in fetched.pieces {
                        offset += bytes.len() as u64;
                        self.send_data(to, bytes).await?;
                    }
                    fetched.end
                }
                None => self.feed_from(place, to, &mut offset).await?,
            };
            if let Err(failed) = fed {
                places.failed(failed);
                continue;
            }
            let (answer, right) = oneshot::channel();
            send(feed, Feed::End(answer)).await?;
            if right.await.map_err(|_| Failed::Stop(stopped()))? {
                return Ok(());
            }
            places.sent_wrong_bytes(place);
            self.sources.client.keep_blobs_whole(&place.host);
            offset = 0;
        }
        Err(places.into_failure())
    }

    /// Feeds a made blob from the medium. There is no other copy, so the run stops without it.
    async fn feed_made(&self, to: &BlobFeed<'_>, offset: u64) -> std::result::Result<(), Failed> {
        let BlobFeed { blob, feed, .. } = *to;
        if offset == 0 {
            self.started(blob, &to.item, 0);
            send(feed, Feed::Begin(*blob)).await?;
        }
        let mut reading = Reading::open(&self.target.media, blob.digest, offset).await?;
        while let Some(bytes) = reading.next().await? {
            self.send_data(to, bytes).await?;
        }
        let (answer, right) = oneshot::channel();
        send(feed, Feed::End(answer)).await?;
        match right.await.map_err(|_| Failed::Stop(stopped()))? {
            true => Ok(()),
            false => Err(Failed::Stop(lost(
                &blob.digest,
                "its content does not match the digest in its name",
            ))),
        }
    }

    /// Feeds a blob from one place, beginning at `offset`, and advances `offset`. The inner error
    /// concerns this place, the outer one ends the run.
    async fn feed_from(
        &self,
        place: &Repository,
        to: &BlobFeed<'_>,
        offset: &mut u64,
    ) -> Result<std::result::Result<(), Failed>> {
        let blob = to.blob;
        let opened = self
            .sources
            .client
            .blob(place, blob.digest, blob.size, *offset);
        let mut download = match opened.await {
            Ok(download) => download,
            Err(error) => return Ok(Err(self.sources.failed(error))),
        };
        loop {
            match download.next().await {
                Ok(Some(bytes)) => {
                    *offset += bytes.len() as u64;
                    self.send_data(to, bytes).await?;
                }
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(self.sources.failed(error))),
            }
        }
    }

    async fn send_data(&self, to: &BlobFeed<'_>, bytes: Bytes) -> Result<()> {
        let length = bytes.len() as u64;
        send(to.feed, Feed::Data(bytes)).await?;
        self.context.emit(Event::ItemAdvanced {
            phase: Phase::Download,
            item: Arc::clone(&to.item),
            bytes: length,
        });
        Ok(())
    }

    fn started(&self, blob: &LaneBlob, item: &Arc<str>, bytes_cached: u64) {
        self.context.emit(Event::ItemStarted {
            phase: Phase::Download,
            item: Arc::clone(item),
            bytes: blob.size,
            bytes_cached,
        });
    }

    fn finished(&self, item: &Arc<str>, ok: bool) {
        self.context.emit(Event::ItemFinished {
            phase: Phase::Download,
            item: Arc::clone(item),
            ok,
        });
    }
}

/// A blob on its way to a lane's writer.
struct BlobFeed<'a> {
    blob: &'a LaneBlob,
    feed: &'a mpsc::Sender<Feed>,
    /// Name of the blob in events, made once for all its pieces.
    item: Arc<str>,
}

impl<'a> BlobFeed<'a> {
    fn new(blob: &'a LaneBlob, feed: &'a mpsc::Sender<Feed>) -> Self {
        let item = event_name(blob);
        Self { blob, feed, item }
    }
}

/// Returns the name of a blob in events.
fn event_name(blob: &LaneBlob) -> Arc<str> {
    blob.digest.to_string().into()
}

/// The error for a writer that ended early. The writer's own error replaces it.
fn stopped() -> Error {
    Error::new(Class::Media, "Writing to the medium stopped")
}

async fn send(feed: &mpsc::Sender<Feed>, message: Feed) -> Result<()> {
    feed.send(message).await.map_err(|_| stopped())
}
