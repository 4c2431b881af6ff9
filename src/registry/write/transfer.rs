//! One upload in progress: its session, its position, and its recovery after failures.
//!
//! What counts is what a PATCH acknowledged; a registry's report on the session is a hint.
//! `upload_way` decides what comes after each failure, and `recovery` carries it out. All bytes
//! are hashed as they are sent, and a blob with a wrong digest is never finished.

mod recovery;
mod requests;

use std::io;
use std::sync::Arc;

use reqwest::Method;
use sha2::Sha256;
use url::Url;

use super::blob::{BlobUpload, Uploaded};
use super::session::UploadSession;
use super::upload_way::{UploadStrategy, next_offset};
use crate::model::Digest;
use crate::registry::auth::Scopes;
use crate::registry::client::{Call, Client, UploadWay};
use crate::registry::error::{Error, Result};
use crate::registry::http::{Budget, PieceBody, PieceTrace, SourceFault, Window, hash_window};
use crate::registry::places::Endpoint;
use crate::registry::read::blob_name;
use requests::{Setback, Status};

/// Default body size in bytes of one request: the most that is sent again after a failure.
const PIECE: u64 = 32 << 20;

/// One upload in progress.
pub(super) struct Transfer<'a> {
    client: &'a Client,
    blob: &'a BlobUpload<'a>,
    place: Endpoint,
    scopes: Scopes,
    what: String,
    budget: Budget,
    /// Bytes to send in one request.
    piece: u64,
    strategy: UploadStrategy,
    session: Option<Session>,
    /// Bytes acknowledged in any session: only bytes beyond them are progress.
    furthest: u64,
    /// True if a request that finishes the blob was sent, so that the blob may be there although
    /// no answer arrived.
    finishing: bool,
    /// True if in an earlier run the registry always answered "not now" to the request that
    /// finishes this session.
    end_was_refused: bool,
    uploaded: Uploaded,
}

/// The session that is being filled.
struct Session {
    location: Url,
    /// The position that PATCHes acknowledged.
    acked: Position,
    /// The position at which the next request begins.
    next: Position,
    /// Offsets at which the registry refused a PATCH.
    refused: Vec<u64>,
    /// Broken connections in a row at `next`.
    breaks: u32,
    /// True if an earlier run opened it and no PATCH of this run was acknowledged yet.
    is_kept: bool,
    /// True if it has bytes that no PATCH of this run acknowledged.
    guessed: bool,
}

/// An offset in the blob, with the hasher over all bytes before it.
#[derive(Clone, Default)]
struct Position {
    offset: u64,
    hasher: Sha256,
}

impl Session {
    fn new(location: Url) -> Self {
        Self {
            location,
            acked: Position::default(),
            next: Position::default(),
            refused: Vec::new(),
            breaks: 0,
            is_kept: false,
            guessed: false,
        }
    }

    /// Records that the registry has accepted all bytes up to `position`.
    fn acknowledge(&mut self, location: Url, position: Position) {
        self.location = location;
        self.acked = position.clone();
        self.next = position;
        self.refused.clear();
        self.breaks = 0;
        self.is_kept = false;
    }
}

/// Result of a step: `Done` if the blob is in the repository now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    More,
    Done,
}

/// What to do with a session that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SessionEnd {
    /// The registry refused a request: cancel the session at the registry and remove it from the
    /// store.
    Cancel,
    /// The registry does not know it any more: remove it from the store.
    Forget,
    /// This account may not ask for it: leave it in the store until another session replaces it.
    Leave,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(client: &'a Client, blob: &'a BlobUpload<'a>) -> Self {
        let what = blob_name(blob.repository, &blob.digest);
        let place = client.own_place(blob.repository);
        let known = client.host(&place.repository.host);
        let piece = known.piece_limit.unwrap_or(PIECE);
        let way = known.upload_way(blob.size <= piece);
        let session = blob.session.as_ref();
        Self {
            client,
            blob,
            scopes: Scopes::push(&blob.repository.path),
            budget: client.budget(&what),
            piece,
            strategy: UploadStrategy::new(way),
            place,
            what,
            session: session.map(|session| Session::new(session.location.clone())),
            furthest: 0,
            finishing: false,
            end_was_refused: false,
            uploaded: Uploaded {
                resumed_at: 0,
                sent: 0,
            },
        }
    }

    /// Uploads the blob, or returns a permanent error.
    pub(super) async fn complete(mut self) -> Result<Uploaded> {
        let was_large = self.blob.size > self.piece;
        let result = self.run().await;
        let is_other_content = matches!(
            result,
            Err(Error::DigestMismatch { .. } | Error::SizeMismatch { .. })
        );
        if is_other_content {
            self.cancel().await;
        }
        if is_other_content || result.is_ok() {
            self.remove_stored()?;
        }
        if let (Ok(()), Some(way)) = (&result, self.strategy.learned()) {
            let host = &self.place.repository.host;
            self.client
                .learn(host, |facts| facts.set_upload_way(!was_large, way));
        }
        result.map_err(|error| error.into_push_error(self.blob.repository))?;
        Ok(self.uploaded)
    }

    async fn run(&mut self) -> Result<()> {
        self.resume().await?;
        loop {
            let step = match self.step().await {
                Ok(step) => step,
                Err(setback) => self.recover(setback).await?,
            };
            if step == Step::Done {
                return Ok(());
            }
        }
    }

    async fn step(&mut self) -> std::result::Result<Step, Setback> {
        let Some(session) = &self.session else {
            self.begin().await?;
            return Ok(Step::More);
        };
        let (location, offset) = (session.location.clone(), session.next.offset);
        let fits = offset == 0 && self.blob.size <= self.piece;
        if fits && self.strategy.way() == UploadWay::RangedPieces {
            self.strategy.set_way(UploadWay::OneRequest);
        }
        if self.strategy.way() == UploadWay::OneRequest && self.blob.size > 0 {
            self.send_whole(&location).await
        } else if offset < self.blob.size {
            self.send_piece(location).await
        } else {
            self.finish(&location).await
        }
    }

    /// Continues a stored session of an earlier run.
    async fn resume(&mut self) -> Result<()> {
        if self.session.is_some() {
            return Ok(());
        }
        let kept = self
            .blob
            .sessions
            .load(self.blob.repository, &self.blob.digest);
        let Some(kept) = kept.map_err(|source| self.session_error(source))? else {
            return Ok(());
        };
        let mut session = Session::new(kept.location);
        session.is_kept = true;
        session.guessed = true;
        self.session = Some(session);
        if kept.offset == 0 || kept.offset > self.blob.size || !self.strategy.way().continues() {
            return self.end_session(SessionEnd::Cancel).await;
        }
        let acked = self.position_at(kept.offset, Position::default()).await?;
        if let Some(session) = &mut self.session {
            session.acked = acked.clone();
            session.next = acked;
        }
        self.end_was_refused = kept.end_refused;
        self.resync().await?;
        let offset = self.session.as_ref().map_or(0, |s| s.next.offset);
        self.furthest = offset;
        self.uploaded.resumed_at = offset;
        Ok(())
    }

    /// Asks the registry for the bytes that the session has, and continues there. Gives the
    /// session up if the registry does not know it, or no usable offset is left.
    async fn resync(&mut self) -> Result<()> {
        let hint = match self.status().await? {
            Status::Open(hint) => hint,
            Status::Unknown => None,
            Status::Gone => return self.end_session(SessionEnd::Forget).await,
            Status::Forbidden => return self.end_session(SessionEnd::Leave).await,
        };
        match self.move_to_next(hint).await? {
            true => Ok(()),
            false => self.end_session(SessionEnd::Cancel).await,
        }
    }

    /// Moves to the next offset worth trying; returns false if there is none.
    async fn move_to_next(&mut self, hint: Option<u64>) -> Result<bool> {
        let Some(session) = &self.session else {
            return Ok(false);
        };
        let (acked, refused) = (&session.acked, &session.refused);
        let Some(offset) = next_offset(acked.offset, hint, refused, self.blob.size) else {
            return Ok(false);
        };
        let nearest = match session.next.offset {
            next if next <= offset && next > acked.offset => session.next.clone(),
            _ => acked.clone(),
        };
        let position = self.position_at(offset, nearest).await?;
        if let Some(session) = &mut self.session {
            if offset != session.next.offset {
                session.breaks = 0;
            }
            session.guessed |= offset != session.acked.offset;
            session.next = position;
        }
        self.uploaded.resumed_at = self.uploaded.resumed_at.min(offset);
        (self.blob.listener)(offset);
        Ok(true)
    }

    /// Returns the position at an offset, hashed from another position on, or from the beginning
    /// if that one is beyond the offset.
    async fn position_at(&self, offset: u64, from: Position) -> Result<Position> {
        if from.offset == offset {
            return Ok(from);
        }
        let from = match from.offset < offset {
            true => from,
            false => Position::default(),
        };
        let window = Window {
            bytes: self.blob.source.read_from(from.offset),
            offset: from.offset,
            length: offset.saturating_sub(from.offset),
            hasher: from.hasher,
            expected_digest: None,
            listener: Arc::new(|_| {}),
        };
        let hasher = hash_window(window).await;
        let hasher = hasher.map_err(|fault| self.source_error(fault))?;
        Ok(Position { offset, hasher })
    }

    /// Gives the session up.
    async fn end_session(&mut self, end: SessionEnd) -> Result<()> {
        if end == SessionEnd::Cancel {
            self.cancel().await;
        }
        self.session = None;
        self.uploaded.resumed_at = 0;
        (self.blob.listener)(0);
        match end {
            SessionEnd::Leave => Ok(()),
            SessionEnd::Cancel | SessionEnd::Forget => self.remove_stored(),
        }
    }

    /// Stores the position that PATCHes acknowledged, for a later run. `end_refused`: only the
    /// request that finishes the blob is left, and in this run the registry never accepted it.
    fn store_session(&self, end_refused: bool) -> Result<()> {
        let Some(session) = &self.session else {
            return Ok(());
        };
        let kept = UploadSession {
            location: session.location.clone(),
            offset: session.acked.offset,
            end_refused,
        };
        self.blob
            .sessions
            .store(self.blob.repository, &self.blob.digest, &kept)
            .map_err(|source| self.session_error(source))
    }

    fn remove_stored(&self) -> Result<()> {
        self.blob
            .sessions
            .remove(self.blob.repository, &self.blob.digest)
            .map_err(|source| self.session_error(source))
    }

    /// Tells the registry that the session is not needed, without waiting for its expiry.
    async fn cancel(&self) {
        if let Some(session) = &self.session {
            let call = self.call(Method::DELETE, session.location.clone());
            let _ = self.client.call(call).await;
        }
    }

    fn body(&self, from: &Position, length: u64, expected_digest: Option<Digest>) -> PieceBody {
        PieceBody::new(Window {
            bytes: self.blob.source.read_from(from.offset),
            offset: from.offset,
            length,
            hasher: from.hasher.clone(),
            expected_digest,
            listener: Arc::clone(&self.blob.listener),
        })
    }

    /// Returns this side's own reason for stopping the body first, before the network's error.
    fn check(&self, trace: &PieceTrace) -> Result<()> {
        trace
            .fault()
            .map_or(Ok(()), |fault| Err(self.source_error(fault)))
    }

    fn source_error(&self, fault: SourceFault) -> Error {
        match fault {
            SourceFault::Read(source) => Error::Source {
                what: self.what.clone(),
                source,
            },
            SourceFault::Short(actual) => Error::SizeMismatch {
                what: self.what.clone(),
                expected: self.blob.size,
                actual,
            },
            SourceFault::Digest(actual) => self.other_content(actual),
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
}
