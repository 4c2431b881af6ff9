//! Blobs on the target: each goes up once, and is mounted wherever else it is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::preflight::Before;
use super::{Opened, Request};
use crate::format::hash::sha256;
use crate::model::{BlobPlace, Digest, Repository};
use crate::ops::context::Context;
use crate::ops::examine::Bundle;
use crate::ops::pipeline::StoredBlob;
use crate::progress::{Event, Phase};
use crate::registry::{self, BlobUpload, Client, Mount, SessionStore, UploadSession};
use crate::sys::sessions::SessionFiles;

/// What was done, in numbers.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Bytes that went up.
    pub(super) uploaded: AtomicU64,
    /// Bytes of blobs that were there already, or were mounted.
    pub(super) reused: AtomicU64,
}

/// Where a blob is known to be on the target.
type Places = Arc<tokio::sync::Mutex<BTreeSet<Repository>>>;

/// Puts blobs where they are needed.
pub(super) struct Depot {
    client: Client,
    bundle: Arc<Bundle>,
    sessions: Sessions,
    jobs: Semaphore,
    places: Mutex<BTreeMap<Digest, Places>>,
    pub(super) counters: Counters,
    context: Context,
}

impl Depot {
    pub(super) fn new(
        request: &Request,
        opened: &Opened,
        before: &Before,
        sessions: SessionFiles,
        context: Context,
    ) -> Self {
        let mut places: BTreeMap<Digest, BTreeSet<Repository>> = BTreeMap::new();
        for (repository, digest) in &before.in_place {
            places
                .entry(*digest)
                .or_default()
                .insert(repository.clone());
        }
        for (digest, repository) in &before.mountable {
            places
                .entry(*digest)
                .or_default()
                .insert(repository.clone());
        }
        let shared = |set| Arc::new(tokio::sync::Mutex::new(set));
        Self {
            client: request.client.clone(),
            bundle: Arc::clone(&opened.bundle),
            sessions: Sessions(sessions),
            jobs: Semaphore::new(request.jobs.max(1)),
            places: Mutex::new(places.into_iter().map(|(k, v)| (k, shared(v))).collect()),
            counters: Counters::default(),
            context,
        }
    }

    fn places(&self, digest: &Digest) -> Places {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(*digest).or_default())
    }

    /// Makes sure that a repository has a blob. What was found out once in this run holds.
    /// Returns `false` when the bundle does not carry it and the target does not mount it.
    pub(super) async fn ensure(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> registry::Result<bool> {
        let places = self.places(digest);
        // Held for the whole time: a second repository waits, and then mounts.
        let mut places = places.lock().await;
        if places.contains(repository) {
            return Ok(true);
        }
        let Some(blob) = self.bundle.inventory.blob(digest) else {
            return Ok(true);
        };
        let (size, carried) = match &blob.place {
            BlobPlace::Carried(carried) => (blob.size, Some(carried)),
            _ => (blob.size, None),
        };
        let _permit = self.jobs.acquire().await;
        if self.client.blob_present(repository, *digest, size).await? {
            self.reused(digest, size);
            places.insert(repository.clone());
            return Ok(true);
        }
        let mut session = None;
        let elsewhere = places
            .iter()
            .find(|place| place.host == repository.host)
            .cloned();
        if let Some(elsewhere) = elsewhere {
            // A registry that cannot mount is sent the bytes.
            match self
                .client
                .mount(repository, *digest, &elsewhere.path)
                .await
            {
                Ok(Mount::Mounted) => {
                    self.reused(digest, size);
                    places.insert(repository.clone());
                    return Ok(true);
                }
                Ok(Mount::Upload(begun)) => session = Some(begun),
                Err(error) if error.is_network() => return Err(error),
                Err(_) => {}
            }
        }
        let Some(carried) = carried else {
            return Ok(false);
        };
        let stored = StoredBlob::new(Arc::clone(&self.bundle.media), carried);
        self.upload(repository, digest, size, &stored, session)
            .await?;
        places.insert(repository.clone());
        Ok(true)
    }

    /// Sends blobs again that the target does not have although it said so: a garbage
    /// collection took them, and its cache does not know.
    pub(super) async fn upload_again(
        &self,
        repository: &Repository,
        digests: &[Digest],
    ) -> registry::Result<()> {
        for digest in digests {
            let places = self.places(digest);
            let mut places = places.lock().await;
            let Some(blob) = self.bundle.inventory.blob(digest) else {
                continue;
            };
            if let BlobPlace::Carried(carried) = &blob.place {
                let stored = StoredBlob::new(Arc::clone(&self.bundle.media), carried);
                self.upload(repository, digest, blob.size, &stored, None)
                    .await?;
                places.insert(repository.clone());
            }
        }
        Ok(())
    }

    async fn upload(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
        stored: &StoredBlob,
        session: Option<UploadSession>,
    ) -> registry::Result<()> {
        let phase = Phase::Upload;
        let item = digest.to_string();
        let (bytes, bytes_cached) = (size, 0);
        self.context.emit(Event::ItemStarted {
            phase,
            item: item.clone(),
            bytes,
            bytes_cached,
        });
        let listener = Arc::new(Advance {
            context: self.context.clone(),
            item: item.clone(),
            furthest: AtomicU64::new(0),
        });
        let uploaded = self
            .client
            .upload(&BlobUpload {
                repository,
                digest: *digest,
                size,
                source: stored,
                sessions: &self.sessions,
                session,
                listener: Arc::new(move |position| listener.at(position)),
            })
            .await;
        self.context.emit(Event::ItemFinished {
            phase,
            item,
            ok: uploaded.is_ok(),
        });
        let uploaded = uploaded?;
        self.counters
            .uploaded
            .fetch_add(uploaded.sent, Ordering::Relaxed);
        self.counters
            .reused
            .fetch_add(uploaded.resumed_at, Ordering::Relaxed);
        Ok(())
    }

    fn reused(&self, digest: &Digest, size: u64) {
        self.counters.reused.fetch_add(size, Ordering::Relaxed);
        let (phase, item) = (Phase::Upload, digest.to_string());
        let bytes = size;
        let started = Event::ItemStarted {
            phase,
            item: item.clone(),
            bytes,
            bytes_cached: bytes,
        };
        self.context.emit(started);
        self.context.emit(Event::ItemFinished {
            phase,
            item,
            ok: true,
        });
    }
}

/// Turns positions, which may go back, into progress, which does not.
struct Advance {
    context: Context,
    item: String,
    furthest: AtomicU64,
}

impl Advance {
    fn at(&self, position: u64) {
        let before = self.furthest.fetch_max(position, Ordering::Relaxed);
        if position > before {
            let (phase, item) = (Phase::Upload, self.item.clone());
            let bytes = position - before;
            self.context
                .emit(Event::ItemAdvanced { phase, item, bytes });
        }
    }
}

/// Upload sessions in files, one for each blob and repository.
struct Sessions(SessionFiles);

impl Sessions {
    fn key(repository: &Repository, digest: &Digest) -> Digest {
        sha256(format!("{repository}@{digest}").as_bytes())
    }
}

impl SessionStore for Sessions {
    fn load(&self, repository: &Repository, digest: &Digest) -> io::Result<Option<UploadSession>> {
        let text = self.0.load(&Self::key(repository, digest));
        // A session that cannot be read is one that is not there.
        Ok(text.and_then(|text| text.parse().ok()))
    }

    fn store(
        &self,
        repository: &Repository,
        digest: &Digest,
        session: &UploadSession,
    ) -> io::Result<()> {
        self.0
            .store(&Self::key(repository, digest), &session.to_secret_text())
            .map_err(io::Error::other)
    }

    fn remove(&self, repository: &Repository, digest: &Digest) -> io::Result<()> {
        self.0
            .remove(&Self::key(repository, digest))
            .map_err(io::Error::other)
    }
}
