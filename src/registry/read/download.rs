//! Reading blobs: a stream that survives broken connections and continues where it was. Where it
//! is slow, what is left of a large blob comes in parts. `download_way` decides what comes after
//! each failure.
//!
//! What is delivered has the right length; whether it has the right digest is the caller's to
//! find out, over the bytes that it uses.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::CONTENT_RANGE;
use tokio::time::{Instant, timeout};

use super::download_way::{Division, DownloadWay, Event, Next, Trouble};
use super::parts::{Parts, Speed, Whole, should_divide};
use super::ranges::{ByteRange, ContentRange, blob_name, unsatisfied_total};
use crate::model::{Digest, Host, Repository};
use crate::registry::client::{Client, Verdict};
use crate::registry::error::{Error, Result};
use crate::registry::http::{Budget, Response, length};
use crate::registry::places::Endpoint;

/// Bytes that are collected before they are delivered: hand-overs of less cost more than
/// hashing does.
const PIECE: usize = 64 << 10;

/// Most bytes that are delivered at a time: callers may queue several pieces.
const LARGEST_PIECE: usize = 4 * PIECE;

/// Fewest requests at a time with which blobs are divided.
const ROOM_FOR_PARTS: usize = 8;

/// How long a stream waits for the first part to come beside it.
const FIRST_PART: Duration = Duration::from_secs(10);

/// A blob on its way.
#[derive(Debug)]
pub struct BlobDownload {
    /// The blob, and the place from which it comes.
    whole: Whole,
    repository: Repository,
    /// Places that can be asked when this one fails.
    others: VecDeque<Endpoint>,
    budget: Budget,
    /// Bytes of the blob received, and those before the first asked for.
    position: u64,
    collected: BytesMut,
    supply: Supply,
    way: DownloadWay,
    /// The speed of the stream from this place.
    speed: Speed,
}

/// What bytes come from.
#[derive(Debug, Default)]
enum Supply {
    /// Nothing is open.
    #[default]
    Closed,
    Stream(Body),
    /// The stream brings what stands before the first part, and is let go when that came.
    Beside(Body, Parts),
    /// Parts alone. Where bytes before the first part are missing, a stream is opened beside them.
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

    /// Takes the stream out while it is read: if the task is stopped then, what it read is lost, and
    /// the stream must not be gone on with.
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

    /// Lets parts go, and keeps a stream.
    fn leave_parts(&mut self) {
        *self = match std::mem::take(self) {
            Self::Closed | Self::Parts(_) => Self::Closed,
            Self::Stream(body) | Self::Beside(body, _) => Self::Stream(body),
        };
    }
}

/// A failure that the download may overcome.
#[derive(Debug)]
struct Setback {
    error: Error,
    /// Whether it is the answer to a request for the rest.
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

/// The rest of a response.
#[derive(Debug)]
struct Body {
    response: Response,
    /// Bytes before the position, to be thrown away.
    discard: u64,
    /// Bytes behind the position that came already.
    ahead: Bytes,
}

impl Client {
    /// Begins to read a blob at `offset`; `size` is what its descriptor says.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when no place has it; [`Error::SizeMismatch`] when the registry's
    /// has another size, or `offset` lies behind its end.
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
            whole: Whole {
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

/// Whether blobs may be divided: what is slowed down on purpose gets no faster, and among few
/// requests at a time the streams of other blobs leave no room for parts.
fn division(client: &Client) -> Division {
    let settings = client.http().settings();
    let few = |jobs: NonZeroUsize| jobs.get() < ROOM_FOR_PARTS;
    match settings.limit_rate.is_some() || settings.jobs.is_some_and(few) {
        true => Division::Off,
        false => Division::ALLOWED,
    }
}

impl BlobDownload {
    /// Where the blob comes from at the moment: the repository asked for, or a mirror.
    pub fn fetched_from(&self) -> &Repository {
        &self.whole.place.repository
    }

    /// The next bytes, 64 to 256 KiB unless they are the last; `None` at the end, which is at
    /// exactly the blob's size.
    ///
    /// # Errors
    ///
    /// [`Error::SizeMismatch`] when the registry has more or fewer bytes; whatever was still
    /// wrong at the last attempt.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        self.divide();
        while self.position < self.whole.size && self.collected.len() < PIECE {
            if let Err(setback) = self.advance().await {
                self.recover(setback).await?;
            }
        }
        if self.position == self.whole.size
            && let Some(body) = self.supply.take_stream()
        {
            self.finish(body).await?;
        }
        let most = self.collected.len().min(LARGEST_PIECE);
        let piece = self.collected.split_to(most).freeze();
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// Goes over to parts where they are likely to be faster.
    fn divide(&mut self) {
        if !self.way.may_divide() || self.supply.parts().is_some() {
            return;
        }
        let known = self.whole.client.dividing(self.host());
        let left = self.whole.size.saturating_sub(self.position);
        if should_divide(known, self.speed, left) {
            let stream = self.supply.take_stream();
            let goes_on = stream.is_some();
            let parts = Parts::new(self.whole.clone(), self.position, goes_on, self.speed);
            self.supply = match stream {
                Some(body) => Supply::Beside(body, parts),
                None => Supply::Parts(parts),
            };
        }
    }

    /// Takes what comes next, in one way or the other.
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

    /// Takes the next part. The stream beside is let go when a part has come as it should, and not
    /// before.
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
            Err(_) => (Ok(None), Some(Verdict::Useless)),
        };
        let part = match came {
            Ok(part) => part,
            Err(error) => {
                self.leave_parts(beside, &error);
                return Ok(());
            }
        };
        if let Some(verdict) = verdict {
            self.whole.client.set_dividing(self.host(), verdict);
        }
        let Some(part) = part else {
            self.supply.leave_parts();
            self.way.after(Event::PartsEnded { beside });
            return Ok(());
        };
        drop(self.supply.take_stream());
        self.way.after(Event::PartCame);
        self.found();
        self.take(&part)
    }

    /// Falls back to a stream after a failed part. That is not counted as a failure: a real fault
    /// will recur on the stream.
    fn leave_parts(&mut self, beside: bool, error: &Error) {
        self.supply.leave_parts();
        let lasting = error.is_too_many() || !error.is_transient();
        self.way.after(Event::PartFailed { beside, lasting });
        // A registry that gets a part wrong gets those of other blobs wrong, too.
        if matches!(error, Error::Protocol { .. }) {
            let client = &self.whole.client;
            client.set_dividing(self.host(), Verdict::Useless);
        }
    }

    /// Takes what comes next of the stream, or opens one. One that fails is let go.
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
                expected: self.whole.size,
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

    /// Keeps the blob's next bytes.
    fn take(&mut self, bytes: &Bytes) -> Result<()> {
        let position = self.position.saturating_add(length(bytes));
        if position > self.whole.size {
            return Err(self.wrong_size(position));
        }
        self.position = position;
        self.collected.extend_from_slice(bytes);
        self.way.after(Event::Received);
        self.budget.progressed();
        Ok(())
    }

    /// Makes sure that nothing follows. That the connection breaks now does not matter.
    async fn finish(&self, mut body: Body) -> Result<()> {
        if body.response.content_length().is_some() {
            return Ok(());
        }
        while let Ok(Some(chunk)) = body.response.chunk().await {
            if !chunk.is_empty() {
                let size = self.whole.size.saturating_add(length(&chunk));
                return Err(self.wrong_size(size));
            }
        }
        Ok(())
    }

    /// Sends one request for the bytes that are wanted. There is still no stream when all has to be
    /// asked for instead.
    async fn open(&mut self) -> std::result::Result<(), Setback> {
        let ranged = self.way.is_ranged(self.position);
        if ranged {
            self.way.after(Event::RestAskedFor);
        }
        match self.request(ranged).await {
            Ok(Some(body)) => {
                self.found();
                self.supply.put_stream(body);
                self.way.after(Event::Opened);
                Ok(())
            }
            Ok(None) => {
                self.way.after(Event::NoRange);
                Ok(())
            }
            Err(error) => Err(Setback { error, ranged }),
        }
    }

    /// Goes on as `download_way` decides: asks again, pauses before that, or moves on to the next
    /// place. Parts beside a stream that failed are left: they would wait for what it did not bring.
    async fn recover(&mut self, setback: Setback) -> Result<()> {
        let Setback { error, ranged } = setback;
        let trouble = Trouble::of(&error);
        let next = self.way.after(Event::Failed { trouble, ranged });
        if next == Next::GoOn {
            return Ok(());
        }
        self.supply = Supply::Closed;
        self.speed = Speed::default();
        if next == Next::AskAnew {
            return Ok(());
        }
        let Err(error) = self.budget.spend(error).await else {
            return Ok(());
        };
        match self.way.after(Event::Exhausted(trouble)) {
            Next::OtherPlace => self.move_on(error),
            _ => Ok(()),
        }
    }

    /// Moves on to the next place, if there is one.
    fn move_on(&mut self, error: Error) -> Result<()> {
        let Some(next) = self.others.pop_front() else {
            return Err(error);
        };
        let client = &self.whole.client;
        client.failed_at(&self.whole.place, &error);
        self.way = self.way.at_other_place(division(client));
        self.budget = client.budget_at(
            blob_name(&next.repository, &self.whole.digest),
            self.others.is_empty(),
        );
        self.whole.place = next;
        Ok(())
    }

    /// Remembers that the place has the blob.
    fn found(&self) {
        let client = &self.whole.client;
        client.found_at(&self.repository, &self.whole.place);
    }

    fn host(&self) -> &Host {
        &self.whole.place.repository.host
    }

    /// One request. `None` when the registry cannot do ranges and has to be asked for all.
    async fn request(&self, ranged: bool) -> Result<Option<Body>> {
        let wanted = match ranged {
            true => ByteRange::From(self.position),
            false => ByteRange::All,
        };
        let Whole {
            client,
            place,
            digest,
            size,
        } = &self.whole;
        let asked = client.blob_bytes(place, digest, wanted, *size);
        let response = asked.await?;
        response.refuse_encoding()?;
        match response.status().as_u16() {
            200 => {
                // A registry may ignore ranges: then what is known already comes again.
                if let Some(found) = response.content_length().filter(|n| n != size) {
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
                    return Err(response.unexpected("its Content-Range is not understood"));
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
                // It says how much the registry has, where it says anything.
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
            what: blob_name(&self.whole.place.repository, &self.whole.digest),
            expected: self.whole.size,
            actual,
        }
    }
}
