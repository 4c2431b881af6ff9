//! What this process has learned of hosts and repositories while it talked to them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;

use crate::model::{Host, Repository};
use crate::registry::locks::lock;
use crate::registry::places::Endpoint;

/// How a blob's bytes are put into requests, in the order in which the ways are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::registry) enum UploadWay {
    /// PATCHes with `Content-Range`, then a PUT. The only way in which an interrupted session is
    /// continued.
    RangedPieces,
    /// The whole blob in the PUT that finishes the session. Small blobs begin here.
    OneRequest,
    /// PATCHes without `Content-Range`, then a PUT, as docker and podman send a blob.
    PlainPieces,
}

/// What is known of dividing blobs of one registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Verdict {
    Helps,
    Useless,
}

/// What is known of one host.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::registry) struct HostFacts {
    /// Most bytes that it takes in one request, where it refused more.
    pub(in crate::registry) piece_limit: Option<u64>,
    /// How blobs that fit into one request go up, where it refused another way.
    small_uploads: Option<UploadWay>,
    /// How larger blobs go up, where it refused another way.
    large_uploads: Option<UploadWay>,
    /// Whether a blob that came in pieces was seen there whole.
    pub(in crate::registry) joins_pieces: bool,
    /// Whether its blobs come faster in parts, where that was tried.
    pub(in crate::registry) dividing: Option<Verdict>,
}

impl HostFacts {
    /// How blobs go up, as far as that is known; `small`: those that fit into one request.
    pub(in crate::registry) fn upload_way(&self, small: bool) -> UploadWay {
        let known = match small {
            true => self.small_uploads,
            false => self.large_uploads,
        };
        known.unwrap_or(UploadWay::RangedPieces)
    }

    /// Remembers a way that the host took, where it refused another one.
    pub(in crate::registry) fn set_upload_way(&mut self, small: bool, way: UploadWay) {
        match small {
            true => self.small_uploads = Some(way),
            false => self.large_uploads = Some(way),
        }
    }
}

/// What is known of one repository.
#[derive(Debug, Clone, Default)]
struct RepositoryFacts {
    /// The place that had content of it last.
    found_at: Option<Endpoint>,
    /// Whether a warning said that it failed and that the next place is asked.
    warned: bool,
    /// Whether this process has written into it.
    written: bool,
}

/// What is known of all hosts and repositories.
#[derive(Debug, Default)]
pub(super) struct Learned {
    hosts: Mutex<HashMap<Host, HostFacts>>,
    repositories: Mutex<HashMap<Repository, RepositoryFacts>>,
}

/// Changes an entry, and makes it first where there is none. The key is copied only then.
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

    /// The place that had content of a repository last.
    pub(super) fn last_place(&self, repository: &Repository) -> Option<Endpoint> {
        lock(&self.repositories).get(repository)?.found_at.clone()
    }

    pub(super) fn found_at(&self, repository: &Repository, place: &Endpoint) {
        change(&self.repositories, repository, |facts| {
            if facts.found_at.as_ref() != Some(place) {
                facts.found_at = Some(place.clone());
            }
        });
    }

    /// Whether this is the first warning about a place.
    pub(super) fn warns_first(&self, place: &Repository) -> bool {
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
