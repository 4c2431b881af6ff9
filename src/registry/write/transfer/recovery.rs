//! Continues an upload after a failure: carries out the decisions of `upload_way`.

use super::requests::{Setback, Status};
use super::{SessionEnd, Step, Transfer};
use crate::registry::client::UploadWay;
use crate::registry::error::{Error, Result};
use crate::registry::write::upload_way::{Next, UploadFailure};

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
                    return self.finish_is_refused(error).await;
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
                    Error::UploadOnOtherHost { .. } if is_old => self.replace_session(error).await,
                    Error::Unauthorized { .. } | Error::Denied { .. } if is_earlier => {
                        self.replace_session(error).await
                    }
                    // If it stayed stored, the next run would only send the finishing request
                    // again.
                    Error::Unauthorized { .. } | Error::Denied { .. } if self.is_at_end() => {
                        self.end_session(SessionEnd::Cancel).await?;
                        Err(error)
                    }
                    error => Err(error),
                }
            }
            Setback::Session {
                failure: UploadFailure::PieceRefused,
                hint,
                error,
            } => {
                if let Some(session) = &mut self.session {
                    session.refused.push(session.next.offset);
                }
                // Without Content-Range no other offset can be sent.
                if self.strategy.way().continues() && self.move_to_next(hint).await? {
                    return Ok(Step::More);
                }
                self.after_failure(UploadFailure::PieceRefused, error).await
            }
            Setback::Session { failure, error, .. } => self.after_failure(failure, error).await,
        }
    }

    /// Gives the session up and continues with a new one.
    async fn replace_session(&mut self, error: Error) -> Result<Step> {
        let next = self.strategy.after(UploadFailure::Lost, true);
        self.carry_out(next, UploadFailure::Lost, error).await
    }

    /// True if the registry answers that it has the session.
    async fn is_open(&mut self) -> bool {
        matches!(self.status().await, Ok(Status::Open(_)))
    }

    /// True if the session has all bytes and only needs to be finished.
    fn is_at_end(&self) -> bool {
        let acked = self.session.as_ref().map(|session| session.acked.offset);
        self.strategy.way().continues() && self.blob.size > 0 && acked == Some(self.blob.size)
    }

    /// Handles "not now" in answer to the request that finishes the blob. Usually that passes, so
    /// the session is stored. If the registry already answered so throughout an earlier run, the
    /// blob is sent in another way.
    async fn finish_is_refused(&mut self, error: Error) -> Result<Step> {
        if std::mem::take(&mut self.end_was_refused) {
            let next = self.strategy.next_way(true);
            return self
                .carry_out(next, UploadFailure::FinishRefused, error)
                .await;
        }
        if let Err(error) = self.budget.spend(error).await {
            self.store_session(true)?;
            return Err(error);
        }
        self.reconnect(true).await
    }

    async fn after_failure(&mut self, failure: UploadFailure, error: Error) -> Result<Step> {
        let guessed = self.session.as_ref().is_some_and(|s| s.guessed);
        let next = self.strategy.after(failure, guessed);
        self.carry_out(next, failure, error).await
    }

    /// Carries out a decision. Remaining ways are tried even when all attempts are used: they are
    /// few, and none repeats a refused request.
    async fn carry_out(
        &mut self,
        next: Next,
        failure: UploadFailure,
        error: Error,
    ) -> Result<Step> {
        let (next, error) = match next {
            Next::AskSession => match self.budget.spend_any(error).await {
                Ok(()) => {
                    self.resync().await?;
                    return Ok(Step::More);
                }
                // Either no piece was ever accepted, or the pieces fail although the session is
                // still open: the registry may be unable to accept such pieces.
                Err(error) if self.furthest == 0 || self.is_open().await => {
                    (self.strategy.next_way(true), error)
                }
                Err(error) => {
                    // No request to an earlier run's session succeeded: the next run opens a new
                    // one.
                    if self.session.as_ref().is_some_and(|s| s.is_kept) {
                        self.end_session(SessionEnd::Cancel).await?;
                    }
                    return Err(error);
                }
            },
            Next::Again => match self.budget.spend_any(error).await {
                Ok(()) => return Ok(Step::More),
                Err(error) => (self.strategy.next_way(true), error),
            },
            Next::NewSession | Next::OtherWay | Next::LastWay => (next, error),
        };
        let lost = failure == UploadFailure::Lost;
        self.end_session(if lost {
            SessionEnd::Forget
        } else {
            SessionEnd::Cancel
        })
        .await?;
        if lost && self.is_finished().await? {
            return Ok(Step::Done);
        }
        self.finishing = false;
        let spent = self.budget.spend_any(error).await;
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
        if self.strategy.after(UploadFailure::Passing, false) == Next::NewSession {
            // The bytes that the registry stored of such a request are unknown: all are sent
            // again.
            self.session = None;
            (self.blob.listener)(0);
            if self.blob.size > self.piece {
                self.strategy.large_request_broke();
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
        self.resync().await?;
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
        if self.strategy.way() == UploadWay::OneRequest && self.blob.size > self.piece {
            let next = self.strategy.next_way(true);
            return self
                .carry_out(next, UploadFailure::PieceRefused, error)
                .await;
        }
        self.finishing = false;
        let less = (length / 2).max(SMALLEST_PIECE);
        if less >= length {
            self.end_session(SessionEnd::Cancel).await?;
            return Err(error);
        }
        self.piece = less;
        let host = &self.place.repository.host;
        self.client
            .learn(host, |facts| facts.piece_limit = Some(less));
        if self.strategy.way() == UploadWay::OneRequest {
            self.strategy.set_way(UploadWay::RangedPieces);
        }
        // The registry answers whether the session survived, and with how many bytes.
        match self.strategy.way().continues() {
            true => self.resync().await?,
            false => self.end_session(SessionEnd::Cancel).await?,
        }
        Ok(Step::More)
    }
}
