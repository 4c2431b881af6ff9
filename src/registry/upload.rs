//! Sending blobs: mount, one request for small ones, a session of PATCHes for large ones.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use reqwest::Method;
use url::Url;

use super::auth::Scopes;
use super::client::Client;
use super::download::blob_name;
use super::error::Result;
use super::mirrors::Endpoint;
use super::response::Response;
use super::session::{SessionStore, UploadSession};
use super::transfer::Transfer;
use super::transport::Call;
use crate::model::{Digest, Repository, RepositoryPath};

/// Where an upload's bytes come from. May be asked several times.
pub trait BlobSource: Send + Sync {
    /// The blob's bytes from `offset` to its end.
    fn read_from(&self, offset: u64) -> BoxStream<'static, io::Result<Bytes>>;
}

/// Is told how far an upload is, in bytes from the blob's beginning. Goes back when a piece is
/// sent again.
pub type PositionListener = Arc<dyn Fn(u64) + Send + Sync>;

/// A blob to be uploaded.
pub struct BlobUpload<'a> {
    /// The target's repository.
    pub repository: &'a Repository,
    /// The blob's digest.
    pub digest: Digest,
    /// The blob's size in bytes.
    pub size: u64,
    /// Its bytes.
    pub source: &'a dyn BlobSource,
    /// Where the session is kept.
    pub sessions: &'a dyn SessionStore,
    /// The session that a mount left ([`Mount::Upload`]), if any.
    pub session: Option<UploadSession>,
    /// Who is told how far it is.
    pub listener: PositionListener,
}

impl fmt::Debug for BlobUpload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobUpload")
            .field("repository", &self.repository)
            .field("digest", &self.digest)
            .field("size", &self.size)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploaded {
    /// Bytes that an earlier run had sent.
    pub resumed_at: u64,
    /// Bytes that this run has sent and the registry has acknowledged, repetitions included.
    pub sent: u64,
}

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
        let mut budget = self.budget(blob_name(repository, &digest));
        loop {
            let tried = async {
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
            };
            match tried.await {
                Ok(mount) => return Ok(mount),
                Err(error) => {
                    let spent = budget.spend(error).await;
                    spent.map_err(|error| error.of_push(repository))?;
                }
            }
        }
    }

    /// Uploads a blob, going on with the session that is kept for it if the registry still
    /// knows it. A session that the registry refuses is forgotten, and the blob is sent in
    /// another way (`upload_way`).
    ///
    /// # Errors
    ///
    /// [`DigestMismatch`](super::Error::DigestMismatch) and [`SizeMismatch`](super::Error::SizeMismatch) when the source is not the blob:
    /// then nothing was made visible. [`Source`](super::Error::Source), [`Session`](super::Error::Session),
    /// [`PushRefused`](super::Error::PushRefused), or what the registry said at the last attempt. The session is kept when the
    /// network or "not now" is the reason.
    pub async fn upload(&self, blob: &BlobUpload<'_>) -> Result<Uploaded> {
        Transfer::new(self, blob).complete().await
    }

    /// The Location of a session. Registries behind a proxy that ends TLS often name
    /// themselves with `http`: that is not followed down.
    pub(super) async fn session_location(
        &self,
        place: &Endpoint,
        response: &Response,
    ) -> Result<Url> {
        let base = self.base(place).await?;
        let mut location = response.location()?;
        if base.scheme() == "https" && location.scheme() == "http" {
            let same = location.host_str() == base.host_str() && location.port() == base.port();
            if same {
                let _ = location.set_scheme("https");
            } else if !self.is_insecure(place) {
                return Err(response.unexpected("its Location leads from TLS to plain HTTP"));
            }
        }
        if !matches!(location.scheme(), "http" | "https") {
            return Err(response.unexpected("its Location is not HTTP"));
        }
        Ok(location)
    }
}
