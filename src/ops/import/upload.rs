//! Uploads an import: every image's content and then its tag; last the roots of catalogs and
//! releases, those of releases only if all their images are there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use super::blob_uploader::BlobUploader;
use super::content;
use super::content::{Content, ContentWriter, Tagged};
use super::failure::Failure;
use super::groups::{BrokenGroups, roots};
use super::image_report::{ImageReport, ImageState, failed, image_report};
use super::manifest_pusher::ManifestPusher;
use super::opened::Opened;
use super::preflight::TargetFacts;
use super::read_back::ReadBack;
use super::report::UploadResult;
use super::request::Request;
use super::tags::{TagAction, TagDecision};
use crate::error::Class;
use crate::model::{Digest, Repository};
use crate::ops::context::Context;
use crate::plan::import::{ImageUpload, ImportPlan};
use crate::progress::{Event, Phase};
use crate::registry::Client;

/// Number of images that are handled at the same time. `BlobUploader` limits the blobs.
const IMAGES: usize = 16;

/// Time to finish setting a tag after the operator's interrupt, so that the report is true.
const GRACE: Duration = Duration::from_secs(5);

/// State shared by the uploads of all images.
struct Importer {
    client: Client,
    writer: ContentWriter,
    /// Set when the target cannot be reached any more: no further image is begun.
    unreachable: AtomicBool,
    context: Context,
}

/// Imports every image of the plan. A failure affects only that image and its release. If the run
/// is stopped, the result lists what was committed.
pub(super) async fn run(
    request: &Request,
    opened: &Opened,
    plan: &ImportPlan,
    facts: &TargetFacts,
    uploader: Arc<BlobUploader>,
    context: &Context,
) -> UploadResult {
    let phase = Phase::Upload;
    context.emit(Event::PhaseStarted {
        phase,
        items: plan.blob_counts().0 as u64,
        bytes: upload_bytes(opened, plan),
    });
    let client = request.client.clone();
    let manifests = Arc::clone(&opened.manifests);
    let pusher = ManifestPusher::new(client.clone(), manifests, Arc::clone(&uploader));
    let pusher = Arc::new(pusher);
    let importer = Importer {
        client: client.clone(),
        writer: ContentWriter::new(
            request,
            opened,
            plan,
            facts,
            Arc::clone(&uploader),
            Arc::clone(&pusher),
        ),
        unreachable: AtomicBool::new(false),
        context: context.clone(),
    };
    let mut images = importer.images(plan, facts).await;
    context.emit(Event::PhaseFinished { phase });
    let is_cut = |images: &[ImageReport]| {
        let mut classes = images.iter().map(|image| image.class);
        classes.any(|class| class == Some(Class::Interrupted))
    };
    let mut interrupted = is_cut(&images);
    let put = (pusher.take_put(), uploader.take_put());
    let is_unchanged = put.0.is_empty() && put.1.is_empty();
    if request.read_back && !interrupted && !is_unchanged {
        let manifests = Arc::clone(&opened.manifests);
        let read_back = ReadBack::new(client, manifests, put.0, put.1);
        tokio::select! {
            failures = read_back.run(context) => failures.apply(plan, &mut images),
            () = context.cancel.cancelled() => interrupted = true,
        }
    }
    UploadResult {
        images,
        interrupted,
        uploaded: uploader.counters.uploaded.load(Ordering::Relaxed),
        reused: uploader.counters.reused.load(Ordering::Relaxed),
    }
}

fn upload_bytes(opened: &Opened, plan: &ImportPlan) -> u64 {
    let pairs: BTreeSet<(&Repository, &Digest)> = plan
        .images
        .iter()
        .flat_map(|image| {
            let blobs = image.blobs.iter();
            blobs.map(move |blob| (image.repository(), blob))
        })
        .collect();
    let sizes = pairs
        .iter()
        .map(|(_, blob)| opened.manifests.blob_size(blob));
    sizes.sum()
}

impl Importer {
    /// Imports all images; returns reports in the plan's order. Roots come after their groups.
    async fn images(&self, plan: &ImportPlan, facts: &TargetFacts) -> Vec<ImageReport> {
        let decided = || plan.images.iter().zip(&facts.tags);
        let mut reports: Vec<Option<ImageReport>> = stream::iter(decided())
            .map(|(image, decision)| async move {
                match image.is_root() {
                    true => None,
                    // Its tag is set as soon as its content is complete.
                    false => Some(self.image(image, decision).await),
                }
            })
            .buffered(IMAGES)
            .collect()
            .await;
        let mut broken = BrokenGroups::new(plan);
        for (image, report) in plan.images.iter().zip(&reports) {
            report.iter().for_each(|report| broken.note(image, report));
        }
        for index in roots(plan) {
            let (Some((image, decision)), Some(turn)) =
                (decided().nth(index), reports.get_mut(index))
            else {
                continue;
            };
            let report = match broken.failure_of(image) {
                Some(failure) => failed(image, failure),
                None => self.image(image, decision).await,
            };
            broken.note(image, &report);
            *turn = Some(report);
        }
        reports.into_iter().flatten().collect()
    }

    /// Imports an image: its content, then its tag.
    async fn image(&self, image: &ImageUpload, decision: &TagDecision) -> ImageReport {
        if let Some(failure) = &decision.failure {
            return failed(image, failure.clone());
        }
        let done = async {
            let mut content = self.content(image, decision).await?;
            let refused = std::mem::take(&mut content.refused);
            if let Some(network) = refused.iter().find(|refused| refused.failure.network) {
                self.check_reachable(image, &network.as_failure()).await;
            }
            let tagged = self.commit(image, content, decision).await?;
            Ok((tagged, refused))
        };
        match done.await {
            Ok((tagged, refused_attachments)) => ImageReport {
                refused_attachments,
                ..committed_report(image, decision, &tagged)
            },
            Err(failure) => failed(image, failure),
        }
    }

    /// Writes an image's content without its tag.
    async fn content(
        &self,
        image: &ImageUpload,
        decision: &TagDecision,
    ) -> Result<Content, Failure> {
        if self.unreachable.load(Ordering::Relaxed) {
            let reason = "not started: the target could not be reached any more".to_owned();
            return Err(Failure::of_target(reason));
        }
        let result = tokio::select! {
            biased;
            () = self.context.cancel.cancelled() => Err(Failure::interrupted()),
            result = self.writer.write(image, decision) => result,
        };
        if let Err(failure) = &result {
            self.check_reachable(image, failure).await;
        }
        result
    }

    /// Checks after a network failure if the target is reachable at all.
    async fn check_reachable(&self, image: &ImageUpload, failure: &Failure) {
        if failure.network
            // The target may refuse only this request; then others can still succeed.
            && self.client.ping_for(image.repository()).await.is_err()
        {
            self.unreachable.store(true, Ordering::Relaxed);
        }
    }

    /// Sets the tag. An interrupt during this takes effect after `GRACE`.
    async fn commit(
        &self,
        image: &ImageUpload,
        content: Content,
        decision: &TagDecision,
    ) -> Result<Tagged, Failure> {
        let stopped = async {
            self.context.cancel.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        let result = tokio::select! {
            biased;
            top = self.writer.tag(image, content, decision) => top,
            () = stopped => Err(Failure::interrupted()),
        };
        if let Err(failure) = &result {
            self.check_reachable(image, failure).await;
        }
        result
    }
}

/// Makes the report on an image that is on the target.
fn committed_report(image: &ImageUpload, decision: &TagDecision, tagged: &Tagged) -> ImageReport {
    let decision = TagDecision {
        action: tagged.action,
        ..decision.clone()
    };
    let top = tagged.top;
    let mut report = image_report(image, &decision, ImageState::Committed);
    report.replaced.clone_from(&tagged.replaced);
    if decision.action == TagAction::Skip {
        report.state = ImageState::TagKept;
    }
    if top != image.placed.image.root {
        report.state = ImageState::PlatformOnly;
        report.digest = Some(top);
        report.reason = Some(content::NO_SPARSE_INDEXES.to_owned());
    }
    report
}
