//! Facts that this process has learned about hosts and repositories.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;

use crate::model::{Host, Repository};
use crate::registry::locks::lock;
use crate::registry::places::Endpoint;

/// How an upload distributes a blob's bytes over requests, in the order in which the ways are
/// tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::registry) enum UploadWay {
    /// PATCHes with `Content-Range`, then a PUT. The only way that can continue an interrupted
    /// session.
    RangedPieces,
    /// The whole blob in the PUT that finishes the session. Blobs that fit into one request begin
    /// with this way.
    OneRequest,
    /// PATCHes without `Content-Range`, then a PUT, as docker and podman send a blob.
    PlainPieces,
}

/// Result of trying to fetch blobs of one registry in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum PartsVerdict {
    Faster,
    NotFaster,
}

/// Facts about one host.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::registry) struct HostFacts {
    /// Largest upload request in bytes to try; `None` until the host refused one as too large
    /// (413).
    pub(in crate::registry) piece_limit: Option<u64>,
    /// Way of uploading blobs that fit into one request; `None` until the host refused another
    /// way.
    small_uploads: Option<UploadWay>,
    /// Way of uploading larger blobs; `None` until the host refused another way.
    large_uploads: Option<UploadWay>,
    /// True if a blob that was uploaded in pieces was found whole there.
    pub(in crate::registry) pieces_verified: bool,
    /// Verdict on fetching its blobs in parts; `None` until one was reached.
    pub(in crate::registry) parts_verdict: Option<PartsVerdict>,
}

impl HostFacts {
    /// Returns the way to upload blobs, as far as it is known. `small`: blobs that fit into one
    /// request.
    pub(in crate::registry) fn upload_way(&self, small: bool) -> UploadWay {
        let known = match small {
            true => self.small_uploads,
            false => self.large_uploads,
        };
        known.unwrap_or(UploadWay::RangedPieces)
    }

    /// Remembers a way that the host accepted after it refused another one.
    pub(in crate::registry) fn set_upload_way(&mut self, small: bool, way: UploadWay) {
        match small {
            true => self.small_uploads = Some(way),
            false => self.large_uploads = Some(way),
        }
    }
}

/// Facts about one repository.
#[derive(Debug, Clone, Default)]
struct RepositoryFacts {
    /// The last place that delivered content of it.
    last_place: Option<Endpoint>,
    /// True after the warning that this place failed and that the next one is asked.
    warned: bool,
    /// True if this process has written into it.
    written: bool,
}

/// Facts about all hosts and repositories.
#[derive(Debug, Default)]
pub(super) struct Learned {
    hosts: Mutex<HashMap<Host, HostFacts>>,
    repositories: Mutex<HashMap<Repository, RepositoryFacts>>,
}

/// Changes an entry; creates a default one first if there is none. Only then is the key cloned.
fn change<K: Clone + Eq + Hash, V: Default, T>(
    map: &Mutex<HashMap<K, V>>,
    key: &K,
    change: impl FnOnce(&mut V) -> T,
) -> T {
    let mut map = lock(map);
    match map.get_mut(key) {
        Some(facts) => change(facts),
        None => change(map.entry(key.clone()).or_default()),
    }
}

impl Learned {
    pub(super) fn host(&self, host: &Host) -> HostFacts {
        lock(&self.hosts).get(host).copied().unwrap_or_default()
    }

    pub(super) fn change_host(&self, host: &Host, by: impl FnOnce(&mut HostFacts)) {
        change(&self.hosts, host, by);
    }

    /// Returns the last place that delivered content of a repository.
    pub(super) fn last_place(&self, repository: &Repository) -> Option<Endpoint> {
        lock(&self.repositories).get(repository)?.last_place.clone()
    }

    pub(super) fn remember_place(&self, repository: &Repository, place: &Endpoint) {
        change(&self.repositories, repository, |facts| {
            if facts.last_place.as_ref() != Some(place) {
                facts.last_place = Some(place.clone());
            }
        });
    }

    /// Returns true for the first warning about a place, false for all later ones.
    pub(super) fn mark_warned(&self, place: &Repository) -> bool {
        change(&self.repositories, place, |facts| {
            !std::mem::replace(&mut facts.warned, true)
        })
    }

    pub(super) fn wrote_to(&self, repository: &Repository) {
        change(&self.repositories, repository, |facts| facts.written = true);
    }

    pub(super) fn has_written_to(&self, repository: &Repository) -> bool {
        let repositories = lock(&self.repositories);
        repositories
            .get(repository)
            .is_some_and(|facts| facts.written)
    }
}
