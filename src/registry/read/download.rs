//! Reading blobs: a stream that survives broken connections and continues where it was. Where it
//! is slow, what is left of a large blob comes in parts.
//!
//! What is delivered has the right length; whether it has the right digest is the caller's to
//! find out, over the bytes that it uses.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::CONTENT_RANGE;
use tokio::time::{Instant, timeout};

use super::parts::{Parts, Speed, Whole, should_divide};
use super::ranges::{ByteRange, ContentRange, blob_name, unsatisfied_total};
use crate::model::{Digest, Repository};
use crate::registry::client::{Client, Verdict};
use crate::registry::error::{Error, Result};
use crate::registry::http::{Budget, Response, length};
use crate::registry::places::Endpoint;

/// Bytes that are collected before they are delivered: hand-overs of less cost more than
/// hashing does.
const PIECE: usize = 64 << 10;

/// Most bytes that are delivered at a time: whoever takes them may let some pieces wait.
const LARGEST_PIECE: usize = 4 * PIECE;

/// Requests at a time from which on some of them may be for parts.
const ROOM_FOR_PARTS: usize = 8;

/// Parts that may fail, one after the other, before the rest of a blob comes whole.
const MOST_FAILED_PARTS: u32 = 2;

/// How long a stream waits for the first part to come beside it.
const FIRST_PART: Duration = Duration::from_secs(10);

/// A blob on its way.
#[derive(Debug)]
pub struct BlobDownload {
    client: Client,
    repository: Repository,
    digest: Digest,
    size: u64,
    /// Bytes of the blob received, and those before the first asked for.
    position: u64,
    place: Endpoint,
    /// Places that can be asked when this one fails.
    others: VecDeque<Endpoint>,
    budget: Budget,
    body: Option<Body>,
    /// The speed of the stream from this place.
    speed: Speed,
    parts: Option<Parts>,
    /// The registry cannot do parts, or they are not wanted.
    stays_whole: bool,
    /// Parts that failed since one came.
    failed_parts: u32,
    /// The rest of the blob could not be had without what came before it.
    needs_all: bool,
    /// What became of asking for the rest, since bytes came.
    rest: Rest,
    collected: BytesMut,
    /// One answer of the wrong length was not believed.
    doubted: bool,
}

/// What became of asking for the rest of a blob.
#[derive(Debug, Default)]
struct Rest {
    /// It was asked for.
    was_asked_for: bool,
    /// It was not answered once.
    was_unanswered: bool,
    /// All was asked for after the last attempt.
    was_last: bool,
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
            client: self.clone(),
            repository: repository.clone(),
            digest,
            size,
            position: offset,
            place,
            others,
            body: None,
            speed: Speed::default(),
            parts: None,
            stays_whole: stays_whole(self),
            failed_parts: 0,
            needs_all: false,
            rest: Rest::default(),
            collected: BytesMut::new(),
            doubted: false,
        };
        if offset > size {
            return Err(download.wrong_size(offset));
        }
        download.divide();
        while offset < size && download.parts.is_none() && download.body.is_none() {
            if let Err(error) = download.open().await {
                download.recover(error).await?;
            }
        }
        Ok(download)
    }
}

/// Whether blobs are never divided: what is slowed down on purpose gets no faster, and among few
/// requests at a time the streams of other blobs leave no room for parts.
fn stays_whole(client: &Client) -> bool {
    let options = client.http().settings();
    let few = |jobs: NonZeroUsize| jobs.get() < ROOM_FOR_PARTS;
    options.limit_rate.is_some() || options.jobs.is_some_and(few)
}

impl BlobDownload {
    /// Where the blob comes from at the moment: the repository asked for, or a mirror.
    pub fn fetched_from(&self) -> &Repository {
        &self.place.repository
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
        while self.position < self.size && self.collected.len() < PIECE {
            if let Err(error) = self.advance().await {
                self.recover(error).await?;
            }
        }
        if self.position == self.size
            && let Some(body) = self.body.take()
        {
            self.finish(body).await?;
        }
        let most = self.collected.len().min(LARGEST_PIECE);
        let piece = self.collected.split_to(most).freeze();
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// Goes over to parts where that is worth it.
    fn divide(&mut self) {
        if self.stays_whole || self.parts.is_some() {
            return;
        }
        let known = self.client.dividing(&self.place.repository.host);
        let left = self.size.saturating_sub(self.position);
        if should_divide(known, self.speed, left) {
            let whole = Whole {
                client: self.client.clone(),
                place: self.place.clone(),
                digest: self.digest,
                size: self.size,
            };
            let goes_on = self.body.is_some();
            self.parts = Some(Parts::new(whole, self.position, goes_on, self.speed));
        }
    }

    /// Takes what comes next, in one way or the other.
    async fn advance(&mut self) -> Result<()> {
        let Some(parts) = &mut self.parts else {
            return self.receive().await;
        };
        if parts.lead(self.position) > 0 {
            parts.ask();
            return self.receive().await;
        }
        // The stream is let go when a part has come as it should, and not before.
        let is_first = self.body.is_some();
        let came = match is_first {
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
                self.leave_parts(&error);
                return Ok(());
            }
        };
        if let Some(verdict) = verdict {
            let host = &self.place.repository.host;
            self.client.set_dividing(host, verdict);
        }
        let Some(part) = part else {
            self.parts = None;
            self.stays_whole |= is_first;
            return Ok(());
        };
        self.body = None;
        self.failed_parts = 0;
        self.client.found_at(&self.repository, &self.place);
        self.take(&part)
    }

    /// Goes on with a stream, after a part that did not come. That is not counted as a failure:
    /// what is wrong with the blob itself, if anything is, shows there.
    fn leave_parts(&mut self, error: &Error) {
        self.parts = None;
        self.failed_parts = self.failed_parts.saturating_add(1);
        // For now or for good: this registry does not want to, or cannot.
        self.stays_whole |= self.body.is_some()
            || self.failed_parts >= MOST_FAILED_PARTS
            || error.is_too_many()
            || !error.is_transient();
        // Whoever gets a part wrong gets those of other blobs wrong, too.
        if matches!(error, Error::Protocol { .. }) {
            let host = &self.place.repository.host;
            self.client.set_dividing(host, Verdict::Useless);
        }
    }

    /// Takes what comes next of the stream, or opens one. One that fails is let go.
    async fn receive(&mut self) -> Result<()> {
        let Some(mut body) = self.body.take() else {
            return self.open().await;
        };
        if self.parts.is_none() && !body.ahead.is_empty() {
            let ahead = std::mem::take(&mut body.ahead);
            self.body = Some(body);
            return self.take(&ahead);
        }
        let began = Instant::now();
        let Some(mut chunk) = body.response.chunk().await? else {
            return Err(Error::Ended {
                url: body.response.shown(),
                got: self.position,
                expected: self.size,
            });
        };
        let waited = began.elapsed();
        match &mut self.parts {
            Some(parts) => parts.count(length(&chunk), waited),
            None => self.speed.count(length(&chunk), waited),
        }
        let skipped = body.discard.min(length(&chunk));
        body.discard -= skipped;
        let _ = chunk.split_to(usize::try_from(skipped).unwrap_or(chunk.len()));
        if let Some(parts) = &self.parts {
            let lead = usize::try_from(parts.lead(self.position)).unwrap_or(usize::MAX);
            body.ahead = chunk.split_off(lead.min(chunk.len()));
        }
        if !chunk.is_empty() {
            self.take(&chunk)?;
        }
        self.body = Some(body);
        Ok(())
    }

    /// Keeps the blob's next bytes.
    fn take(&mut self, bytes: &Bytes) -> Result<()> {
        let position = self.position.saturating_add(length(bytes));
        if position > self.size {
            return Err(self.wrong_size(position));
        }
        self.position = position;
        self.collected.extend_from_slice(bytes);
        self.rest = Rest::default();
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
                return Err(self.wrong_size(self.size.saturating_add(length(&chunk))));
            }
        }
        Ok(())
    }

    /// Sends one request for the bytes from the position on. There is still no stream when all has
    /// to be asked for instead.
    async fn open(&mut self) -> Result<()> {
        let ranged = self.position > 0 && !self.needs_all;
        self.rest.was_asked_for |= ranged;
        match self.request(ranged).await {
            Ok(Some(body)) => {
                self.client.found_at(&self.repository, &self.place);
                self.body = Some(body);
                self.needs_all = false;
                Ok(())
            }
            // All of it may be had where the rest of it is not.
            Ok(None) => {
                self.needs_all = true;
                Ok(())
            }
            Err(error)
                if ranged
                    && !error.is_transient()
                    && !matches!(error, Error::SizeMismatch { .. }) =>
            {
                self.needs_all = true;
                Ok(())
            }
            Err(error) => {
                // Whoever gets one range wrong gets the next one wrong. No answer may be that of
                // a connection that broke long ago.
                self.needs_all |= match error {
                    Error::WrongOffset { .. } => true,
                    Error::TimedOut { .. } => {
                        std::mem::replace(&mut self.rest.was_unanswered, true)
                    }
                    _ => false,
                };
                Err(error)
            }
        }
    }

    /// Pauses before the next attempt, or moves on to the next place. Parts beside a stream that
    /// failed are left: they would wait for what it did not bring.
    async fn recover(&mut self, error: Error) -> Result<()> {
        self.parts = None;
        self.body = None;
        self.speed = Speed::default();
        // A truncating cache on the way gives one wrong length; a registry that means it says
        // the same again.
        if matches!(error, Error::SizeMismatch { .. }) && !self.doubted {
            self.doubted = true;
            self.needs_all = true;
            return Ok(());
        }
        let Err(error) = self.budget.spend(error).await else {
            return Ok(());
        };
        // Before it is given up: ranges may be what fails, however often they are asked for.
        let is_answer = error.is_transient() && error.unconnected().is_none();
        let may_be_ranges = self.rest.was_asked_for && is_answer;
        if may_be_ranges && !std::mem::replace(&mut self.rest.was_last, true) {
            self.needs_all = true;
            return Ok(());
        }
        let Some(next) = self.others.pop_front() else {
            return Err(error);
        };
        self.client.failed_at(&self.place, &error);
        self.place = next;
        self.stays_whole = stays_whole(&self.client);
        self.needs_all = false;
        self.rest = Rest::default();
        self.failed_parts = 0;
        self.budget = self.client.budget_at(
            blob_name(&self.place.repository, &self.digest),
            self.others.is_empty(),
        );
        Ok(())
    }

    /// One request. `None` when the registry cannot do ranges and has to be asked for all.
    async fn request(&self, ranged: bool) -> Result<Option<Body>> {
        let wanted = match ranged {
            true => ByteRange::From(self.position),
            false => ByteRange::All,
        };
        let client = &self.client;
        let asked = client.blob_bytes(&self.place, &self.digest, wanted, self.size);
        let response = asked.await?;
        response.refuse_encoding()?;
        match response.status().as_u16() {
            200 => {
                // A registry may ignore ranges: then what is known already comes again.
                if let Some(found) = response.content_length().filter(|n| *n != self.size) {
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
                if let Some(total) = range.total.filter(|total| *total != self.size) {
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
                match total.filter(|total| *total != self.size) {
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
            what: blob_name(&self.place.repository, &self.digest),
            expected: self.size,
            actual,
        }
    }
}
