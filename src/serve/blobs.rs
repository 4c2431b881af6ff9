//! Blobs: pull, in whole or in part, and delete.

use http::{Response, StatusCode, header};

use super::body;
use super::handler::{Registry, RequestHead};
use super::range::{self, Wanted};
use super::response::{self, ApiError, Body, CONTENT_DIGEST, Code, set};
use crate::model::{Digest, RepositoryPath};

fn unknown(digest: &Digest) -> ApiError {
    ApiError::new(Code::BlobUnknown, "The repository has no such blob")
        .detail(serde_json::json!({"digest": digest}))
}

impl Registry {
    /// GET and HEAD of a blob.
    pub(super) async fn blob(
        &self,
        head: &RequestHead,
        name: RepositoryPath,
        digest: Digest,
    ) -> Result<Response<Body>, ApiError> {
        let opened = self.blocking(move |store| store.open_blob(&name, &digest));
        let mut reader = opened.await?.ok_or_else(|| unknown(&digest))?;
        let size = reader.size();
        let (status, first, length) = match range::wanted(head.header(header::RANGE), size) {
            Wanted::Whole => (StatusCode::OK, 0, size),
            Wanted::Part { first, last } => {
                let length = last.saturating_sub(first).saturating_add(1);
                (StatusCode::PARTIAL_CONTENT, first, length)
            }
            Wanted::Unsatisfiable => {
                let message = "The blob has no such range";
                return Err(ApiError::new(Code::RangeInvalid, message)
                    .header(header::CONTENT_RANGE, format!("bytes */{size}")));
            }
        };
        let mut response = if head.is_head() {
            response::empty(status)
        } else {
            if first > 0 {
                reader
                    .seek_to(first)
                    .map_err(|error| ApiError::internal(error.to_string()))?;
            }
            response::with_body(status, body::stream(reader, length))
        };
        if status == StatusCode::PARTIAL_CONTENT {
            let last = first.saturating_add(length).saturating_sub(1);
            let range = format!("bytes {first}-{last}/{size}");
            set(&mut response, header::CONTENT_RANGE, range);
        }
        set(&mut response, header::CONTENT_LENGTH, length.to_string());
        set(
            &mut response,
            header::CONTENT_TYPE,
            "application/octet-stream",
        );
        set(&mut response, header::ACCEPT_RANGES, "bytes");
        set(&mut response, header::ETAG, format!("\"{digest}\""));
        set(&mut response, CONTENT_DIGEST, digest.to_string());
        Ok(response)
    }

    /// DELETE of a blob: removes it from the repository.
    pub(super) async fn delete_blob(
        &self,
        name: RepositoryPath,
        digest: Digest,
    ) -> Result<Response<Body>, ApiError> {
        let removed = self.blocking(move |store| store.unlink_blob(&name, &digest));
        match removed.await? {
            true => Ok(response::empty(StatusCode::ACCEPTED)),
            false => Err(unknown(&digest)),
        }
    }
}
