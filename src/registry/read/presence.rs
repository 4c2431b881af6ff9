//! Whether a blob is really there.
//!
//! Asked with a ranged GET of the last byte: a registry with a descriptor cache answers HEAD,
//! mount and even a manifest's PUT with success after its garbage collector took the data.

use reqwest::header::CONTENT_RANGE;

use super::ranges::{ByteRange, ContentRange, blob_name, unsatisfied_total};
use crate::model::{Digest, Repository};
use crate::registry::client::Client;
use crate::registry::error::{Error, Result};
use crate::registry::http::{Response, length};
use crate::registry::places::Endpoint;

/// What one look at a blob showed.
enum Look {
    Present,
    Absent,
    /// The head promised bytes that did not come.
    HeadOnly(Error),
}

impl Client {
    /// Whether the target's repository has a blob of this digest and size, whose last byte it
    /// can deliver. When in doubt it has not: then it is uploaded again.
    ///
    /// # Errors
    ///
    /// Everything that is neither yes nor no.
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

    /// Asks for the last byte of a blob at the places from which it would be fetched. Only a
    /// clear refusal of all of them counts: what passes shows when the blob is fetched.
    ///
    /// # Errors
    ///
    /// The refusal of the last place.
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
        let mut refusal = None;
        for place in self.places(repository, true)? {
            match self.blob_bytes(&place, &digest, wanted, size).await {
                Ok(response) if is_kept_back(response.status().as_u16()) => {
                    refusal = Some(response.into_error().await);
                }
                Err(error) if error.answer().is_some_and(|a| is_kept_back(a.status)) => {
                    refusal = Some(error);
                }
                Ok(_) | Err(_) => return Ok(()),
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    async fn look(&self, place: &Endpoint, digest: Digest, size: u64) -> Result<Look> {
        // No byte of an empty blob can be asked for.
        let wanted = match size.checked_sub(1) {
            Some(last) => ByteRange::Part { first: last, last },
            None => ByteRange::All,
        };
        let mut response = self.blob_bytes(place, &digest, wanted, size).await?;
        // Some stores refuse to be asked for a part: then what all of it begins with must do.
        if wanted != ByteRange::All && refuses_ranges(&response, size) {
            // The next question would wait for the place at the gate that the response has.
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
            // Ranges are ignored, or the blob is empty: that it begins must do.
            200 if response.content_length().is_some_and(|n| n != size) => Ok(Look::Absent),
            200 => Ok(first_bytes(response, size.min(1)).await),
            404 => Ok(Look::Absent),
            416 => {
                let total = response.text(CONTENT_RANGE).and_then(unsatisfied_total);
                match total {
                    Some(total) if total == size => Err(response.unexpected("416 is no answer")),
                    _ => Ok(Look::Absent),
                }
            }
            _ => Err(response.into_error().await),
        }
    }
}

/// Whether it may be the range alone that is refused.
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

/// Whether a place says that it does not give a blob, now and later.
fn is_kept_back(status: u16) -> bool {
    matches!(status, 401 | 403 | 404 | 410)
}

/// Reads until `wanted` bytes have come.
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
