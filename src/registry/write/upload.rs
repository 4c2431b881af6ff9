//! Puts blobs into the target: by a mount, one request for small blobs, a session of PATCHes for
//! large ones.

use reqwest::Method;

use super::blob::{BlobUpload, Uploaded};
use super::session::UploadSession;
use super::transfer::Transfer;
use crate::model::{Digest, Repository, RepositoryPath};
use crate::registry::auth::Scopes;
use crate::registry::client::{Call, Client};
use crate::registry::error::Result;
use crate::registry::read::blob_name;

/// Result of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// The registry answers that the blob is in the repository now.
    Mounted,
    /// The registry has opened an upload session for the blob instead.
    Upload(UploadSession),
}

impl Client {
    /// Asks the target to mount a blob from another of its repositories.
    ///
    /// # Errors
    ///
    /// Any refusal, except that a registry that cannot mount the blob gives [`Mount::Upload`].
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
                status @ 200..=299 => {
                    let reason = format!("status {status} is not valid for a blob mount");
                    Err(response.unexpected(reason))
                }
                _ => Err(response.into_error().await),
            }
        });
        asked
            .await
            .map_err(|error| error.into_push_error(repository))
    }

    /// Uploads a blob. Continues its stored session if the registry still knows that. A session
    /// that the registry refuses is dropped, and the blob is sent in another way (`upload_way`).
    ///
    /// # Errors
    ///
    /// `DigestMismatch` and `SizeMismatch` of [`Error`](crate::registry::Error) when the source's
    /// bytes are not the blob: then nothing was made visible. `Source`, `Session`, `PushRefused`,
    /// or the registry's answer to the last attempt. The session stays stored if the reason is
    /// the network or an answer that means "not now".
    pub async fn upload(&self, blob: &BlobUpload<'_>) -> Result<Uploaded> {
        Transfer::new(self, blob).complete().await
    }
}
