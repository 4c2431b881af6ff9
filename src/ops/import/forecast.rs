//! Forecasts for a dry run how many bytes an import would send, by asking for every blob.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream;
use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;

use super::base_blobs::BaseBlobPlaces;
use super::opened::Opened;
use super::probe::{JOBS, Probe, target_error};
use super::request::Request;
use crate::error::Result;
use crate::model::{Digest, Repository};
use crate::plan::import::ImportPlan;
use crate::registry;

/// Forecast of an import, in bytes of blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Forecast {
    /// Bytes to send. More will be sent if the target does not mount.
    pub bytes_to_upload: u64,
    /// Bytes that are there already or would be mounted; counted for each repository.
    pub bytes_there: u64,
}

/// Upper limit of requests.
pub(super) fn request_count(plan: &ImportPlan) -> usize {
    let asked = super::base_blobs::request_count(plan);
    plan.blob_counts().0.saturating_sub(asked)
}

/// Asks for every blob that the search for blobs of bases did not ask for.
pub(super) async fn measure(
    request: &Request,
    opened: &Opened,
    plan: &ImportPlan,
    base_blobs: &BaseBlobPlaces,
    probe: &Probe<'_>,
) -> Result<Forecast> {
    let mut wanted: BTreeMap<&Digest, BTreeSet<&Repository>> = BTreeMap::new();
    for image in &plan.images {
        for digest in &image.blobs {
            wanted.entry(digest).or_default().insert(image.repository());
        }
    }
    let pairs = wanted.iter().flat_map(|(digest, repositories)| {
        let repositories = repositories.iter();
        repositories.map(move |repository| (*digest, *repository))
    });
    // Blobs of bases were looked for before.
    let unknown = pairs.filter(|(digest, _)| !plan.base_blobs.contains_key(*digest));
    let found: Vec<Option<&Digest>> = stream::iter(unknown)
        .map(|(digest, repository)| async move {
            let size = opened.manifests.blob_size(digest);
            let question = request.client.blob_present(repository, *digest, size);
            let question = async {
                match probe.is_hidden(repository) {
                    true => Ok(false),
                    // In doubt, count the blob as absent.
                    false => match probe.unless_hidden(repository, question.await, false) {
                        Err(error) if error.may_concern_one_object() => Ok(false),
                        answer => answer,
                    },
                }
            };
            let item = format!("{repository}@{digest}");
            let there = probe.item(item, question).await?;
            Ok::<_, registry::Error>(there.then_some(digest))
        })
        .buffer_unordered(JOBS)
        .try_collect()
        .await
        .map_err(|error| target_error("The target cannot be queried for blobs".into(), error))?;
    let there: BTreeSet<&Digest> = found.into_iter().flatten().collect();
    let mut forecast = Forecast::default();
    for (digest, repositories) in &wanted {
        let size = opened.manifests.blob_size(digest);
        let all = size.saturating_mul(repositories.len() as u64);
        // A blob is sent once, and mounted in other repositories.
        let sent = match there.contains(digest) || base_blobs.has_anywhere(digest) {
            true => 0,
            false => size,
        };
        forecast.bytes_to_upload = forecast.bytes_to_upload.saturating_add(sent);
        forecast.bytes_there = forecast
            .bytes_there
            .saturating_add(all.saturating_sub(sent));
    }
    Ok(forecast)
}
