//! Brings blobs to the target: uploads each once, and mounts it in other repositories.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::blob_locations::{BlobLocations, LocationState};
use super::opened::Opened;
use super::preflight::TargetFacts;
use super::refusals::{First, Refusals};
use super::request::Request;
use crate::bundle::open::Bundle;
use crate::bundle::read::StoredBlob;
use crate::error::chain;
use crate::format::hash::sha256;
use crate::model::{BlobEntry, BlobPlace, Carried, Digest, Repository};
use crate::ops::context::Context;
use crate::progress::{Event, Phase};
use crate::registry::{self, BlobUpload, Client, Mount, SessionStore, UploadSession};
use crate::sys;
use crate::sys::sessions::SessionFiles;

/// Counters of bytes for the report.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Bytes that were sent.
    pub(super) uploaded: AtomicU64,
    /// Bytes of blobs that were there already, or were mounted.
    pub(super) reused: AtomicU64,
}

/// A guess whether the target already has the content; decides if it is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// Probably there: ask before sending.
    There,
    /// Probably absent: mount or send without asking, where possible.
    Absent,
}

/// Result of a mount.
enum Mounted {
    Yes,
    /// The target did not mount the blob; it may have opened an upload session instead.
    No(Option<UploadSession>),
}

/// Repositories known to have a blob. The lock is held by the task that searches or uploads it.
type SharedLocations = Arc<tokio::sync::Mutex<BlobLocations>>;

/// Default for the number of blobs that are sent at the same time. Each holds some blocks of its
/// chunk in memory, and slow media such as sticks read best at few places at a time.
const UPLOADS: usize = 16;

/// Brings blobs to the repositories that need them.
pub(super) struct BlobUploader {
    client: Client,
    bundle: Arc<Bundle>,
    sessions: Sessions,
    jobs: Semaphore,
    refusals: Refusals,
    places: Mutex<BTreeMap<Digest, SharedLocations>>,
    /// Repositories that the target did not show; blobs there are sent without asking.
    hidden: BTreeSet<Repository>,
    /// Blobs that this run has put on the target, by repository.
    put: Mutex<BTreeSet<(Repository, Digest)>>,
    pub(super) counters: Counters,
    context: Context,
}

impl BlobUploader {
    pub(super) fn new(
        request: &Request,
        opened: &Opened,
        facts: &TargetFacts,
        sessions: SessionFiles,
        context: Context,
    ) -> Self {
        let places = facts.base_blobs.places().map(|(digest, repositories)| {
            let found = repositories
                .iter()
                .map(|place| (place.clone(), LocationState::Found));
            let places: BlobLocations = found.collect();
            (*digest, Arc::new(tokio::sync::Mutex::new(places)))
        });
        Self {
            client: request.client.clone(),
            bundle: Arc::clone(&opened.bundle),
            sessions: Sessions {
                files: sessions,
                context: context.clone(),
                told: AtomicBool::new(false),
            },
            jobs: Semaphore::new(request.jobs.map_or(UPLOADS, NonZeroUsize::get)),
            refusals: Refusals::default(),
            places: Mutex::new(places.collect()),
            hidden: facts.hidden.clone(),
            put: Mutex::default(),
            counters: Counters::default(),
            context,
        }
    }

    fn places(&self, digest: &Digest) -> SharedLocations {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(*digest).or_default())
    }

    /// Takes the pairs of repository and blob that this run has put on the target.
    pub(super) fn take_put(&self) -> BTreeSet<(Repository, Digest)> {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut put)
    }

    fn note_put(&self, repository: &Repository, digest: &Digest) {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        put.insert((repository.clone(), *digest));
    }

    /// Makes sure that a repository has a blob. Results are remembered during the run. Returns
    /// `false` if the bundle does not carry the blob and the target does not mount it.
    pub(super) async fn ensure(
        &self,
        repository: &Repository,
        digest: &Digest,
        expect: Expect,
    ) -> registry::Result<bool> {
        let places = self.places(digest);
        // Held until the end: a task for a second repository waits, and then mounts.
        let mut places = places.lock().await;
        let Some(blob) = self.bundle.inventory.blob(digest) else {
            return Ok(true);
        };
        match places.get(repository) {
            Some(LocationState::Counted) => return Ok(true),
            Some(LocationState::Found) => {
                self.reused(digest, blob.size);
                places.insert(repository.clone(), LocationState::Counted);
                return Ok(true);
            }
            None => {}
        }
        let there = self.bring(repository, blob, expect, places.first());
        let there = there.await?;
        if there {
            places.insert(repository.clone(), LocationState::Counted);
        }
        Ok(there)
    }

    /// Finds a blob in the repository, mounts it from another one, or sends it.
    async fn bring(
        &self,
        repository: &Repository,
        blob: &BlobEntry,
        expect: Expect,
        elsewhere: Option<&Repository>,
    ) -> registry::Result<bool> {
        // A mount also succeeds where the blob exists, so with one no request is needed before.
        let ask_first = expect == Expect::There || elsewhere.is_none();
        if ask_first && self.find(repository, blob).await? {
            return Ok(true);
        }
        let mut session = None;
        if let Some(elsewhere) = elsewhere {
            match self.mount(repository, blob, elsewhere).await? {
                Mounted::Yes => return Ok(true),
                Mounted::No(begun) => session = begun,
            }
        }
        // A registry without mounts may still have the blob.
        if !ask_first && self.find(repository, blob).await? {
            return Ok(true);
        }
        let BlobPlace::Carried(carried) = &blob.place else {
            return Ok(false);
        };
        self.upload(repository, blob, carried, session).await?;
        Ok(true)
    }

    /// True if the repository has the blob already.
    async fn find(&self, repository: &Repository, blob: &BlobEntry) -> registry::Result<bool> {
        if self.hidden.contains(repository) {
            return Ok(false);
        }
        let question = self.client.blob_present(repository, blob.digest, blob.size);
        let there = match question.await {
            Err(error) if error.is_hidden() => false,
            there => there?,
        };
        if there {
            self.reused(&blob.digest, blob.size);
        }
        Ok(there)
    }

    async fn mount(
        &self,
        repository: &Repository,
        blob: &BlobEntry,
        elsewhere: &Repository,
    ) -> registry::Result<Mounted> {
        let mount = self.client.mount(repository, blob.digest, &elsewhere.path);
        match mount.await {
            Ok(Mount::Mounted) => {
                self.reused(&blob.digest, blob.size);
                self.note_put(repository, &blob.digest);
                Ok(Mounted::Yes)
            }
            Ok(Mount::Upload(session)) => Ok(Mounted::No(Some(session))),
            Err(error) if error.is_network() => Err(error),
            // The registry may not support mounts: upload the blob instead.
            Err(_) => Ok(Mounted::No(None)),
        }
    }

    /// Sends blobs again that the target reported as present and then missed, for example because
    /// its garbage collection removed them and its cache still lists them.
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
                self.upload(repository, blob, carried, None).await?;
                places.insert(repository.clone(), LocationState::Counted);
            }
        }
        Ok(())
    }

    async fn upload(
        &self,
        repository: &Repository,
        blob: &BlobEntry,
        carried: &Carried,
        session: Option<UploadSession>,
    ) -> registry::Result<()> {
        let _permit = self.jobs.acquire().await;
        let first = self.refusals.enter(repository).await?;
        let stored = StoredBlob::new(Arc::clone(&self.bundle.media), carried);
        let phase = Phase::Upload;
        let item: Arc<str> = blob.digest.to_string().into();
        let (bytes, bytes_cached) = (blob.size, 0);
        self.context.emit(Event::ItemStarted {
            phase,
            item: Arc::clone(&item),
            bytes,
            bytes_cached,
        });
        let listener = Arc::new(Advance {
            context: self.context.clone(),
            item: Arc::clone(&item),
            furthest: AtomicU64::new(0),
            first: Mutex::new(first),
        });
        let ended = Arc::clone(&listener);
        let uploaded = self
            .client
            .upload(&BlobUpload {
                repository,
                digest: blob.digest,
                size: blob.size,
                source: &stored,
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
        let uploaded = uploaded.map_err(|error| self.refusals.note(repository, error));
        ended.is_accepted(uploaded.is_ok());
        let uploaded = uploaded?;
        self.note_put(repository, &blob.digest);
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
        let (phase, item): (_, Arc<str>) = (Phase::Upload, digest.to_string().into());
        let bytes = size;
        let started = Event::ItemStarted {
            phase,
            item: Arc::clone(&item),
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

/// Reports progress from positions. Positions may go back after a retry; progress must not.
struct Advance {
    context: Context,
    item: Arc<str>,
    furthest: AtomicU64,
    /// Held until the target has accepted bytes, or the upload ended.
    first: Mutex<Option<First>>,
}

impl Advance {
    /// Lets other uploads begin.
    fn is_accepted(&self, accepted: bool) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut first) = first.take() {
            *first |= accepted;
        }
    }

    fn at(&self, position: u64) {
        let before = self.furthest.fetch_max(position, Ordering::Relaxed);
        if position > before {
            self.is_accepted(true);
            let (phase, item) = (Phase::Upload, Arc::clone(&self.item));
            let bytes = position - before;
            self.context
                .emit(Event::ItemAdvanced { phase, item, bytes });
        }
    }
}

/// Stores upload sessions in files, one for each blob and repository.
struct Sessions {
    files: SessionFiles,
    context: Context,
    /// Set when a failure was reported.
    told: AtomicBool,
}

impl Sessions {
    /// Reports the first failure. A session that is not stored costs only its continuation by a
    /// later run.
    fn tolerate(&self, result: sys::Result<()>) {
        if let Err(error) = result
            && !self.told.swap(true, Ordering::Relaxed)
        {
            self.context.warn(format!(
                "A later run cannot continue unfinished blobs: {}",
                chain(&error)
            ));
        }
    }

    fn key(repository: &Repository, digest: &Digest) -> Digest {
        sha256(format!("{repository}@{digest}").as_bytes())
    }
}

impl SessionStore for Sessions {
    fn load(&self, repository: &Repository, digest: &Digest) -> io::Result<Option<UploadSession>> {
        let text = self.files.load(&Self::key(repository, digest));
        // A session that cannot be parsed counts as absent.
        Ok(text.and_then(|text| text.parse().ok()))
    }

    fn store(
        &self,
        repository: &Repository,
        digest: &Digest,
        session: &UploadSession,
    ) -> io::Result<()> {
        let key = Self::key(repository, digest);
        self.tolerate(self.files.store(&key, &session.to_secret_text()));
        Ok(())
    }

    fn remove(&self, repository: &Repository, digest: &Digest) -> io::Result<()> {
        self.tolerate(self.files.remove(&Self::key(repository, digest)));
        Ok(())
    }
}
