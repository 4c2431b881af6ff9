//! Reads back from the target what this run put there: hashes the manifests, and reads the last
//! byte of every blob. Each is read once for each repository.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;

use super::failure::Failure;
use super::image_report::ImageReport;
use super::image_report::failed;
use crate::bundle::read::Manifests;
use crate::error::Class;
use crate::model::{Digest, Repository};
use crate::ops::context::Context;
use crate::plan::import::ImportPlan;
use crate::progress::{Event, Phase};
use crate::registry::{Client, Selector};

/// Number of manifests and blobs that are read back at the same time.
const JOBS: usize = 32;

/// A manifest or blob in a repository.
type Place = (Repository, Digest);

/// The manifests and blobs to read back.
pub(super) struct ReadBack {
    client: Client,
    manifests: Arc<Manifests>,
    put_manifests: BTreeSet<Place>,
    put_blobs: BTreeSet<Place>,
}

/// Manifests and blobs that were put on the target and cannot be read back.
pub(super) struct ReadBackFailures(BTreeMap<Place, Failure>);

impl ReadBack {
    pub(super) fn new(
        client: Client,
        manifests: Arc<Manifests>,
        put_manifests: BTreeSet<Place>,
        put_blobs: BTreeSet<Place>,
    ) -> Self {
        Self {
            client,
            manifests,
            put_manifests,
            put_blobs,
        }
    }

    pub(super) async fn run(&self, context: &Context) -> ReadBackFailures {
        let phase = Phase::ReadBack;
        let items = self.put_manifests.len() + self.put_blobs.len();
        context.emit(Event::PhaseStarted {
            phase,
            items: items as u64,
            bytes: 0,
        });
        let manifests = self.put_manifests.iter().map(|place| (place, true));
        let blobs = self.put_blobs.iter().map(|place| (place, false));
        let losses = stream::iter(manifests.chain(blobs))
            .map(|(place, is_manifest)| async move {
                let item: Arc<str> = format!("{}@{}", place.0, place.1).into();
                context.emit(Event::ItemStarted {
                    phase,
                    item: Arc::clone(&item),
                    bytes: 0,
                    bytes_cached: 0,
                });
                let read = match is_manifest {
                    true => self.manifest(place).await,
                    false => self.blob(place).await,
                };
                let ok = read.is_ok();
                context.emit(Event::ItemFinished { phase, item, ok });
                read.err().map(|failure| (place.clone(), failure))
            })
            .buffer_unordered(JOBS)
            .filter_map(std::future::ready)
            .collect()
            .await;
        context.emit(Event::PhaseFinished { phase });
        ReadBackFailures(losses)
    }

    async fn manifest(&self, (repository, digest): &Place) -> Result<(), Failure> {
        let selector = Selector::from(*digest);
        self.client.manifest(repository, &selector).await?;
        Ok(())
    }

    async fn blob(&self, (repository, digest): &Place) -> Result<(), Failure> {
        let size = self.manifests.blob_size(digest);
        match self.client.blob_present(repository, *digest, size).await? {
            true => Ok(()),
            false => {
                let reason = format!("{repository} does not have blob {digest}");
                Err(Failure::of_target(reason))
            }
        }
    }
}

impl ReadBackFailures {
    /// Turns the reports of images that need a lost manifest or blob into failures.
    pub(super) fn apply(self, plan: &ImportPlan, reports: &mut [ImageReport]) {
        if self.0.is_empty() {
            return;
        }
        for (image, report) in plan.images.iter().zip(reports) {
            let attached = image.attached.iter();
            let attached = attached.flat_map(|artifact| &artifact.manifests);
            let parts = image.manifests.iter().chain(attached);
            let lost = parts
                .chain(&image.blobs)
                .find_map(|digest| self.0.get(&(image.repository().clone(), *digest)));
            if let (Some(failure), None) = (lost, report.class) {
                let mut failure = failure.clone();
                failure.class = Class::Target;
                failure.reason = format!("reading it back failed: {}", failure.reason);
                *report = failed(image, failure);
            }
        }
    }
}
