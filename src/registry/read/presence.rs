//! Checks that a registry really has a blob, with a ranged GET of its last byte: a registry with
//! a descriptor cache answers HEAD, mount and even the PUT of a manifest with success after its
//! garbage collector has removed the data.

use reqwest::header::CONTENT_RANGE;

use super::ranges::{ByteRange, ContentRange, blob_name, unsatisfied_total};
use crate::model::{Digest, Repository};
use crate::registry::client::{Client, Reply};
use crate::registry::error::{Error, Result};
use crate::registry::http::{Response, length};
use crate::registry::places::Endpoint;

/// Result of one request for a blob.
enum Look {
    Present,
    Absent,
    /// The headers promised bytes that did not arrive.
    HeadOnly(Error),
}

impl Client {
    /// Returns true if the target's repository has a blob of this digest and size and delivers
    /// its last byte. In doubt it returns false, and the caller uploads the blob again.
    ///
    /// # Errors
    ///
    /// Any failure that answers neither yes nor no.
    pub async fn blob_present(
        &self,
        repository: &Repository,
        digest: Digest,
        size: u64,
    ) -> Result<bool> {
        let place = self.own_place(repository);
        let mut budget = self.budget(blob_name(repository, &digest));
        let mut was_head_only = false;
        loop {
            match self.look(&place, digest, size).await {
                Ok(Look::Present) => return Ok(true),
                Ok(Look::Absent) => return Ok(false),
                Ok(Look::HeadOnly(_)) if was_head_only => return Ok(false),
                Ok(Look::HeadOnly(error)) => {
                    was_head_only = true;
                    if budget.spend(error).await.is_err() {
                        return Ok(false);
                    }
                }
                Err(error) => budget.spend(error).await?,
            }
        }
    }

    /// Requests the last byte of a blob at the places from which it would be fetched. Only a
    /// clear refusal by all of them is an error; a failure that may pass will show when the blob
    /// is fetched.
    ///
    /// # Errors
    ///
    /// The refusal of the repository itself, else that of a mirror.
    pub async fn blob_offered(
        &self,
        repository: &Repository,
        digest: Digest,
        size: u64,
    ) -> Result<()> {
        let wanted = match size.checked_sub(1) {
            Some(last) => ByteRange::Part { first: last, last },
            None => return Ok(()),
        };
        let places = self.places(repository, true)?;
        let asked = self.first_place(repository, &places, |place, _| async move {
            match self.blob_bytes(place, &digest, wanted, size).await {
                Ok(response) if is_lasting_refusal(response.status().as_u16()) => {
                    Err(response.into_error().await)
                }
                Err(error) if error.answer().is_some_and(|a| is_lasting_refusal(a.status)) => {
                    Err(error)
                }
                Ok(_) | Err(_) => Ok(Reply::Settled(())),
            }
        });
        asked.await
    }

    async fn look(&self, place: &Endpoint, digest: Digest, size: u64) -> Result<Look> {
        // A range cannot ask for a byte of an empty blob.
        let wanted = match size.checked_sub(1) {
            Some(last) => ByteRange::Part { first: last, last },
            None => ByteRange::All,
        };
        let mut response = self.blob_bytes(place, &digest, wanted, size).await?;
        // Some stores refuse ranges: then the start of the whole blob is the proof.
        if wanted != ByteRange::All && refuses_ranges(&response, size) {
            // The next request would wait for the admission that this response holds.
            drop(response);
            response = self
                .blob_bytes(place, &digest, ByteRange::All, size)
                .await?;
        }
        match response.status().as_u16() {
            206 => {
                let range = response.text(CONTENT_RANGE).and_then(ContentRange::parse);
                let fits = range.is_some_and(|range| {
                    range.first == range.last
                        && range.last.checked_add(1) == Some(size)
                        && range.total.is_none_or(|total| total == size)
                });
                if !fits {
                    return Ok(Look::Absent);
                }
                Ok(first_bytes(response, 1).await)
            }
            // The range was ignored, or the blob is empty: its first byte is the proof.
            200 if response.content_length().is_some_and(|n| n != size) => Ok(Look::Absent),
            200 => Ok(first_bytes(response, size.min(1)).await),
            404 => Ok(Look::Absent),
            416 => {
                let total = response.text(CONTENT_RANGE).and_then(unsatisfied_total);
                match total {
                    Some(total) if total == size => {
                        Err(response.unexpected("it refuses a range within the blob (416)"))
                    }
                    _ => Ok(Look::Absent),
                }
            }
            _ => Err(response.into_error().await),
        }
    }
}

/// True if the refusal may concern only the range.
fn refuses_ranges(response: &Response, size: u64) -> bool {
    match response.status().as_u16() {
        400 | 403 | 405 | 406 | 501 => true,
        416 => {
            let total = response.text(CONTENT_RANGE).and_then(unsatisfied_total);
            total.is_none_or(|total| total == size)
        }
        _ => false,
    }
}

/// True if the status means that a place does not give out the blob, now or later.
fn is_lasting_refusal(status: u16) -> bool {
    matches!(status, 401 | 403 | 404 | 410)
}

/// Reads until `wanted` bytes have arrived.
async fn first_bytes(mut response: Response, wanted: u64) -> Look {
    let mut got = 0;
    while got < wanted {
        match response.chunk().await {
            Ok(Some(chunk)) => got += length(&chunk),
            Ok(None) => {
                return Look::HeadOnly(Error::Ended {
                    url: response.shown(),
                    got,
                    expected: wanted,
                });
            }
            Err(error) => return Look::HeadOnly(error),
        }
    }
    Look::Present
}
