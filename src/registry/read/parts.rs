//! One blob over several connections: the rest of a large blob is divided into parts, each
//! fetched by a request of its own and delivered in order.
//!
//! On a long line that loses packets, the throughput of one TCP stream falls as the round-trip
//! time grows, whatever the line's capacity (Mathis et al. 1997); several streams together have
//! several times that throughput. On other lines parts gain nothing and cost requests. So a
//! download begins as one stream, and is divided when the stream is slow and much is left.
//! Whether that helped is remembered for the registry; if it did not, the rest comes as one
//! stream again.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::CONTENT_RANGE;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::ranges::{ByteRange, ContentRange};
use crate::model::{Digest, Host};
use crate::registry::client::{Client, PartsVerdict};
use crate::registry::error::{Error, Result};
use crate::registry::http::length;
use crate::registry::places::Endpoint;

/// Size of a part in bytes. Each part stays in memory until it is delivered.
const PART: u64 = 1 << 20;

/// Maximum number of parts that are being fetched or wait for delivery.
const AT_ONCE: usize = 12;

/// Bytes received (in parts, and from the stream beside the first of them) before the parts are
/// judged: the first parts all arrive at about the same time, which says nothing about their
/// rate.
const ENOUGH_TO_TELL: u64 = 12 * PART;

/// Bytes still read from the stream while the parts' connections open.
const LEAD: u64 = PART;

/// Minimum bytes left for dividing a blob.
const WORTH_DIVIDING: u64 = LEAD + 3 * PART;

/// Minimum time spent on a stream before its rate is trusted.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

/// A blob is divided if the rest would take longer than this at the stream's rate. On a slow line
/// that loses no packets the trial costs two seconds.
const TOO_LONG: Duration = Duration::from_secs(10);

/// Minimum rate of parts, in percent of the single stream's, to keep dividing.
const GAIN: u128 = 130;

/// A measured rate: bytes, and the time spent waiting for them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Speed {
    bytes: u64,
    waited: Duration,
}

impl Speed {
    pub(super) fn count(&mut self, bytes: u64, waited: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.waited = self.waited.saturating_add(waited);
    }

    /// True if a stream of this speed would take too long for `left` bytes more.
    fn is_too_slow_for(self, left: u64) -> bool {
        if self.waited < LONG_ENOUGH {
            return false;
        }
        let rest = self.waited.as_micros().saturating_mul(u128::from(left))
            / u128::from(self.bytes).max(1);
        rest > TOO_LONG.as_micros()
    }

    /// True if this rate is at least [`GAIN`] percent of `other`.
    fn is_faster_by_gain(self, other: Self) -> bool {
        let own = u128::from(self.bytes).saturating_mul(other.waited.as_micros());
        let others = u128::from(other.bytes).saturating_mul(self.waited.as_micros());
        own.saturating_mul(100) >= others.saturating_mul(GAIN)
    }
}

/// True if the rest of a blob should come in parts: `left` bytes, after a stream of this speed.
pub(super) fn should_divide(known: Option<PartsVerdict>, stream: Speed, left: u64) -> bool {
    let wanted = match known {
        Some(PartsVerdict::NotFaster) => false,
        Some(PartsVerdict::Faster) => true,
        None => stream.is_too_slow_for(left),
    };
    wanted && left >= WORTH_DIVIDING
}

impl Client {
    /// Returns the verdict on fetching blobs of `host` in parts, if there is one.
    pub(super) fn parts_verdict(&self, host: &Host) -> Option<PartsVerdict> {
        self.host(host).parts_verdict
    }

    pub(super) fn set_parts_verdict(&self, host: &Host, verdict: PartsVerdict) {
        self.learn(host, |facts| facts.parts_verdict = Some(verdict));
    }

    /// Stops fetching blobs of `host` in parts: a blob had the wrong digest, and parts may be the
    /// reason.
    pub fn keep_blobs_whole(&self, host: &Host) {
        self.set_parts_verdict(host, PartsVerdict::NotFaster);
    }
}

/// The blob that is divided.
#[derive(Debug, Clone)]
pub(super) struct PlacedBlob {
    pub(super) client: Client,
    pub(super) place: Endpoint,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// The parts of one blob that are being fetched.
#[derive(Debug)]
pub(super) struct Parts {
    blob: PlacedBlob,
    /// Offset of the first part.
    begin: u64,
    /// Offset of the first part that was not requested yet.
    next: u64,
    /// Offset of the end of the last part.
    end: u64,
    asked: VecDeque<AbortOnDropHandle<Result<Bytes>>>,
    /// Rate of the stream before the parts.
    before: Speed,
    speed: Speed,
}

impl Parts {
    /// Divides everything from `position` on, or from a little later if a stream `goes_on`.
    pub(super) fn new(blob: PlacedBlob, position: u64, goes_on: bool, before: Speed) -> Self {
        let lead = if goes_on { LEAD } else { 0 };
        let begin = position.saturating_add(lead).min(blob.size);
        Self {
            begin,
            end: blob.size,
            blob,
            next: begin,
            asked: VecDeque::new(),
            before,
            speed: Speed::default(),
        }
    }

    /// Returns the bytes that the stream must still deliver before the first part.
    pub(super) fn lead(&self, position: u64) -> u64 {
        self.begin.saturating_sub(position)
    }

    /// Counts bytes that the stream delivered beside the parts.
    pub(super) fn count(&mut self, bytes: u64, waited: Duration) {
        self.speed.count(bytes, waited);
    }

    /// Sends as many requests as are allowed.
    pub(super) fn ask(&mut self) {
        while self.asked.len() < AT_ONCE && self.next < self.end {
            let end = self.next.saturating_add(PART).min(self.end);
            let (blob, first) = (self.blob.clone(), self.next);
            let task = tokio::spawn(async move { blob.part(first, end).await });
            self.asked.push_back(AbortOnDropHandle::new(task));
            self.next = end;
        }
    }

    /// Returns the next part. `None` after the last one, which is before the blob's end if parts
    /// do not help, and if the task of a part ended without a result.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        self.ask();
        let Some(first) = self.asked.front_mut() else {
            return Ok(None);
        };
        let began = Instant::now();
        let part = first.await;
        // Pop only after the await: if this future is cancelled, the part must stay at the front.
        self.asked.pop_front();
        let Ok(part) = part else {
            return Ok(None);
        };
        let part = part?;
        self.speed.count(length(&part), began.elapsed());
        Ok(Some(part))
    }

    /// Returns the verdict on parts, if there is enough to judge. If they do not help, no more
    /// parts are requested.
    pub(super) fn judge(&mut self) -> Option<PartsVerdict> {
        if self.before.waited < LONG_ENOUGH || self.speed.bytes < ENOUGH_TO_TELL {
            return None;
        }
        if self.speed.is_faster_by_gain(self.before) {
            Some(PartsVerdict::Faster)
        } else {
            self.end = self.next;
            Some(PartsVerdict::NotFaster)
        }
    }
}

impl PlacedBlob {
    /// Fetches the bytes from `first` to before `end`, and tries a second time if the answer
    /// broke off, so that the parts beside it need not be fetched again. Other failures are left
    /// to the download, which has the retry budget.
    async fn part(&self, first: u64, end: u64) -> Result<Bytes> {
        match self.ask_for(first, end).await {
            Err(error) if error.is_broken_off() => self.ask_for(first, end).await,
            answered => answered,
        }
    }

    async fn ask_for(&self, first: u64, end: u64) -> Result<Bytes> {
        let (expected, last) = (end.saturating_sub(first), end.saturating_sub(1));
        let wanted = ByteRange::Part { first, last };
        let client = &self.client;
        let asked = client.blob_bytes(&self.place, &self.digest, wanted, self.size);
        let mut response = asked.await?;
        if !response.status().is_success() {
            return Err(response.into_error().await);
        }
        let range = response.text(CONTENT_RANGE).and_then(ContentRange::parse);
        let is_it = |range: ContentRange| {
            let total = range.total.is_none_or(|total| total == self.size);
            range.first == first && range.last == last && total
        };
        if response.status() != 206 || !range.is_some_and(is_it) {
            return Err(response.unexpected("it is not the requested byte range"));
        }
        let mut part = BytesMut::new();
        while length(&part) < expected {
            let Some(chunk) = response.chunk().await? else {
                return Err(Error::Ended {
                    url: response.shown(),
                    got: first.saturating_add(length(&part)),
                    expected: self.size,
                });
            };
            part.extend_from_slice(&chunk);
        }
        if length(&part) > expected {
            return Err(response.unexpected("it is longer than its Content-Range"));
        }
        Ok(part.freeze())
    }
}

#[cfg(test)]
mod tests;
