//! Downloads of blobs: a stream that continues after broken connections. If it is slow, the rest
//! of a large blob comes in parts. `download_way` decides what comes after each failure.
//!
//! The bytes delivered have the right length. The caller checks the digest, over the bytes that
//! it uses.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::CONTENT_RANGE;
use tokio::time::{Instant, timeout};

use super::download_way::{Division, DownloadEvent, DownloadFailure, DownloadWay, Next};
use super::parts::{Parts, PlacedBlob, Speed, should_divide};
use super::ranges::{ByteRange, ContentRange, blob_name, unsatisfied_total};
use crate::model::{Digest, Host, Repository};
use crate::registry::client::{Client, PartsVerdict};
use crate::registry::error::{Error, Result};
use crate::registry::http::{Budget, Response, length};
use crate::registry::places::Endpoint;

/// Bytes that are collected before they are delivered: for smaller pieces the hand-over would
/// cost more than the hashing.
const PIECE: usize = 64 << 10;

/// Maximum bytes delivered at a time, because callers may queue several pieces.
const LARGEST_PIECE: usize = 4 * PIECE;

/// Minimum limit on concurrent requests for dividing blobs.
const ROOM_FOR_PARTS: usize = 8;

/// How long a stream is kept open while the first part is awaited.
const FIRST_PART: Duration = Duration::from_secs(10);

/// A download in progress.
#[derive(Debug)]
pub struct BlobDownload {
    /// The blob, and the place from which it is read.
    blob: PlacedBlob,
    repository: Repository,
    /// Places left to ask if this one fails.
    others: VecDeque<Endpoint>,
    budget: Budget,
    /// Offset in the blob up to which bytes were received; it starts at the requested offset.
    position: u64,
    collected: BytesMut,
    supply: Supply,
    way: DownloadWay,
    /// Rate of the stream from this place.
    speed: Speed,
}

/// Sources of the next bytes.
#[derive(Debug, Default)]
enum Supply {
    /// No request is open.
    #[default]
    Closed,
    Stream(Body),
    /// A stream and parts. The stream delivers the bytes before the first part, and is dropped
    /// once that part arrives.
    Beside(Body, Parts),
    /// Parts only. If bytes before the first part are missing, a stream is opened beside them.
    Parts(Parts),
}

impl Supply {
    fn has_stream(&self) -> bool {
        matches!(self, Self::Stream(_) | Self::Beside(..))
    }

    fn parts(&mut self) -> Option<&mut Parts> {
        match self {
            Self::Beside(_, parts) | Self::Parts(parts) => Some(parts),
            Self::Closed | Self::Stream(_) => None,
        }
    }

    /// Takes the stream out while it is read: if this future is cancelled meanwhile, the bytes
    /// read are lost, and the stream must not be used any more.
    fn take_stream(&mut self) -> Option<Body> {
        let (body, left) = match std::mem::take(self) {
            Self::Closed => (None, Self::Closed),
            Self::Stream(body) => (Some(body), Self::Closed),
            Self::Beside(body, parts) => (Some(body), Self::Parts(parts)),
            Self::Parts(parts) => (None, Self::Parts(parts)),
        };
        *self = left;
        body
    }

    fn put_stream(&mut self, body: Body) {
        *self = match std::mem::take(self) {
            Self::Closed | Self::Stream(_) => Self::Stream(body),
            Self::Beside(_, parts) | Self::Parts(parts) => Self::Beside(body, parts),
        };
    }

    /// Drops the parts and keeps the stream.
    fn leave_parts(&mut self) {
        *self = match std::mem::take(self) {
            Self::Closed | Self::Parts(_) => Self::Closed,
            Self::Stream(body) | Self::Beside(body, _) => Self::Stream(body),
        };
    }
}

/// A failure from which the download may recover.
#[derive(Debug)]
struct Setback {
    error: Error,
    /// True if the failed request asked for the rest of the blob with a range.
    ranged: bool,
}

impl From<Error> for Setback {
    fn from(error: Error) -> Self {
        Self {
            error,
            ranged: false,
        }
    }
}

/// The unread rest of a response.
#[derive(Debug)]
struct Body {
    response: Response,
    /// Bytes before the download's position that are still to be skipped.
    discard: u64,
    /// Bytes that arrived beyond the start of the first part.
    ahead: Bytes,
}

impl Client {
    /// Begins to read a blob at `offset`; `size` is the size in its descriptor.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when no place has it; [`Error::SizeMismatch`] when the registry's blob
    /// has another size, or `offset` is beyond its end.
    pub async fn blob(
        &self,
        repository: &Repository,
        digest: Digest,
        size: u64,
        offset: u64,
    ) -> Result<BlobDownload> {
        let mut others: VecDeque<_> = self.places(repository, true)?.into();
        let place = others.pop_front().ok_or_else(|| Error::Blocked {
            repository: repository.to_string(),
        })?;
        let mut download = BlobDownload {
            budget: self.budget_at(blob_name(&place.repository, &digest), others.is_empty()),
            blob: PlacedBlob {
                client: self.clone(),
                place,
                digest,
                size,
            },
            repository: repository.clone(),
            others,
            position: offset,
            collected: BytesMut::new(),
            supply: Supply::Closed,
            way: DownloadWay::new(division(self)),
            speed: Speed::default(),
        };
        if offset > size {
            return Err(download.wrong_size(offset));
        }
        download.divide();
        while offset < size && matches!(download.supply, Supply::Closed) {
            if let Err(setback) = download.open().await {
                download.recover(setback).await?;
            }
        }
        Ok(download)
    }
}

/// Returns whether blobs may be divided. They are not under a rate limit, which no number of
/// connections can raise, nor with few concurrent requests, where the streams of other blobs
/// leave no room for parts.
fn division(client: &Client) -> Division {
    let settings = client.http().settings();
    let few = |jobs: NonZeroUsize| jobs.get() < ROOM_FOR_PARTS;
    match settings.limit_rate.is_some() || settings.jobs.is_some_and(few) {
        true => Division::Off,
        false => Division::ALLOWED,
    }
}

impl BlobDownload {
    /// Returns the repository from which the blob is read now: the one requested, or a mirror.
    pub fn fetched_from(&self) -> &Repository {
        &self.blob.place.repository
    }

    /// Returns the next bytes, 64 to 256 KiB unless they are the last; `None` at the end, exactly
    /// at the blob's size.
    ///
    /// # Errors
    ///
    /// [`Error::SizeMismatch`] when the registry has more or fewer bytes; else the error of the
    /// last attempt.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        self.divide();
        while self.position < self.blob.size && self.collected.len() < PIECE {
            if let Err(setback) = self.advance().await {
                self.recover(setback).await?;
            }
        }
        if self.position == self.blob.size
            && let Some(body) = self.supply.take_stream()
        {
            self.finish(body).await?;
        }
        let most = self.collected.len().min(LARGEST_PIECE);
        let piece = self.collected.split_to(most).freeze();
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// Switches to parts if they are likely to be faster.
    fn divide(&mut self) {
        if !self.way.may_divide() || self.supply.parts().is_some() {
            return;
        }
        let known = self.blob.client.parts_verdict(self.host());
        let left = self.blob.size.saturating_sub(self.position);
        if should_divide(known, self.speed, left) {
            let stream = self.supply.take_stream();
            let goes_on = stream.is_some();
            let parts = Parts::new(self.blob.clone(), self.position, goes_on, self.speed);
            self.supply = match stream {
                Some(body) => Supply::Beside(body, parts),
                None => Supply::Parts(parts),
            };
        }
    }

    /// Receives the next bytes, from the stream or in parts.
    async fn advance(&mut self) -> std::result::Result<(), Setback> {
        let Some(parts) = self.supply.parts() else {
            return self.receive().await;
        };
        if parts.lead(self.position) > 0 {
            parts.ask();
            return self.receive().await;
        }
        self.next_part().await.map_err(Setback::from)
    }

    /// Receives the next part. The stream beside it is dropped only once a part arrived
    /// correctly.
    async fn next_part(&mut self) -> Result<()> {
        let beside = self.supply.has_stream();
        let Some(parts) = self.supply.parts() else {
            return Ok(());
        };
        let came = match beside {
            true => timeout(FIRST_PART, parts.next()).await,
            false => Ok(parts.next().await),
        };
        let (came, verdict) = match came {
            Ok(came) => (came, parts.judge()),
            Err(_) => (Ok(None), Some(PartsVerdict::NotFaster)),
        };
        let part = match came {
            Ok(part) => part,
            Err(error) => {
                self.leave_parts(beside, &error);
                return Ok(());
            }
        };
        if let Some(verdict) = verdict {
            self.blob.client.set_parts_verdict(self.host(), verdict);
        }
        let Some(part) = part else {
            self.supply.leave_parts();
            self.way.after(DownloadEvent::PartsEnded { beside });
            return Ok(());
        };
        drop(self.supply.take_stream());
        self.way.after(DownloadEvent::PartCame);
        self.found();
        self.take(&part)
    }

    /// Falls back to one stream after a failed part. Spends no retry: a real fault will recur on
    /// the stream.
    fn leave_parts(&mut self, beside: bool, error: &Error) {
        self.supply.leave_parts();
        let lasting = error.is_too_many() || !error.is_transient();
        self.way
            .after(DownloadEvent::PartFailed { beside, lasting });
        // A registry that answers one part wrongly will do so for other blobs too.
        if matches!(error, Error::Protocol { .. }) {
            let client = &self.blob.client;
            client.set_parts_verdict(self.host(), PartsVerdict::NotFaster);
        }
    }

    /// Receives the next bytes of the stream, or opens one. A stream that fails is dropped.
    async fn receive(&mut self) -> std::result::Result<(), Setback> {
        let Some(mut body) = self.supply.take_stream() else {
            return self.open().await;
        };
        if self.supply.parts().is_none() && !body.ahead.is_empty() {
            let ahead = std::mem::take(&mut body.ahead);
            self.supply.put_stream(body);
            return self.take(&ahead).map_err(Setback::from);
        }
        let began = Instant::now();
        let Some(mut chunk) = body.response.chunk().await? else {
            return Err(Setback::from(Error::Ended {
                url: body.response.shown(),
                got: self.position,
                expected: self.blob.size,
            }));
        };
        let waited = began.elapsed();
        match self.supply.parts() {
            Some(parts) => parts.count(length(&chunk), waited),
            None => self.speed.count(length(&chunk), waited),
        }
        let skipped = body.discard.min(length(&chunk));
        body.discard -= skipped;
        let _ = chunk.split_to(usize::try_from(skipped).unwrap_or(chunk.len()));
        if let Some(parts) = self.supply.parts() {
            let lead = usize::try_from(parts.lead(self.position)).unwrap_or(usize::MAX);
            body.ahead = chunk.split_off(lead.min(chunk.len()));
        }
        if !chunk.is_empty() {
            self.take(&chunk)?;
        }
        self.supply.put_stream(body);
        Ok(())
    }

    /// Accepts the blob's next bytes.
    fn take(&mut self, bytes: &Bytes) -> Result<()> {
        let position = self.position.saturating_add(length(bytes));
        if position > self.blob.size {
            return Err(self.wrong_size(position));
        }
        self.position = position;
        self.collected.extend_from_slice(bytes);
        self.way.after(DownloadEvent::Received);
        self.budget.progressed();
        Ok(())
    }

    /// Checks that nothing follows the last byte. A connection that breaks now does not matter.
    async fn finish(&self, mut body: Body) -> Result<()> {
        if body.response.content_length().is_some() {
            return Ok(());
        }
        while let Ok(Some(chunk)) = body.response.chunk().await {
            if !chunk.is_empty() {
                let size = self.blob.size.saturating_add(length(&chunk));
                return Err(self.wrong_size(size));
            }
        }
        Ok(())
    }

    /// Sends one request for the bytes that are wanted. If the registry cannot do the range, no
    /// stream is open afterwards, and the next request asks for the whole blob.
    async fn open(&mut self) -> std::result::Result<(), Setback> {
        let ranged = self.way.is_ranged(self.position);
        if ranged {
            self.way.after(DownloadEvent::RestRequested);
        }
        match self.request(ranged).await {
            Ok(Some(body)) => {
                self.found();
                self.supply.put_stream(body);
                self.way.after(DownloadEvent::Opened);
                Ok(())
            }
            Ok(None) => {
                self.way.after(DownloadEvent::NoRange);
                Ok(())
            }
            Err(error) => Err(Setback { error, ranged }),
        }
    }

    /// Does what `download_way` decides: asks again, pauses first, or moves on to the next place.
    /// Parts beside a failed stream are dropped: they would wait for bytes that it did not
    /// deliver.
    async fn recover(&mut self, setback: Setback) -> Result<()> {
        let Setback { error, ranged } = setback;
        let failure = DownloadFailure::of(&error);
        let next = self.way.after(DownloadEvent::Failed { failure, ranged });
        if next == Next::Continue {
            return Ok(());
        }
        self.supply = Supply::Closed;
        self.speed = Speed::default();
        if next == Next::RequestAgain {
            return Ok(());
        }
        let Err(error) = self.budget.spend(error).await else {
            return Ok(());
        };
        match self.way.after(DownloadEvent::Exhausted(failure)) {
            Next::OtherPlace => self.move_on(error),
            _ => Ok(()),
        }
    }

    /// Moves on to the next place, or returns the error if there is none.
    fn move_on(&mut self, error: Error) -> Result<()> {
        let Some(next) = self.others.pop_front() else {
            return Err(error);
        };
        let client = &self.blob.client;
        client.warn_place_failed(&self.blob.place, &error);
        self.way = self.way.at_other_place(division(client));
        self.budget = client.budget_at(
            blob_name(&next.repository, &self.blob.digest),
            self.others.is_empty(),
        );
        self.blob.place = next;
        Ok(())
    }

    /// Remembers that the place has the blob.
    fn found(&self) {
        let client = &self.blob.client;
        client.remember_place(&self.repository, &self.blob.place);
    }

    fn host(&self) -> &Host {
        &self.blob.place.repository.host
    }

    /// Sends one request. `None` if the registry cannot do the range and the whole blob must be
    /// requested.
    async fn request(&self, ranged: bool) -> Result<Option<Body>> {
        let wanted = match ranged {
            true => ByteRange::From(self.position),
            false => ByteRange::All,
        };
        let PlacedBlob {
            client,
            place,
            digest,
            size,
        } = &self.blob;
        let asked = client.blob_bytes(place, digest, wanted, *size);
        let response = asked.await?;
        match response.status().as_u16() {
            200 => {
                // A registry may ignore the range: then the bytes before the position are sent
                // again.
                if let Some(found) = response.content_length().filter(|n| n != size) {
                    if let Some(encoding) = response.encoding() {
                        return Err(response.unexpected(format!(
                            "its body has {found} bytes, not {size}, and `Content-Encoding: \
                             {encoding}`, although that was not requested"
                        )));
                    }
                    return Err(self.wrong_size(found));
                }
                Ok(Some(Body {
                    response,
                    discard: self.position,
                    ahead: Bytes::new(),
                }))
            }
            206 if ranged => {
                let range = response.text(CONTENT_RANGE).and_then(ContentRange::parse);
                let Some(range) = range else {
                    return Err(response.unexpected("its Content-Range header is invalid"));
                };
                if let Some(total) = range.total.filter(|total| total != size) {
                    return Err(self.wrong_size(total));
                }
                if range.first != self.position {
                    return Err(Error::WrongOffset {
                        url: response.shown(),
                        wanted: self.position,
                        got: range.first,
                    });
                }
                Ok(Some(Body {
                    response,
                    discard: 0,
                    ahead: Bytes::new(),
                }))
            }
            416 if ranged => {
                // The header gives the size that the registry has, if it is there.
                let total = response.text(CONTENT_RANGE).and_then(unsatisfied_total);
                match total.filter(|total| total != size) {
                    Some(total) => Err(self.wrong_size(total)),
                    None => Ok(None),
                }
            }
            _ if response.status().is_success() => {
                Err(response.unexpected("its status does not fit the request"))
            }
            _ => Err(response.into_error().await),
        }
    }

    fn wrong_size(&self, actual: u64) -> Error {
        Error::SizeMismatch {
            what: blob_name(&self.blob.place.repository, &self.blob.digest),
            expected: self.blob.size,
            actual,
        }
    }
}
