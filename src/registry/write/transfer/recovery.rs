//! Continues an upload after a failure: carries out the decisions of `upload_way`.

use super::requests::{Setback, Status};
use super::{Parting, Step, Transfer};
use crate::registry::client::UploadWay;
use crate::registry::error::{Error, Result};
use crate::registry::write::upload_way::{Next, Trouble};

/// Minimum size of a piece in bytes when a registry refuses larger ones.
const SMALLEST_PIECE: u64 = 1 << 20;

/// Connections that may break at an offset that no PATCH acknowledged. After that the offset
/// counts as refused: the registry may have closed the connection instead of answering.
const MOST_BREAKS: u32 = 2;

impl Transfer<'_> {
    /// Finds a way to continue after a failure; returns the error if there is none.
    pub(super) async fn recover(&mut self, setback: Setback) -> Result<Step> {
        match setback {
            Setback::TooLarge { length, error } => self.send_less(length, error).await,
            Setback::Error(error) if error.is_transient() => {
                let answered = error.answer().is_some();
                if answered && self.is_at_end() {
                    return self.end_is_refused(error).await;
                }
                self.budget.spend(error).await?;
                self.reconnect(answered).await
            }
            Setback::Error(error) => {
                let session = self.session.as_ref();
                let is_old = session.is_some_and(|s| s.acked.offset > 0);
                let is_earlier = session.is_some_and(|s| s.guessed);
                match error {
                    // A Location on another host may have expired, and an earlier run's session
                    // may belong to another account. A new session shows which is the case.
                    Error::SentElsewhere { .. } if is_old => self.leave_for_new(error).await,
                    Error::Unauthorized { .. } | Error::Denied { .. } if is_earlier => {
                        self.leave_for_new(error).await
                    }
                    // If it stayed stored, the next run would only send the finishing request
                    // again.
                    Error::Unauthorized { .. } | Error::Denied { .. } if self.is_at_end() => {
                        self.part(Parting::Cancel).await?;
                        Err(error)
                    }
                    error => Err(error),
                }
            }
            Setback::Session {
                trouble: Trouble::PieceRefused,
                hint,
                error,
            } => {
                if let Some(session) = &mut self.session {
                    session.refused.push(session.next.offset);
                }
                // Without Content-Range no other offset can be sent.
                if self.ladder.way().continues() && self.move_to_next(hint).await? {
                    return Ok(Step::More);
                }
                self.give_way(Trouble::PieceRefused, error).await
            }
            Setback::Session { trouble, error, .. } => self.give_way(trouble, error).await,
        }
    }

    /// Gives the session up and continues with a new one.
    async fn leave_for_new(&mut self, error: Error) -> Result<Step> {
        let next = self.ladder.after(Trouble::Lost, true);
        self.go_on(next, Trouble::Lost, error).await
    }

    /// True if the registry answers that it has the session.
    async fn is_open(&mut self) -> bool {
        matches!(self.status().await, Ok(Status::Open(_)))
    }

    /// True if the session has all bytes and only needs to be finished.
    fn is_at_end(&self) -> bool {
        let acked = self.session.as_ref().map(|session| session.acked.offset);
        self.ladder.way().continues() && self.blob.size > 0 && acked == Some(self.blob.size)
    }

    /// Handles "not now" in answer to the request that finishes the blob. Usually that passes, so
    /// the session is stored. If the registry already answered so throughout an earlier run, the
    /// blob is sent in another way.
    async fn end_is_refused(&mut self, error: Error) -> Result<Step> {
        if std::mem::take(&mut self.end_was_refused) {
            let next = self.ladder.climb(true);
            return self.go_on(next, Trouble::FinishRefused, error).await;
        }
        if let Err(error) = self.budget.spend(error).await {
            self.keep(true)?;
            return Err(error);
        }
        self.reconnect(true).await
    }

    async fn give_way(&mut self, trouble: Trouble, error: Error) -> Result<Step> {
        let guessed = self.session.as_ref().is_some_and(|s| s.guessed);
        let next = self.ladder.after(trouble, guessed);
        self.go_on(next, trouble, error).await
    }

    /// Carries out a decision. Remaining ways are tried even when all attempts are used: they are
    /// few, and none repeats a refused request.
    async fn go_on(&mut self, next: Next, trouble: Trouble, error: Error) -> Result<Step> {
        let (next, error) = match next {
            Next::Ask => match self.budget.spend_on(error).await {
                Ok(()) => {
                    self.ask().await?;
                    return Ok(Step::More);
                }
                // Either no piece was ever accepted, or the pieces fail although the session is
                // still open: the registry may be unable to accept such pieces.
                Err(error) if self.furthest == 0 || self.is_open().await => {
                    (self.ladder.climb(true), error)
                }
                Err(error) => {
                    // No request to an earlier run's session succeeded: the next run opens a new
                    // one.
                    if self.session.as_ref().is_some_and(|s| s.is_kept) {
                        self.part(Parting::Cancel).await?;
                    }
                    return Err(error);
                }
            },
            Next::Again => match self.budget.spend_on(error).await {
                Ok(()) => return Ok(Step::More),
                Err(error) => (self.ladder.climb(true), error),
            },
            Next::NewSession | Next::OtherWay | Next::LastWay => (next, error),
        };
        let lost = trouble == Trouble::Lost;
        self.part(if lost {
            Parting::Forget
        } else {
            Parting::Cancel
        })
        .await?;
        if lost && self.is_finished().await? {
            return Ok(Step::Done);
        }
        self.finishing = false;
        let spent = self.budget.spend_on(error).await;
        if next == Next::LastWay {
            spent?;
        }
        Ok(Step::More)
    }

    /// Continues after a broken connection, or an answer that means "not now".
    async fn reconnect(&mut self, answered: bool) -> Result<Step> {
        let Some(session) = &mut self.session else {
            return self.begin_anew().await;
        };
        if self.ladder.after(Trouble::Passing, false) == Next::NewSession {
            // The bytes that the registry stored of such a request are unknown: all are sent
            // again.
            self.session = None;
            (self.blob.listener)(0);
            if self.blob.size > self.piece {
                self.ladder.large_request_broke();
            }
            return self.begin_anew().await;
        }
        if !answered && session.next.offset != session.acked.offset {
            session.breaks += 1;
            if session.breaks >= MOST_BREAKS {
                session.refused.push(session.next.offset);
                session.breaks = 0;
            }
        }
        self.ask().await?;
        match &self.session {
            Some(_) => Ok(Step::More),
            None => self.begin_anew().await,
        }
    }

    /// Continues without a session: it may be gone because it was finished and only the answer
    /// was lost.
    async fn begin_anew(&mut self) -> Result<Step> {
        match self.is_finished().await? {
            true => Ok(Step::Done),
            false => Ok(Step::More),
        }
    }

    async fn is_finished(&mut self) -> Result<bool> {
        if !self.finishing {
            return Ok(false);
        }
        let (repository, digest) = (self.blob.repository, self.blob.digest);
        let asked = self.client.blob_present(repository, digest, self.blob.size);
        self.finishing = match asked.await {
            Ok(present) => present,
            Err(error) if error.is_hidden() => false,
            Err(error) => return Err(error),
        };
        Ok(self.finishing)
    }

    /// Handles a refusal of so many bytes in one request, by the registry or a proxy in front of
    /// it.
    async fn send_less(&mut self, length: u64, error: Error) -> Result<Step> {
        if self.ladder.way() == UploadWay::OneRequest && self.blob.size > self.piece {
            let next = self.ladder.climb(true);
            return self.go_on(next, Trouble::PieceRefused, error).await;
        }
        self.finishing = false;
        let less = (length / 2).max(SMALLEST_PIECE);
        if less >= length {
            self.part(Parting::Cancel).await?;
            return Err(error);
        }
        self.piece = less;
        let host = &self.place.repository.host;
        self.client
            .learn(host, |facts| facts.piece_limit = Some(less));
        if self.ladder.way() == UploadWay::OneRequest {
            self.ladder.set_way(UploadWay::RangedPieces);
        }
        // The registry answers whether the session survived, and with how many bytes.
        match self.ladder.way().continues() {
            true => self.ask().await?,
            false => self.part(Parting::Cancel).await?,
        }
        Ok(Step::More)
    }
}
