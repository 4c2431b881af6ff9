//! The sources of a plan's blobs, and the effect of a failed download.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::bundle::write::lane::LaneBlob;
use crate::error::{Class, Error, chain};
use crate::model::{Digest, Repository};
use crate::plan::export::{ExportPlan, PlannedPlace};
use crate::registry::{self, Client};

/// Client, plan and policy for fetching the blobs of a plan.
pub(super) struct Sources {
    pub(super) client: Client,
    pub(super) plan: Arc<ExportPlan>,
    /// Blobs that an earlier run gave up.
    pub(super) skipped: BTreeSet<Digest>,
    /// True to give up blobs whose registry cannot be reached, instead of stopping.
    pub(super) keep_going: bool,
}

/// Reason why a blob could not be downloaded.
pub(super) enum Failed {
    /// The run must stop; the same command continues it later.
    Stop(Error),
    /// This blob is not available; the run goes on without it.
    Blob(String),
}

impl Sources {
    /// True for a blob made by this program: it is stored beside the plan, and no registry has it.
    pub(super) fn is_made(&self, blob: &LaneBlob) -> bool {
        let planned = self.plan.blob(&blob.digest);
        planned.is_some_and(|planned| planned.place == PlannedPlace::Made)
    }

    /// Returns the repositories that should have a blob.
    pub(super) fn places(&self, blob: &LaneBlob) -> &[Repository] {
        match self.plan.blob(&blob.digest).map(|blob| &blob.place) {
            Some(PlannedPlace::Fetch(places)) => places,
            _ => &[],
        }
    }

    /// Decides if a failure affects this blob alone, or ends the run until the network is back.
    pub(super) fn failed(&self, error: registry::Error) -> Failed {
        let reason = chain(&error);
        if error.is_network() && !self.keep_going {
            let hint = error.hint();
            let stop = Error::new(Class::Network, "The source registry cannot be reached");
            Failed::Stop(
                hint.into_iter()
                    .fold(stop.caused_by(error), Error::hint)
                    .hint("run the same command again: it continues where it stopped")
                    .hint("--keep-going seals an incomplete bundle without what cannot be reached"),
            )
        } else {
            Failed::Blob(reason)
        }
    }
}

/// The repositories to ask for one blob, in order.
pub(super) struct RepositoryQueue<'a> {
    waiting: VecDeque<&'a Repository>,
    /// The first repository that sent wrong bytes. Transmission may be the cause, so it is asked
    /// once more if no other has the blob.
    wrong: Option<&'a Repository>,
    /// True once a repository was asked again.
    asked_again: bool,
    failed: Failed,
}

impl<'a> RepositoryQueue<'a> {
    pub(super) fn of(places: &'a [Repository]) -> Self {
        Self {
            waiting: places.iter().collect(),
            wrong: None,
            asked_again: false,
            failed: Failed::no_source(),
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
            "the registry sent content with a wrong digest".to_owned(),
        ));
    }

    pub(super) fn failed(&mut self, failed: Failed) {
        // An unreachable place may have the blob, so that failure outweighs places that lack it.
        if !matches!((&self.failed, &failed), (Failed::Stop(_), Failed::Blob(_))) {
            self.failed = failed;
        }
    }

    /// Returns the failure to report when no place delivered the blob.
    pub(super) fn into_failure(self) -> Failed {
        self.failed
    }
}

impl Failed {
    pub(super) fn no_source() -> Self {
        Self::Blob("no repository is known to have it".to_owned())
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Stop(error)
    }
}
