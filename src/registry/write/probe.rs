//! Requests that try out what a target accepts: uploads in exactly one way, without the recovery of
//! `transfer`, and the removal of what was tried.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue};

use crate::model::{Digest, Repository};
use crate::registry::auth::Scopes;
use crate::registry::client::{Call, Client};
use crate::registry::error::{Error, Result};
use crate::registry::http::{Payload, Response, length};
use crate::registry::read::Selector;

/// What to remove from a repository.
#[derive(Debug, Clone, Copy)]
pub enum Removal<'a> {
    /// A manifest or tag.
    Manifest(&'a Selector),
    /// A blob.
    Blob(&'a Digest),
}

impl Client {
    /// Uploads a blob in pieces of at most `piece` bytes, each in one PATCH, or in the finishing
    /// PUT alone if `piece` is absent. Nothing is repeated in another way.
    ///
    /// # Errors
    ///
    /// [`Error::PushRefused`] when the account may not write there; every other refusal.
    pub async fn try_upload(
        &self,
        repository: &Repository,
        digest: &Digest,
        bytes: &Bytes,
        piece: Option<usize>,
    ) -> Result<()> {
        let sent = self.upload_as_told(repository, digest, bytes, piece).await;
        sent.map_err(|error| error.into_push_error(repository))
    }

    async fn upload_as_told(
        &self,
        repository: &Repository,
        digest: &Digest,
        bytes: &Bytes,
        piece: Option<usize>,
    ) -> Result<()> {
        let place = self.own_place(repository);
        let scopes = Scopes::push(&repository.path);
        let url = self.url(&place, "blobs/uploads/").await?;
        let call = Call::new(&place, &scopes, Method::POST, url);
        let opened = accepted(self.call(call).await?).await?;
        self.wrote_to(repository);
        let mut location = self.session_location(&place, &opened).await?;
        drop(opened);
        let mut last = bytes.clone();
        if let Some(piece) = piece.filter(|piece| *piece > 0) {
            let mut offset: u64 = 0;
            while !last.is_empty() {
                let part = last.split_to(piece.min(last.len()));
                let end = offset.saturating_add(length(&part));
                let range = format!("{offset}-{}", end.saturating_sub(1));
                let range = HeaderValue::from_str(&range).map_err(|_| Error::Protocol {
                    url: (&location).into(),
                    reason: "the range cannot be sent".to_owned(),
                })?;
                let call = Call::new(&place, &scopes, Method::PATCH, location)
                    .header(CONTENT_TYPE, HeaderValue::from_static(OCTETS))
                    .header(CONTENT_RANGE, range)
                    .carries(length(&part))
                    .payload(Payload::Bytes(part));
                let taken = accepted(self.call(call).await?).await?;
                location = self.session_location(&place, &taken).await?;
                offset = end;
            }
        }
        location
            .query_pairs_mut()
            .append_pair("digest", &digest.to_string());
        let call = Call::new(&place, &scopes, Method::PUT, location)
            .header(CONTENT_TYPE, HeaderValue::from_static(OCTETS))
            .carries(length(&last))
            .finishes(length(bytes))
            .payload(Payload::Bytes(last));
        accepted(self.call(call).await?).await.map(drop)
    }

    /// Removes a manifest, tag or blob. Succeeds if it is not there.
    ///
    /// # Errors
    ///
    /// Any refusal: many registries do not allow removals.
    pub async fn remove(&self, repository: &Repository, what: Removal<'_>) -> Result<()> {
        let place = self.own_place(repository);
        let tail = match what {
            Removal::Manifest(selector) => format!("manifests/{}", selector.as_str()),
            Removal::Blob(digest) => format!("blobs/{digest}"),
        };
        let url = self.url(&place, &tail).await?;
        let scopes = Scopes::delete(&repository.path);
        let response = self
            .call(Call::new(&place, &scopes, Method::DELETE, url))
            .await?;
        match accepted(response).await {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer.map(drop),
        }
    }
}

const OCTETS: &str = "application/octet-stream";

async fn accepted(response: Response) -> Result<Response> {
    match response.status().is_success() {
        true => Ok(response),
        false => Err(response.into_error().await),
    }
}
