//! Where the blobs of a plan are fetched from, and what a failure to fetch one costs.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::bundle::write::lane::LaneBlob;
use crate::error::{Class, Error, chain};
use crate::model::{Digest, Repository};
use crate::plan::export::{ExportPlan, PlannedPlace};
use crate::registry::{self, Client};

/// Where the blobs of a plan are.
pub(super) struct Sources {
    pub(super) client: Client,
    pub(super) plan: Arc<ExportPlan>,
    /// Blobs that an earlier run gave up.
    pub(super) skipped: BTreeSet<Digest>,
    /// Give up blobs whose registry cannot be reached, instead of stopping.
    pub(super) keep_going: bool,
}

/// Why a blob's download ended without success.
pub(super) enum Failed {
    /// The run has to stop; the same command continues later.
    Stop(Error),
    /// This blob cannot be had.
    Blob(String),
}

impl Sources {
    /// True for a blob that this program made: it lies beside the plan, no registry has it.
    pub(super) fn is_made(&self, blob: &LaneBlob) -> bool {
        let planned = self.plan.blob(&blob.digest);
        planned.is_some_and(|planned| planned.place == PlannedPlace::Made)
    }

    /// The repositories that should have a blob.
    pub(super) fn places(&self, blob: &LaneBlob) -> &[Repository] {
        match self.plan.blob(&blob.digest).map(|blob| &blob.place) {
            Some(PlannedPlace::Fetch(places)) => places,
            _ => &[],
        }
    }

    /// Whether a failure costs this blob alone, or ends the run until the network is back.
    pub(super) fn failed(&self, error: registry::Error) -> Failed {
        let reason = chain(&error);
        if error.is_network() && !self.keep_going {
            let hint = error.hint();
            let stop = Error::new(Class::Network, "The source registry cannot be reached");
            Failed::Stop(
                hint.into_iter()
                    .fold(stop.caused_by(error), Error::hint)
                    .hint("run the same command again: it continues where it stopped")
                    .hint("--keep-going seals an incomplete bundle from what can be had"),
            )
        } else {
            Failed::Blob(reason)
        }
    }
}

/// The repositories that are asked for one blob, one after the other.
pub(super) struct RepositoryQueue<'a> {
    waiting: VecDeque<&'a Repository>,
    /// The first that sent wrong bytes: it may have been the line, so it is asked once more when
    /// no other has the blob.
    wrong: Option<&'a Repository>,
    /// That was done.
    asked_again: bool,
    failed: Failed,
}

impl<'a> RepositoryQueue<'a> {
    pub(super) fn of(places: &'a [Repository]) -> Self {
        Self {
            waiting: places.iter().collect(),
            wrong: None,
            asked_again: false,
            failed: Failed::nobody(),
        }
    }

    pub(super) fn next(&mut self) -> Option<&'a Repository> {
        self.waiting.pop_front().or_else(|| {
            let again = self.wrong.take().filter(|_| !self.asked_again);
            self.asked_again |= again.is_some();
            again
        })
    }

    pub(super) fn sent_wrong_bytes(&mut self, place: &'a Repository) {
        self.wrong.get_or_insert(place);
        self.failed(Failed::Blob(
            "the registry sends bytes whose SHA-256 is not the digest".to_owned(),
        ));
    }

    pub(super) fn failed(&mut self, failed: Failed) {
        // A place out of reach may have it yet: that weighs more than others that lack it.
        if !matches!((&self.failed, &failed), (Failed::Stop(_), Failed::Blob(_))) {
            self.failed = failed;
        }
    }

    /// Why no place had it.
    pub(super) fn verdict(self) -> Failed {
        self.failed
    }
}

impl Failed {
    pub(super) fn nobody() -> Self {
        Self::Blob("no repository is known to have it".to_owned())
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Stop(error)
    }
}
