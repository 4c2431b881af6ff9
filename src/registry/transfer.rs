//! One upload while it runs: a session, how far it is, and how to go on after a failure.
//!
//! What the registry has is what it says it has. After each PATCH its answer decides where to
//! go on; after a failure it is asked; when it no longer knows the session, or says something
//! that cannot be, a new one is begun. Everything that is sent is hashed, and a blob whose hash
//! is wrong is never finished.

use std::io;
use std::sync::Arc;

use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::auth::Scopes;
use super::client::Client;
use super::download::blob_name;
use super::error::{Error, Result};
use super::manifest::CONTENT_DIGEST;
use super::mirrors::Endpoint;
use super::response::Response;
use super::retry::Budget;
use super::session::UploadSession;
use super::transport::{Call, Payload};
use super::upload::{BlobUpload, Uploaded};
use super::upload_body::{Flaw, PieceBody, PieceTrace, Window, hash_window};
use crate::model::Digest;

/// Bytes that go up in one request: what is sent again, at most, after a failure.
const PIECE: u64 = 32 << 20;

/// Pieces are not made smaller than this when a registry refuses their size.
const SMALLEST_PIECE: u64 = 1 << 20;

/// The header by which a registry asks for larger pieces (distribution-spec, "Pushing a blob
/// in chunks").
const CHUNK_MIN_LENGTH: &str = "oci-chunk-min-length";

/// What a registry says of a finished upload with other bytes than its digest's.
const DIGEST_INVALID: &str = "DIGEST_INVALID";

/// One upload while it runs.
pub(super) struct Transfer<'a> {
    client: &'a Client,
    blob: &'a BlobUpload<'a>,
    place: Endpoint,
    scopes: Scopes,
    what: String,
    budget: Budget,
    /// Bytes that go into one request.
    piece: u64,
    session: Option<UploadSession>,
    /// The hash of the bytes before `offset`.
    hasher: Sha256,
    /// Bytes that the session has.
    offset: u64,
    /// Bytes that any session had: only what lies beyond is progress.
    furthest: u64,
    /// Whether a request was sent that finishes the blob, so that it may be there although no
    /// answer came.
    finishing: bool,
    uploaded: Uploaded,
}

/// Whether the blob is in the repository now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    More,
    Done,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(client: &'a Client, blob: &'a BlobUpload<'a>) -> Self {
        let what = blob_name(blob.repository, &blob.digest);
        let place = client.own_place(blob.repository);
        let piece = client.piece_limit(&place.repository.host);
        Self {
            client,
            blob,
            scopes: Scopes::push(&blob.repository.path),
            budget: client.budget(&what),
            piece: piece.unwrap_or(PIECE),
            place,
            what,
            session: blob.session.clone(),
            hasher: Sha256::new(),
            offset: 0,
            furthest: 0,
            finishing: false,
            uploaded: Uploaded {
                resumed_at: 0,
                sent: 0,
            },
        }
    }

    /// Uploads the blob, or fails for good.
    pub(super) async fn complete(mut self) -> Result<Uploaded> {
        let result = self.run().await;
        let is_other_content = matches!(
            result,
            Err(Error::DigestMismatch { .. } | Error::SizeMismatch { .. })
        );
        if is_other_content {
            self.cancel().await;
        }
        if is_other_content || result.is_ok() {
            self.forget()?;
        }
        result.map(|()| self.uploaded)
    }

    async fn run(&mut self) -> Result<()> {
        self.resume().await?;
        loop {
            let step = match self.step().await {
                Ok(step) => step,
                Err(error) => self.recover(error).await?,
            };
            if step == Step::Done {
                return Ok(());
            }
        }
    }

    async fn step(&mut self) -> Result<Step> {
        let Some(session) = self.session.clone() else {
            self.begin().await?;
            return Ok(Step::More);
        };
        if self.offset == 0 && self.blob.size <= self.piece {
            self.send_whole(&session.location).await
        } else if self.offset < self.blob.size {
            self.send_piece(session.location).await
        } else {
            self.finish(&session.location).await
        }
    }

    /// Goes on with a session of an earlier run.
    async fn resume(&mut self) -> Result<()> {
        if self.session.is_some() {
            return Ok(());
        }
        let kept = self
            .blob
            .sessions
            .load(self.blob.repository, &self.blob.digest);
        self.session = kept.map_err(|source| self.session_error(source))?;
        if self.session.is_some() {
            self.ask().await?;
            self.furthest = self.offset;
            self.uploaded.resumed_at = self.offset;
        }
        Ok(())
    }

    /// Asks the registry what it has of the session; forgets the session when it does not
    /// know, or says what cannot be.
    async fn ask(&mut self) -> Result<()> {
        let Some(session) = self.session.clone() else {
            return Ok(());
        };
        let (location, known) = loop {
            match self.status(&session.location).await {
                Ok(status) => break status,
                Err(error) => self.budget.spend(error).await?,
            }
        };
        match known.filter(|offset| *offset <= self.blob.size) {
            Some(offset) => {
                self.move_to(offset).await?;
                self.session = Some(UploadSession { location, offset });
                (self.blob.listener)(offset);
            }
            None => self.start_over()?,
        }
        Ok(())
    }

    /// One question for the session's state.
    async fn status(&self, location: &Url) -> Result<(Url, Option<u64>)> {
        let call = self.call(Method::GET, location.clone());
        let response = self.client.call(call).await?;
        if !response.status().is_success() {
            return match response.into_error().await {
                Error::NotFound { .. } | Error::Refused { .. } => Ok((location.clone(), None)),
                error => Err(error),
            };
        }
        let next = self.next_location(&response, location).await?;
        // `0-0` stands for one byte and for none: not worth guessing.
        let end = response.text(RANGE).and_then(range_end);
        Ok((next, end.filter(|end| *end > 1)))
    }

    /// Opens a new session.
    async fn begin(&mut self) -> Result<()> {
        let url = self.client.url(&self.place, "blobs/uploads/").await?;
        let response = self.client.call(self.call(Method::POST, url)).await?;
        match response.status().as_u16() {
            200..=299 => {
                let least = response
                    .text(CHUNK_MIN_LENGTH)
                    .and_then(|text| text.trim().parse().ok());
                self.piece = self.piece.max(least.unwrap_or(0));
                let location = self.client.session_location(&self.place, &response).await?;
                self.session = Some(UploadSession {
                    location,
                    offset: 0,
                });
                Ok(())
            }
            _ => Err(response.into_error().await),
        }
    }

    /// Sends the whole blob with the request that finishes it.
    async fn send_whole(&mut self, location: &Url) -> Result<Step> {
        if self.blob.size == 0 {
            return self.finish(location).await;
        }
        self.finishing = true;
        let body = self.body(self.blob.size, Some(self.blob.digest));
        let trace = body.trace();
        let call = self
            .call(Method::PUT, with_digest(location, &self.blob.digest))
            .header(CONTENT_TYPE, OCTETS)
            .carries(self.blob.size)
            .finishes(self.blob.size)
            .payload(Payload::Piece(body));
        let answered = self.client.call(call).await;
        self.check(&trace)?;
        let response = answered?;
        match response.status().as_u16() {
            200..=299 => {
                self.uploaded.sent = self.uploaded.sent.saturating_add(self.blob.size);
                self.confirm(&response)
            }
            413 => self.send_less(self.blob.size, response).await,
            _ => Err(response.into_error().await),
        }
    }

    /// Sends the next piece.
    async fn send_piece(&mut self, location: Url) -> Result<Step> {
        let length = self.piece.min(self.blob.size.saturating_sub(self.offset));
        let end = self.offset.saturating_add(length);
        let body = self.body(length, None);
        let trace = body.trace();
        let range = format!("{}-{}", self.offset, end.saturating_sub(1));
        let mut call = self
            .call(Method::PATCH, location.clone())
            .header(CONTENT_TYPE, OCTETS)
            .carries(length)
            .payload(Payload::Piece(body));
        if let Ok(range) = HeaderValue::from_str(&range) {
            call = call.header(CONTENT_RANGE, range);
        }
        let answered = self.client.call(call).await;
        self.check(&trace)?;
        let response = answered?;
        match response.status().as_u16() {
            200..=299 => {}
            413 => return self.send_less(length, response).await,
            _ => return Err(response.into_error().await),
        }
        let acknowledged = response.text(RANGE).and_then(range_end).unwrap_or(end);
        let location = self.next_location(&response, &location).await?;
        // `0-0` may stand for nothing at all, unless one byte was sent.
        let is_ambiguous = acknowledged == 1 && end > 1;
        if acknowledged < self.offset || acknowledged > end || is_ambiguous {
            self.start_over()?;
            return Err(Error::WrongOffset {
                url: response.shown(),
                wanted: end,
                got: acknowledged,
            });
        }
        let moved = acknowledged.saturating_sub(self.offset);
        self.uploaded.sent = self.uploaded.sent.saturating_add(moved);
        if acknowledged == end {
            self.hasher = trace.hasher();
            self.offset = end;
        } else {
            self.move_to(acknowledged).await?;
        }
        let session = UploadSession {
            location,
            offset: self.offset,
        };
        self.blob
            .sessions
            .store(self.blob.repository, &self.blob.digest, &session)
            .map_err(|source| self.session_error(source))?;
        self.session = Some(session);
        if self.offset > self.furthest {
            self.furthest = self.offset;
            self.budget.progressed();
            return Ok(Step::More);
        }
        if moved > 0 {
            return Ok(Step::More);
        }
        // Taken without an error and not counted: as good as a failure.
        Err(Error::WrongOffset {
            url: response.shown(),
            wanted: end,
            got: acknowledged,
        })
    }

    /// Finishes a session that has all bytes.
    async fn finish(&mut self, location: &Url) -> Result<Step> {
        let actual = Digest::from_bytes(self.hasher.clone().finalize().into());
        if actual != self.blob.digest {
            return Err(self.other_content(actual));
        }
        self.finishing = true;
        let call = self
            .call(Method::PUT, with_digest(location, &self.blob.digest))
            .header(CONTENT_TYPE, OCTETS)
            .finishes(self.blob.size);
        let response = self.client.call(call).await?;
        if !response.status().is_success() {
            let error = response.into_error().await;
            return match error
                .answer()
                .is_some_and(|answer| answer.is(DIGEST_INVALID))
            {
                true => {
                    self.discard(error).await?;
                    Ok(Step::More)
                }
                false => Err(error),
            };
        }
        self.confirm(&response)
    }

    /// Gives up a session whose bytes are not those that were hashed here: what an earlier run
    /// sent was wrong, or was damaged on its way. Going on with it would fail each time.
    async fn discard(&mut self, error: Error) -> Result<()> {
        self.cancel().await;
        self.start_over()?;
        self.finishing = false;
        if self.uploaded.resumed_at == 0 {
            self.budget.spend_on(error).await?;
        }
        self.uploaded.resumed_at = 0;
        Ok(())
    }

    /// Compares the digest under which the registry says that it keeps the blob.
    fn confirm(&self, response: &Response) -> Result<Step> {
        let named: Option<Digest> = response.text(CONTENT_DIGEST).and_then(|d| d.parse().ok());
        match named {
            Some(actual) if actual != self.blob.digest => Err(self.other_content(actual)),
            _ => Ok(Step::Done),
        }
    }

    /// The registry, or a proxy before it, does not take so much at once.
    async fn send_less(&mut self, length: u64, response: Response) -> Result<Step> {
        let less = (length / 2).max(SMALLEST_PIECE);
        let error = response.into_error().await;
        if less >= length {
            self.start_over()?;
            return Err(error);
        }
        self.piece = less;
        self.client
            .set_piece_limit(&self.place.repository.host, less);
        // Whether the session survived, and with how much, is the registry's to say.
        self.ask().await?;
        Ok(Step::More)
    }

    /// Finds out how to go on after a failure, as long as attempts are left.
    async fn recover(&mut self, error: Error) -> Result<Step> {
        let about_session = matches!(error, Error::NotFound { .. } | Error::Refused { .. });
        if self.session.is_some() && about_session {
            self.budget.spend_on(error).await?;
        } else {
            self.budget.spend(error).await?;
        }
        if self.session.is_some() {
            self.ask().await?;
        }
        if self.session.is_none() && self.finishing {
            // The session may be gone because it was finished, and only the answer was lost.
            let (repository, digest) = (self.blob.repository, self.blob.digest);
            let present = self.client.blob_present(repository, digest, self.blob.size);
            if present.await? {
                return Ok(Step::Done);
            }
            self.finishing = false;
        }
        Ok(Step::More)
    }

    /// Forgets the session.
    fn start_over(&mut self) -> Result<()> {
        self.session = None;
        self.hasher = Sha256::new();
        self.offset = 0;
        (self.blob.listener)(0);
        self.forget()
    }

    fn forget(&self) -> Result<()> {
        self.blob
            .sessions
            .remove(self.blob.repository, &self.blob.digest)
            .map_err(|source| self.session_error(source))
    }

    /// Tells the registry that the session is not wanted; it would find out by itself.
    async fn cancel(&self) {
        if let Some(session) = &self.session {
            let call = self.call(Method::DELETE, session.location.clone());
            let _ = self.client.call(call).await;
        }
    }

    /// Makes `offset` the place to go on from, with the hash of all before it.
    async fn move_to(&mut self, offset: u64) -> Result<()> {
        let (from, hasher) = if offset >= self.offset {
            (self.offset, self.hasher.clone())
        } else {
            (0, Sha256::new())
        };
        let window = Window {
            bytes: self.blob.source.read_from(from),
            offset: from,
            length: offset.saturating_sub(from),
            hasher,
            must_be: None,
            listener: Arc::new(|_| {}),
        };
        let hashed = hash_window(window).await;
        self.hasher = hashed.map_err(|flaw| self.flawed(flaw))?;
        self.offset = offset;
        Ok(())
    }

    fn body(&self, length: u64, must_be: Option<Digest>) -> PieceBody {
        PieceBody::new(Window {
            bytes: self.blob.source.read_from(self.offset),
            offset: self.offset,
            length,
            hasher: self.hasher.clone(),
            must_be,
            listener: Arc::clone(&self.blob.listener),
        })
    }

    /// Our own reason for breaking off comes before whatever the network made of it.
    fn check(&self, trace: &PieceTrace) -> Result<()> {
        trace.flaw().map_or(Ok(()), |flaw| Err(self.flawed(flaw)))
    }

    fn flawed(&self, flaw: Flaw) -> Error {
        match flaw {
            Flaw::Read(source) => Error::Source {
                what: self.what.clone(),
                source,
            },
            Flaw::Short(actual) => Error::SizeMismatch {
                what: self.what.clone(),
                expected: self.blob.size,
                actual,
            },
            Flaw::Digest(actual) => self.other_content(actual),
        }
    }

    fn other_content(&self, actual: Digest) -> Error {
        Error::DigestMismatch {
            what: self.what.clone(),
            expected: self.blob.digest,
            actual,
        }
    }

    fn session_error(&self, source: io::Error) -> Error {
        Error::Session {
            what: self.what.clone(),
            source,
        }
    }

    fn call(&self, method: Method, url: Url) -> Call<'_> {
        Call::new(&self.place, &self.scopes, method, url)
    }

    /// Registries change the Location with each answer; some leave it out where it stays.
    async fn next_location(&self, response: &Response, now: &Url) -> Result<Url> {
        if response.headers().contains_key(LOCATION) {
            self.client.session_location(&self.place, response).await
        } else {
            Ok(now.clone())
        }
    }
}

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The Location with the digest that finishes the upload.
fn with_digest(location: &Url, digest: &Digest) -> Url {
    let mut url = location.clone();
    url.query_pairs_mut()
        .append_pair("digest", &digest.to_string());
    url
}

/// Bytes that `Range: 0-last` stands for (distribution-spec, "Pushing a blob in chunks").
fn range_end(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_prefix("bytes=").unwrap_or(text);
    let last: u64 = text.strip_prefix("0-")?.parse().ok()?;
    last.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_sessions() {
        for (text, expected) in [
            ("0-0", Some(1)),
            ("0-41", Some(42)),
            ("bytes=0-41", Some(42)),
            ("1-41", None),
            ("0--1", None),
            ("0-18446744073709551615", None),
            ("", None),
        ] {
            assert_eq!(range_end(text), expected, "{text}");
        }
    }

    #[test]
    fn the_digest_joins_the_locations_own_query() {
        let location: Url = "https://r.lan/u/1?_state=a%2Fb".parse().unwrap();
        let digest = Digest::from_bytes([0; 32]);
        let expected = format!(
            "https://r.lan/u/1?_state=a%2Fb&digest=sha256%3A{}",
            "00".repeat(32)
        );
        assert_eq!(with_digest(&location, &digest).as_str(), expected);
    }
}
