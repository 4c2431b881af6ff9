//! One blob over several connections: the rest of a large blob in parts, each asked for by its
//! own request, delivered in order.
//!
//! Where packets get lost on a long way, one TCP stream has a throughput that falls with the
//! time of a round trip, whatever the line could carry (Mathis et al. 1997); several streams
//! together have several times that. On other lines parts gain nothing and cost requests. So a
//! download begins as one, and is divided when its stream is slow and much is left; whether that
//! helped is remembered for the registry, and where it did not, the rest comes as one again.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::CONTENT_RANGE;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::ranges::{ByteRange, ContentRange};
use crate::model::{Digest, Host};
use crate::registry::client::{Client, Verdict};
use crate::registry::error::{Error, Result};
use crate::registry::http::length;
use crate::registry::places::Endpoint;

/// Bytes of one part. Each waits in memory until it is its turn.
const PART: u64 = 1 << 20;

/// Parts that are on their way or wait, at most.
const AT_ONCE: usize = 12;

/// Bytes that came in parts, and of the stream beside the first of them, before it is judged
/// whether they help: the first ones all come at about the same time.
const ENOUGH_TO_TELL: u64 = 12 * PART;

/// Bytes for which the stream goes on beside the first parts: while their connections come about
/// the line would be idle.
const LEAD: u64 = PART;

/// Less than this many bytes are not divided.
const WORTH_DIVIDING: u64 = LEAD + 3 * PART;

/// Waiting for a stream that is long enough to know how fast it is.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

/// Waiting for the rest at a stream's rate that is worth several requests. On a slow line that
/// loses nothing they cost two seconds before that is known.
const TOO_LONG: Duration = Duration::from_secs(10);

/// Parts have helped when so many percent of the stream's rate came of them.
const GAIN: u128 = 130;

/// How fast something came: bytes, and the time for which they were waited for.
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

    /// Whether a stream of this speed would take too long for `left` bytes more.
    fn is_too_slow_for(self, left: u64) -> bool {
        if self.waited < LONG_ENOUGH {
            return false;
        }
        let rest = self.waited.as_micros().saturating_mul(u128::from(left))
            / u128::from(self.bytes).max(1);
        rest > TOO_LONG.as_micros()
    }

    /// Whether this is more than `other` by enough.
    fn is_well_above(self, other: Self) -> bool {
        let own = u128::from(self.bytes).saturating_mul(other.waited.as_micros());
        let others = u128::from(other.bytes).saturating_mul(self.waited.as_micros());
        own.saturating_mul(100) >= others.saturating_mul(GAIN)
    }
}

/// Whether the rest of a blob should come in parts: `left` bytes, after a stream of this speed.
pub(super) fn should_divide(known: Option<Verdict>, stream: Speed, left: u64) -> bool {
    let wanted = match known {
        Some(Verdict::Useless) => false,
        Some(Verdict::Helps) => true,
        None => stream.is_too_slow_for(left),
    };
    wanted && left >= WORTH_DIVIDING
}

impl Client {
    /// Whether blobs of `host` come faster in parts, as far as that is known.
    pub(super) fn dividing(&self, host: &Host) -> Option<Verdict> {
        self.host(host).dividing
    }

    pub(super) fn set_dividing(&self, host: &Host, verdict: Verdict) {
        self.learn(host, |facts| facts.dividing = Some(verdict));
    }

    /// Blobs of `host` are no longer fetched in parts: what came of one had the wrong digest, and
    /// parts may be why.
    pub fn keep_blobs_whole(&self, host: &Host) {
        self.set_dividing(host, Verdict::Useless);
    }
}

/// What is divided.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    pub(super) client: Client,
    pub(super) place: Endpoint,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// Parts on their way.
#[derive(Debug)]
pub(super) struct Parts {
    whole: Whole,
    /// Where the first part begins.
    begin: u64,
    /// Where the first part that was not asked for begins.
    next: u64,
    /// Where the last part ends.
    end: u64,
    asked: VecDeque<AbortOnDropHandle<Result<Bytes>>>,
    /// The stream's speed before.
    before: Speed,
    speed: Speed,
}

impl Parts {
    /// Everything from `position` on in parts, or from a little later where a stream `goes_on`.
    pub(super) fn new(whole: Whole, position: u64, goes_on: bool, before: Speed) -> Self {
        let lead = if goes_on { LEAD } else { 0 };
        let begin = position.saturating_add(lead).min(whole.size);
        Self {
            begin,
            end: whole.size,
            whole,
            next: begin,
            asked: VecDeque::new(),
            before,
            speed: Speed::default(),
        }
    }

    /// What the stream has to bring before the first part, at `position`.
    pub(super) fn lead(&self, position: u64) -> u64 {
        self.begin.saturating_sub(position)
    }

    /// Counts what the stream brought.
    pub(super) fn count(&mut self, bytes: u64, waited: Duration) {
        self.speed.count(bytes, waited);
    }

    /// Sends as many requests as there may be.
    pub(super) fn ask(&mut self) {
        while self.asked.len() < AT_ONCE && self.next < self.end {
            let end = self.next.saturating_add(PART).min(self.end);
            let (whole, first) = (self.whole.clone(), self.next);
            let task = tokio::spawn(async move { whole.part(first, end).await });
            self.asked.push_back(AbortOnDropHandle::new(task));
            self.next = end;
        }
    }

    /// The next part. `None` at the end, which is before the blob's where parts do not help, and
    /// when there is no telling what became of a part.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        self.ask();
        let Some(first) = self.asked.front_mut() else {
            return Ok(None);
        };
        let began = Instant::now();
        let part = first.await;
        // Not before: whoever stops waiting for it finds it still the next one.
        self.asked.pop_front();
        let Ok(part) = part else {
            return Ok(None);
        };
        let part = part?;
        self.speed.count(length(&part), began.elapsed());
        Ok(Some(part))
    }

    /// Whether parts help, as far as that can be told. No more are asked for when they do not.
    pub(super) fn judge(&mut self) -> Option<Verdict> {
        if self.before.waited < LONG_ENOUGH || self.speed.bytes < ENOUGH_TO_TELL {
            return None;
        }
        if self.speed.is_well_above(self.before) {
            Some(Verdict::Helps)
        } else {
            self.end = self.next;
            Some(Verdict::Useless)
        }
    }
}

impl Whole {
    /// Fetches the bytes from `first` to before `end`, and asks a second time when the answer
    /// broke off: that is no reason to throw the parts beside it away. With everything else the
    /// download deals, which has the budget of attempts.
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
        response.refuse_encoding()?;
        if !response.status().is_success() {
            return Err(response.into_error().await);
        }
        let range = response.text(CONTENT_RANGE).and_then(ContentRange::parse);
        let is_it = |range: ContentRange| {
            let total = range.total.is_none_or(|total| total == self.size);
            range.first == first && range.last == last && total
        };
        if response.status() != 206 || !range.is_some_and(is_it) {
            return Err(response.unexpected("it is not the part that was asked for"));
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
            return Err(response.unexpected("it is longer than it says"));
        }
        Ok(part.freeze())
    }
}

#[cfg(test)]
mod tests;
