//! The requests of an upload, and what their refusals mean for its session.

use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE};
use sha2::Digest as _;
use url::Url;

use super::{Position, Session, Step, Transfer};
use crate::model::Digest;
use crate::registry::client::UploadWay;
use crate::registry::error::{Error, Result};
use crate::registry::http::{Payload, Response};
use crate::registry::read::CONTENT_DIGEST;
use crate::registry::write::upload_way::{UploadFailure, range_end};

/// The header with a registry's minimum size of pieces (distribution-spec, "Pushing a blob in
/// chunks").
const CHUNK_MIN_LENGTH: &str = "oci-chunk-min-length";

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Failure of a request.
pub(super) enum Setback {
    /// A failure that says nothing about the session.
    Error(Error),
    /// The registry, or a proxy in front of it, refuses so many bytes in one request.
    TooLarge { length: u64, error: Error },
    /// The session cannot continue in this way.
    Session {
        failure: UploadFailure,
        /// Bytes that the session has, according to the refusal.
        hint: Option<u64>,
        error: Error,
    },
}

impl From<Error> for Setback {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A registry's answer about the state of a session.
pub(super) enum Status {
    /// It exists, with so many bytes if the registry gives their number.
    Open(Option<u64>),
    /// The registry cannot answer.
    Unknown,
    /// The registry does not know it.
    Gone,
    /// It is an earlier run's session, which this account may not ask about.
    Forbidden,
}

impl Transfer<'_> {
    /// Opens a new session.
    pub(super) async fn begin(&mut self) -> Result<()> {
        let url = self.client.url(&self.place, "blobs/uploads/").await?;
        let mut again = self.client.auth().scheme(&self.place) != Some("basic");
        let response = loop {
            let call = self.call(Method::POST, url.clone());
            match self.client.call(call).await {
                Ok(response) => break response,
                // Quay creates a missing repository when a token for `push` is requested, and may
                // answer from a state in which the repository does not exist yet.
                Err(error) if again && error.is_hidden() => {
                    again = false;
                    self.budget.spend_any(error).await?;
                }
                Err(error) => return Err(error),
            }
        };
        if !response.status().is_success() {
            return Err(response.into_error().await);
        }
        let least = response
            .text(CHUNK_MIN_LENGTH)
            .and_then(|text| text.trim().parse().ok());
        self.piece = self.piece.max(least.unwrap_or(0));
        let location = self.client.session_location(&self.place, &response).await?;
        self.client.wrote_to(self.blob.repository);
        self.session = Some(Session::new(location));
        Ok(())
    }

    /// Asks for the session's state. The answer is worth one more attempt at most: without it,
    /// the next PATCH shows how many bytes are there.
    pub(super) async fn status(&mut self) -> Result<Status> {
        let mut again = true;
        loop {
            let Some(session) = &self.session else {
                return Ok(Status::Gone);
            };
            let (now, is_kept) = (session.location.clone(), session.is_kept);
            let call = self.call(Method::GET, now.clone());
            let error = match self.client.call(call).await {
                Ok(response) if response.status().is_success() => {
                    let location = self.next_location(&response, &now).await?;
                    let hint = response.text(RANGE).and_then(range_end);
                    if let Some(session) = &mut self.session {
                        session.location = location;
                    }
                    return Ok(Status::Open(hint));
                }
                Ok(response) => response.into_error().await,
                Err(error) => error,
            };
            let status = error.answer().map_or(0, |answer| answer.status);
            match error {
                Error::NotFound { .. } => return Ok(Status::Gone),
                _ if matches!(status, 404 | 410) => return Ok(Status::Gone),
                Error::Unauthorized {
                    token_service: true,
                    ..
                } => return Err(error),
                Error::Unauthorized { .. }
                | Error::Denied { .. }
                | Error::UploadOnOtherHost { .. }
                    if is_kept =>
                {
                    return Ok(Status::Forbidden);
                }
                // The state in its Location may be older than a restart of the registry.
                Error::Refused { .. } if is_kept && !matches!(status, 405 | 501) => {
                    return Ok(Status::Gone);
                }
                Error::Unavailable { .. } if is_not_now(&error) && again => {
                    again = false;
                    // Exhausted attempts are no reason to give the session up.
                    let _ = self.budget.spend_any(error).await;
                }
                Error::Unavailable { .. } => return Ok(Status::Unknown),
                error if error.is_transient() => self.budget.spend(error).await?,
                _ => return Ok(Status::Unknown),
            }
        }
    }

    /// Sends the whole blob in the request that finishes it.
    pub(super) async fn send_whole(
        &mut self,
        location: &Url,
    ) -> std::result::Result<Step, Setback> {
        self.finishing = true;
        let size = self.blob.size;
        let body = self.body(&Position::default(), size, Some(self.blob.digest));
        let trace = body.trace();
        let call = self
            .call(Method::PUT, with_digest(location, &self.blob.digest))
            .header(CONTENT_TYPE, OCTETS)
            .carries(size)
            .finishes(size)
            .payload(Payload::Piece(body));
        let answered = self.client.call(call).await;
        self.check(&trace)?;
        let response = answered?;
        match response.status().as_u16() {
            200..=299 => {
                self.uploaded.sent = self.uploaded.sent.saturating_add(size);
                Ok(self.confirm(&response)?)
            }
            413 => Err(Setback::TooLarge {
                length: size,
                error: response.into_error().await,
            }),
            _ => Err(refused_finish(response).await),
        }
    }

    /// Sends the next piece.
    pub(super) async fn send_piece(&mut self, now: Url) -> std::result::Result<Step, Setback> {
        let next = self.session.as_ref().map(|session| session.next.clone());
        let next = next.unwrap_or_default();
        let length = self.piece.min(self.blob.size.saturating_sub(next.offset));
        let end = next.offset.saturating_add(length);
        let body = self.body(&next, length, None);
        let trace = body.trace();
        let range = format!("{}-{}", next.offset, end.saturating_sub(1));
        let mut call = self
            .call(Method::PATCH, now.clone())
            .header(CONTENT_TYPE, OCTETS)
            .carries(length)
            .payload(Payload::Piece(body));
        let ranged = self.strategy.way() == UploadWay::RangedPieces;
        if let (true, Ok(range)) = (ranged, HeaderValue::from_str(&range)) {
            call = call.header(CONTENT_RANGE, range);
        }
        let answered = self.client.call(call).await;
        self.check(&trace)?;
        let response = answered?;
        match response.status().as_u16() {
            200..=299 => {}
            413 => {
                return Err(Setback::TooLarge {
                    length,
                    error: response.into_error().await,
                });
            }
            _ => return Err(refused_piece(response).await),
        }
        let location = self.next_location(&response, &now).await?;
        self.uploaded.sent = self.uploaded.sent.saturating_add(length);
        if let Some(session) = &mut self.session {
            let (offset, hasher) = (end, trace.hasher());
            session.acknowledge(location, Position { offset, hasher });
        }
        if ranged {
            self.store_session(false)?;
        }
        if end > self.furthest {
            self.furthest = end;
            self.strategy.progressed();
            self.budget.progressed();
        }
        Ok(Step::More)
    }

    /// Finishes a session that has all bytes.
    pub(super) async fn finish(&mut self, location: &Url) -> std::result::Result<Step, Setback> {
        let hasher = self.session.as_ref().map(|session| &session.next.hasher);
        let hasher = hasher.cloned().unwrap_or_default();
        let actual = Digest::from_bytes(hasher.finalize().into());
        if actual != self.blob.digest {
            return Err(self.other_content(actual).into());
        }
        self.finishing = true;
        let call = self
            .call(Method::PUT, with_digest(location, &self.blob.digest))
            .header(CONTENT_TYPE, OCTETS)
            .finishes(self.blob.size);
        let response = self.client.call(call).await?;
        if !response.status().is_success() {
            return Err(refused_finish(response).await);
        }
        let step = self.confirm(&response)?;
        let host = &self.place.repository.host;
        let is_known = self.client.host(host).pieces_verified;
        if self.strategy.way() == UploadWay::RangedPieces && !is_known {
            let lost = response.unexpected("it confirmed the blob but has only a part of it");
            // The next request would wait for the admission that this response holds.
            drop(response);
            self.prove_joined(lost).await?;
        }
        Ok(step)
    }

    /// Checks, once for each host, a blob that was uploaded in pieces: some stores lose pieces
    /// when they join them, although the registry answers that it has the blob.
    async fn prove_joined(&mut self, lost: Error) -> std::result::Result<(), Setback> {
        let (repository, digest) = (self.blob.repository, self.blob.digest);
        let asked = self.client.blob_present(repository, digest, self.blob.size);
        match asked.await {
            Ok(true) => {
                let host = &self.place.repository.host;
                self.client
                    .learn(host, |facts| facts.pieces_verified = true);
            }
            Ok(false) => {
                return Err(Setback::Session {
                    failure: UploadFailure::FinishRefused,
                    hint: None,
                    error: lost,
                });
            }
            // A failed check proves nothing.
            Err(_) => {}
        }
        Ok(())
    }

    /// Checks the digest under which the registry has stored the blob, if it names one.
    fn confirm(&self, response: &Response) -> Result<Step> {
        let named: Option<Digest> = response.text(CONTENT_DIGEST).and_then(|d| d.parse().ok());
        match named {
            Some(actual) if actual != self.blob.digest => Err(self.other_content(actual)),
            _ => Ok(Step::Done),
        }
    }

    /// Returns the session's new Location. Registries change it with each answer; some leave it
    /// out when it stays the same.
    async fn next_location(&self, response: &Response, now: &Url) -> Result<Url> {
        if response.headers().contains_key(LOCATION) {
            self.client.session_location(&self.place, response).await
        } else {
            Ok(now.clone())
        }
    }
}

/// True if the registry cannot answer now, which says nothing about the request.
fn is_not_now(error: &Error) -> bool {
    match error {
        Error::Unavailable { answer, .. } => {
            matches!(answer.status, 408 | 425 | 503) || answer.is_too_many()
        }
        error => error.is_transient(),
    }
}

/// Returns what a refused PATCH means for the upload.
async fn refused_piece(response: Response) -> Setback {
    let hint = response.text(RANGE).and_then(range_end);
    refused(
        response,
        hint,
        [UploadFailure::PieceFailed, UploadFailure::PieceRefused],
    )
    .await
}

/// Returns what a refused PUT that finishes a blob means for the upload.
async fn refused_finish(response: Response) -> Setback {
    refused(
        response,
        None,
        [UploadFailure::FinishFailed, UploadFailure::FinishRefused],
    )
    .await
}

/// Returns what a refusal means: `failed` if the registry fails on its own side, `refused` if it
/// rejects the request.
async fn refused(
    response: Response,
    hint: Option<u64>,
    [failed, refused]: [UploadFailure; 2],
) -> Setback {
    let error = response.into_error().await;
    let failure = match &error {
        passing if is_not_now(passing) => return Setback::Error(error),
        Error::NotFound { .. } => UploadFailure::Lost,
        Error::Unavailable { .. } => failed,
        Error::Refused { .. } => refused,
        _ => return Setback::Error(error),
    };
    Setback::Session {
        failure,
        hint,
        error,
    }
}

/// Returns the Location with the digest that finishes the upload.
fn with_digest(location: &Url, digest: &Digest) -> Url {
    let mut url = location.clone();
    url.query_pairs_mut()
        .append_pair("digest", &digest.to_string());
    url
}

#[cfg(test)]
mod tests {
    use super::*;

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
