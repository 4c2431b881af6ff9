//! Blob uploads: in one request, in chunks, resumed after any interruption, or mounted.
//!
//! `Range: 0-0` means no byte or one byte, as in the distribution registry: its clients
//! understand no other range for an empty session.

use http::{Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};

use super::body::{self, End, Received};
use super::handler::{Registry, RequestHead};
use super::range;
use super::response::{self, ApiError, Body, CONTENT_DIGEST, Code, UPLOAD_UUID, set};
use super::route::{parse_digest, repository};
use crate::model::{Digest, RepositoryPath};
use crate::sys::registry_store::{Upload, UploadId};

impl Registry {
    /// POST: opens a session, mounts a blob, or receives a whole one.
    pub(super) async fn start_upload(
        &self,
        head: &RequestHead,
        name: RepositoryPath,
        body: &mut Incoming,
    ) -> Result<Response<Body>, ApiError> {
        if let Some(digest) = head.query("mount") {
            let digest = parse_digest(&digest)?;
            // Without `from` all repositories would have to be searched, which reveals too much.
            if let Some(from) = head.query("from") {
                let (from, to) = (repository(&from)?, name.clone());
                let mounted = self.blocking(move |store| store.mount_blob(&to, &from, &digest));
                if mounted.await? {
                    return Ok(created(&name, &digest));
                }
            }
        } else if let Some(digest) = head.query("digest") {
            let digest = parse_digest(&digest)?;
            let upload = self
                .blocking(move |store| store.start_upload(&name))
                .await?;
            let (name, id) = (upload.repository().clone(), upload.id());
            let taken = self.take_and_commit(head, upload, digest, body).await;
            if taken.is_err() {
                // The client does not know the session. If the digest was wrong, it is removed
                // already.
                let _ = self
                    .blocking(move |store| store.cancel_upload(&name, &id))
                    .await;
            }
            return taken;
        }
        let upload = self
            .blocking(move |store| store.start_upload(&name))
            .await?;
        Ok(progress(
            StatusCode::ACCEPTED,
            upload.repository(),
            &upload.id(),
            0,
        ))
    }

    /// GET: reports the bytes that a session has.
    pub(super) async fn upload_status(
        &self,
        name: RepositoryPath,
        id: UploadId,
    ) -> Result<Response<Body>, ApiError> {
        let repository = name.clone();
        let offset = self
            .blocking(move |store| store.upload_offset(&repository, &id))
            .await?;
        Ok(progress(StatusCode::NO_CONTENT, &name, &id, offset))
    }

    /// PATCH: appends a chunk.
    pub(super) async fn patch_upload(
        &self,
        head: &RequestHead,
        name: RepositoryPath,
        id: UploadId,
        body: &mut Incoming,
    ) -> Result<Response<Body>, ApiError> {
        let repository = name.clone();
        let upload = self
            .blocking(move |store| store.resume_upload(&repository, &id))
            .await?;
        let upload = self.take(head, upload, body).await?;
        Ok(progress(StatusCode::ACCEPTED, &name, &id, upload.offset()))
    }

    /// PUT: appends the rest of the blob, if any, and closes the session.
    pub(super) async fn finish_upload(
        &self,
        head: &RequestHead,
        name: RepositoryPath,
        id: UploadId,
        body: &mut Incoming,
    ) -> Result<Response<Body>, ApiError> {
        let digest = head.query("digest").ok_or_else(|| {
            ApiError::new(
                Code::DigestInvalid,
                "The query parameter `digest` is missing",
            )
        })?;
        let digest = parse_digest(&digest)?;
        let upload = self
            .blocking(move |store| store.resume_upload(&name, &id))
            .await?;
        self.take_and_commit(head, upload, digest, body).await
    }

    /// DELETE: removes a session.
    pub(super) async fn cancel_upload(
        &self,
        name: RepositoryPath,
        id: UploadId,
    ) -> Result<Response<Body>, ApiError> {
        self.blocking(move |store| store.cancel_upload(&name, &id))
            .await?;
        Ok(response::empty(StatusCode::NO_CONTENT))
    }

    async fn take_and_commit(
        &self,
        head: &RequestHead,
        upload: Upload,
        digest: Digest,
        body: &mut Incoming,
    ) -> Result<Response<Body>, ApiError> {
        let upload = match body.is_end_stream() {
            true => upload,
            false => self.take(head, upload, body).await?,
        };
        let name = upload.repository().clone();
        self.blocking(move |store| store.commit_upload(upload, &digest))
            .await?;
        Ok(created(&name, &digest))
    }

    /// Appends a request's body. A `Content-Range` must begin at the session's current end.
    async fn take(
        &self,
        head: &RequestHead,
        upload: Upload,
        body: &mut Incoming,
    ) -> Result<Upload, ApiError> {
        let start = upload.offset();
        let (name, id) = (upload.repository().clone(), upload.id());
        // Errors have the same headers as the answer to a status request, so that the client can
        // continue.
        let refuse = |code, message: String, offset| {
            ApiError::new(code, message)
                .header(header::LOCATION, location(&name, &id))
                .header(header::RANGE, range_so_far(offset))
                .header(UPLOAD_UUID, id.to_string())
        };
        let announced = body.size_hint().exact();
        let mut room = self.max_blob.saturating_sub(start);
        let mut declared = None;
        if let Some(text) = head.header(header::CONTENT_RANGE) {
            let (first, last) = range::sent(text).ok_or_else(|| {
                let message = "`Content-Range` is not `<first byte>-<last byte>`";
                refuse(Code::BlobUploadInvalid, message.to_owned(), start)
            })?;
            let length = last.checked_sub(first).and_then(|n| n.checked_add(1));
            let Some(length) = length.filter(|_| first == start) else {
                let message = format!("The session continues at byte {start}, not {first}");
                return Err(refuse(Code::RangeInvalid, message, start));
            };
            if announced.is_some_and(|announced| announced != length) {
                let message = "`Content-Range` and `Content-Length` disagree";
                return Err(refuse(Code::SizeInvalid, message.to_owned(), start));
            }
            room = room.min(length);
            declared = Some(length);
        }
        if announced.or(declared).is_some_and(|length| length > room) {
            let message = format!("A blob has at most {} bytes here", self.max_blob);
            return Err(refuse(Code::TooLarge, message, start));
        }
        let received = body::receive(body, upload, room, self.idle_timeout).await?;
        let Received { upload, bytes, end } = received;
        let too_long = matches!(end, End::TooLong);
        match end {
            End::Whole if declared.is_none_or(|length| length == bytes) => Ok(upload),
            End::Cut => {
                let message = "The body was cut short; what arrived is kept";
                Err(refuse(
                    Code::BlobUploadInvalid,
                    message.to_owned(),
                    upload.offset(),
                ))
            }
            End::Failed(error) => Err(error.into()),
            End::Whole | End::TooLong => {
                // The body's length is not as announced, or too large: none of it counts.
                let rewound = self.blocking(move |_| {
                    let mut upload = upload;
                    upload.rewind(start)
                });
                rewound.await?;
                Err(match too_long && declared.is_none() {
                    true => {
                        let message = format!("A blob has at most {} bytes here", self.max_blob);
                        refuse(Code::TooLarge, message, start)
                    }
                    false => {
                        let message = "The body is not as long as `Content-Range` says";
                        refuse(Code::SizeInvalid, message.to_owned(), start)
                    }
                })
            }
        }
    }
}

fn location(name: &RepositoryPath, id: &UploadId) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

fn range_so_far(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

/// Makes the answer that reports how many bytes a session has.
fn progress(
    status: StatusCode,
    name: &RepositoryPath,
    id: &UploadId,
    offset: u64,
) -> Response<Body> {
    let mut response = response::empty(status);
    set(&mut response, header::LOCATION, location(name, id));
    set(&mut response, header::RANGE, range_so_far(offset));
    set(&mut response, UPLOAD_UUID, id.to_string());
    response
}

/// Makes the answer for a blob that is now in the repository.
fn created(name: &RepositoryPath, digest: &Digest) -> Response<Body> {
    let mut response = response::empty(StatusCode::CREATED);
    let location = format!("/v2/{name}/blobs/{digest}");
    set(&mut response, header::LOCATION, location);
    set(&mut response, CONTENT_DIGEST, digest.to_string());
    response
}
