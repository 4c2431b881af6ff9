//! Sending blobs: mount, one request for small ones, a session of PATCHes for large ones.

use reqwest::Method;

use super::blob::{BlobUpload, Uploaded};
use super::session::UploadSession;
use super::transfer::Transfer;
use crate::model::{Digest, Repository, RepositoryPath};
use crate::registry::auth::Scopes;
use crate::registry::client::{Call, Client};
use crate::registry::error::Result;
use crate::registry::read::blob_name;

/// What became of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// The blob is in the repository now, as far as the registry knows.
    Mounted,
    /// The registry wants it uploaded, and has begun a session for it.
    Upload(UploadSession),
}

impl Client {
    /// Asks the target to take a blob over from another of its repositories.
    ///
    /// # Errors
    ///
    /// Whatever the registry refuses; that it cannot mount is [`Mount::Upload`].
    pub async fn mount(
        &self,
        repository: &Repository,
        digest: Digest,
        from: &RepositoryPath,
    ) -> Result<Mount> {
        let place = self.own_place(repository);
        let scopes = Scopes::mount(&repository.path, from);
        let asked = self.retry(blob_name(repository, &digest), || async {
            let mut url = self.url(&place, "blobs/uploads/").await?;
            url.query_pairs_mut()
                .append_pair("mount", &digest.to_string())
                .append_pair("from", from.as_str());
            let call = Call::new(&place, &scopes, Method::POST, url);
            let response = self.call(call).await?;
            match response.status().as_u16() {
                201 => {
                    self.wrote_to(repository);
                    Ok(Mount::Mounted)
                }
                202 => {
                    self.wrote_to(repository);
                    let location = self.session_location(&place, &response).await?;
                    Ok(Mount::Upload(UploadSession {
                        location,
                        offset: 0,
                        end_refused: false,
                    }))
                }
                200..=299 => Err(response.unexpected("its status is none for a mount")),
                _ => Err(response.into_error().await),
            }
        });
        asked.await.map_err(|error| error.of_push(repository))
    }

    /// Uploads a blob, going on with the session that is kept for it if the registry still
    /// knows it. A session that the registry refuses is forgotten, and the blob is sent in
    /// another way (`upload_way`).
    ///
    /// # Errors
    ///
    /// `DigestMismatch` and `SizeMismatch` of [`Error`](crate::registry::Error) when the source is
    /// not the blob: then nothing was made visible. `Source`, `Session`, `PushRefused`, or what the
    /// registry said at the last attempt. The session is kept when the network or "not now" is the
    /// reason.
    pub async fn upload(&self, blob: &BlobUpload<'_>) -> Result<Uploaded> {
        Transfer::new(self, blob).complete().await
    }
}
