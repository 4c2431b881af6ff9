//! Images on the target: blobs, then child manifests, then the top, then its tag.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use futures_util::stream;

use super::Opened;
use super::depot::Depot;
use super::preflight::{Before, TagDecision};
use super::referrers::Referrals;
use super::report::{Done, ImageReport, ImageState, image_report};
use super::request::{Request, SparseIndex};
use crate::model::{Digest, ManifestEntry, Repository, Tag};
use crate::ops::context::Context;
use crate::ops::error::{Class, Error, Result, chain};
use crate::ops::manifests::Manifests;
use crate::plan::import::{ImageUpload, ImportPlan};
use crate::progress::{Event, Phase};
use crate::registry::{self, Client, Selector};

/// Images that are worked on at the same time. The blobs' own limit is the depot's.
const IMAGES: usize = 16;

/// Blobs of one image that are asked for at the same time.
const BLOBS: usize = 8;

/// Manifests that are read back at the same time.
const READ_BACK: usize = 16;

/// Why an image is not there.
struct Failure {
    class: Class,
    reason: String,
    /// It may be that nothing reaches the target any more.
    network: bool,
}

impl Failure {
    fn of_target(reason: String) -> Self {
        Self {
            class: Class::Target,
            reason,
            network: false,
        }
    }

    /// What a blob's way from the medium to the target ended with.
    fn of_blob(digest: &Digest, error: registry::Error) -> Self {
        use registry::Error as E;

        match error {
            // The bytes came from the medium: that they are wrong is not the target's fault.
            E::DigestMismatch { .. } | E::SizeMismatch { .. } => Self {
                class: Class::VerificationFailed,
                reason: format!("the bytes of {digest} in the bundle are not its bytes"),
                network: false,
            },
            other => other.into(),
        }
    }
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        use registry::Error as E;

        let class = match &error {
            E::Source { .. } | E::Session { .. } => Class::Media,
            _ => Class::Target,
        };
        Self {
            class,
            reason: chain(&error),
            network: error.is_network(),
        }
    }
}

/// How an image's content got there.
struct Content {
    /// What is tagged: the root, or one platform's manifest in its place.
    top: Digest,
    /// Whether anything was sent.
    changed: bool,
}

/// Does it.
struct Importer {
    client: Client,
    manifests: Arc<Manifests>,
    depot: Arc<Depot>,
    referrals: Referrals,
    sparse_index: SparseIndex,
    /// The network went away: nothing more is begun.
    unreachable: AtomicBool,
    context: Context,
}

/// Imports every image of the plan; a failure costs that image (and its group) alone.
pub(super) async fn run(
    request: &Request,
    opened: &Opened,
    plan: &ImportPlan,
    before: &Before,
    depot: Arc<Depot>,
    context: &Context,
) -> Result<Done> {
    let phase = Phase::Upload;
    let bytes = upload_bytes(opened, plan);
    context.emit(Event::PhaseStarted {
        phase,
        items: plan.blob_counts().0 as u64,
        bytes,
    });
    let importer = Importer {
        client: request.client.clone(),
        manifests: Arc::clone(&opened.manifests),
        depot,
        referrals: Referrals::new(request.client.clone(), Arc::clone(&opened.manifests)),
        sparse_index: request.sparse_index,
        unreachable: AtomicBool::new(false),
        context: context.clone(),
    };
    let work = importer.images(plan, before);
    let mut images = tokio::select! {
        images = work => images,
        () = context.cancel.cancelled() => return Err(Error::interrupted()),
    };
    context.emit(Event::PhaseFinished { phase });
    if request.read_back {
        tokio::select! {
            () = importer.read_back(plan, &mut images) => {}
            () = context.cancel.cancelled() => return Err(Error::interrupted()),
        }
    }
    let images = images.into_iter().map(|(report, _)| report).collect();
    let depot = importer.depot;
    let counters = Arc::into_inner(depot)
        .map(|depot| depot.counters)
        .unwrap_or_default();
    Ok(Done { images, counters })
}

fn upload_bytes(opened: &Opened, plan: &ImportPlan) -> u64 {
    let pairs: BTreeSet<(&Repository, &Digest)> = plan
        .images
        .iter()
        .flat_map(|image| {
            image
                .blobs
                .iter()
                .map(move |blob| (image.repository(), blob))
        })
        .collect();
    let size = |digest: &Digest| {
        opened
            .bundle
            .inventory
            .blob(digest)
            .map_or(0, |blob| blob.size)
    };
    pairs.into_iter().map(|(_, digest)| size(digest)).sum()
}

impl Importer {
    /// All images; those of a group are tagged together, or not at all.
    async fn images(&self, plan: &ImportPlan, before: &Before) -> Vec<(ImageReport, bool)> {
        let contents: Vec<_> = stream::iter(plan.images.iter().zip(&before.tags))
            .map(|(image, decision)| async move {
                let content = self.content(image, decision).await;
                match (content, &image.group) {
                    // Visible as soon as it is whole.
                    (Ok(content), None) => self.commit(image, content, decision).await,
                    (content, _) => Err(content),
                }
            })
            .buffered(IMAGES)
            .collect()
            .await;
        let mut broken_groups: BTreeMap<&str, String> = BTreeMap::new();
        for (image, content) in plan.images.iter().zip(&contents) {
            if let (Err(Err(failure)), Some(group)) = (content, &image.group) {
                let reason = format!("{}: {}", image.placed.image.requested, failure.reason);
                broken_groups.entry(group).or_insert(reason);
            }
        }
        let mut reports = Vec::new();
        let decided = plan.images.iter().zip(&before.tags).zip(contents);
        for ((image, decision), content) in decided {
            let report = match content {
                Ok(committed) => committed,
                Err(Err(failure)) => failed(image, failure),
                Err(Ok(content)) => {
                    let group = image.group.as_deref().unwrap_or_default();
                    match broken_groups.get(group) {
                        Some(reason) => {
                            let reason = format!("not tagged, because its group failed: {reason}");
                            failed(image, Failure::of_target(reason))
                        }
                        None => match self.commit(image, content, decision).await {
                            Ok(report) => report,
                            Err(Err(failure)) => failed(image, failure),
                            Err(Ok(_)) => continue,
                        },
                    }
                }
            };
            reports.push(report);
        }
        reports
    }

    /// Everything of an image but its tag.
    async fn content(
        &self,
        image: &ImageUpload,
        decision: &TagDecision,
    ) -> std::result::Result<Content, Failure> {
        if self.unreachable.load(Ordering::Relaxed) {
            let reason = "not begun, because the target went away".to_owned();
            return Err(Failure::of_target(reason));
        }
        let result = self.content_of(image, decision).await;
        if let Err(failure) = &result
            && failure.network
            // It may refuse this one thing each time, which says nothing of the others.
            && self.client.ping(&image.repository().host).await.is_err()
        {
            self.unreachable.store(true, Ordering::Relaxed);
        }
        result
    }

    async fn content_of(
        &self,
        image: &ImageUpload,
        decision: &TagDecision,
    ) -> std::result::Result<Content, Failure> {
        let repository = image.repository();
        let mut blobs = stream::iter(&image.blobs)
            .map(|digest| async move {
                let ensured = self.depot.ensure(repository, digest).await;
                match ensured {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(Failure {
                        class: Class::Target,
                        reason: format!(
                            "{digest} was carried by an earlier bundle, and the target does not \
                             let it be mounted into {repository}"
                        ),
                        network: false,
                    }),
                    Err(error) => Err(Failure::of_blob(digest, error)),
                }
            })
            .buffer_unordered(BLOBS);
        let mut failure = None;
        // One blob's failure does not keep the others from going up: they are not sent again.
        while let Some(blob) = blobs.next().await {
            if let Err(why) = blob {
                failure.get_or_insert(why);
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        let mut content = Content {
            top: image.placed.image.root,
            changed: false,
        };
        // A tag that points to the root already has shown that the root is there.
        let known = (*decision == TagDecision::Same).then_some(image.placed.image.root);
        for digest in image
            .manifests
            .iter()
            .filter(|digest| Some(**digest) != known)
        {
            match self.manifest(repository, digest).await {
                Ok(sent) => content.changed |= sent,
                Err(error) => {
                    let child = self.stand_in(image, digest, &error);
                    let child = child.ok_or_else(|| self.refusal(digest, error))?;
                    content.top = child;
                }
            }
        }
        for digest in &image.attached {
            content.changed |= self.manifest(repository, digest).await?;
        }
        self.referrals.list(repository, &image.attached).await?;
        for (tag, digest) in &image.attached_tags {
            let united = self
                .referrals
                .merge_cosign_tag(repository, tag, digest)
                .await?;
            if !united {
                let reason = format!(
                    "{} is there with content that cannot be united with the bundle's",
                    repository.tagged(tag.clone())
                );
                return Err(Failure {
                    class: Class::Target,
                    reason,
                    network: false,
                });
            }
        }
        Ok(content)
    }

    /// Why a manifest was refused, with the way out where it is a sparse index.
    fn refusal(&self, digest: &Digest, error: registry::Error) -> Failure {
        let mut failure = Failure::from(error);
        if self
            .manifests
            .entry(digest)
            .is_some_and(ManifestEntry::is_sparse)
        {
            failure.reason.push_str(
                "; its other platforms were left out at export: --sparse-index=platform-manifest \
                 tags the one platform instead (its digest is another one)",
            );
        }
        failure
    }

    /// The one child that may be tagged where the target refuses a sparse index.
    fn stand_in(
        &self,
        image: &ImageUpload,
        digest: &Digest,
        error: &registry::Error,
    ) -> Option<Digest> {
        let refused = matches!(
            error,
            registry::Error::ContentUnknown { .. } | registry::Error::ManifestRejected { .. }
        );
        let entry = self.manifests.entry(digest)?;
        let is_root = *digest == image.placed.image.root;
        match entry.children.as_slice() {
            [child] if refused && is_root && entry.is_sparse() => {
                (self.sparse_index == SparseIndex::PlatformManifest).then_some(*child)
            }
            _ => None,
        }
    }

    /// Makes sure that a repository has a manifest. Returns whether it was sent.
    async fn manifest(&self, repository: &Repository, digest: &Digest) -> registry::Result<bool> {
        let selector = Selector::from(*digest);
        if self
            .client
            .head_manifest(repository, &selector)
            .await?
            .is_some()
        {
            return Ok(false);
        }
        self.push(repository, &selector, digest).await?;
        Ok(true)
    }

    /// Sends a manifest; when the target lacks a blob that it said it had, sends that first.
    async fn push(
        &self,
        repository: &Repository,
        selector: &Selector,
        digest: &Digest,
    ) -> registry::Result<()> {
        let Some(manifest) = self.manifests.get(digest) else {
            return Ok(());
        };
        match self
            .client
            .push_manifest(repository, selector, manifest)
            .await
        {
            Err(registry::Error::ContentUnknown { digests, .. })
                if self
                    .manifests
                    .entry(digest)
                    .is_some_and(|entry| !entry.blobs.is_empty()) =>
            {
                let blobs = self
                    .manifests
                    .entry(digest)
                    .map(|entry| entry.blobs.as_slice());
                let named = blobs
                    .unwrap_or_default()
                    .iter()
                    .filter(|blob| digests.contains(blob));
                let mut again: Vec<Digest> = named.copied().collect();
                if again.is_empty() {
                    again = blobs.unwrap_or_default().to_vec();
                }
                self.depot.upload_again(repository, &again).await?;
                self.client
                    .push_manifest(repository, selector, manifest)
                    .await
                    .map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Sets the tag. The error's two sides: a failure, or (never here) content to commit later.
    async fn commit(
        &self,
        image: &ImageUpload,
        content: Content,
        decision: &TagDecision,
    ) -> std::result::Result<(ImageReport, bool), std::result::Result<Content, Failure>> {
        let mut report = image_report(image, ImageState::Committed);
        let tag: Option<&Tag> = match decision {
            TagDecision::Same if content.top == image.placed.image.root => None,
            TagDecision::Set | TagDecision::Same => Some(&image.placed.tag),
            TagDecision::Instead(tag) => {
                report.target = Some(image.repository().tagged(tag.clone()));
                report.reason = Some(format!(
                    "{} belongs to its list of referrers, so it is tagged {tag}",
                    image.placed.tag
                ));
                Some(tag)
            }
            TagDecision::Skip => {
                report.state = ImageState::TagKept;
                report.reason = Some("the tag points elsewhere and was left as it is".to_owned());
                None
            }
        };
        if content.top != image.placed.image.root {
            report.state = ImageState::PlatformOnly;
            report.digest = Some(content.top);
            report.reason = Some("the target refuses sparse indexes".to_owned());
        }
        let mut changed = content.changed;
        if let Some(tag) = tag {
            let selector = Selector::from(tag);
            if let Err(error) = self.push(image.repository(), &selector, &content.top).await {
                return Err(Err(error.into()));
            }
            changed = true;
        }
        let (phase, item) = (Phase::Write, image.placed.target().to_string());
        self.context.emit(Event::ItemFinished {
            phase,
            item,
            ok: true,
        });
        Ok((report, changed))
    }

    /// Reads back what was sent: manifests by digest (whose bytes are hashed), and the last
    /// byte of every blob.
    async fn read_back(&self, plan: &ImportPlan, images: &mut [(ImageReport, bool)]) {
        let phase = Phase::ReadBack;
        let changed = images
            .iter()
            .filter(|(report, changed)| *changed && report.class.is_none());
        let items = changed.count() as u64;
        self.context.emit(Event::PhaseStarted {
            phase,
            items,
            bytes: 0,
        });
        let checks = plan
            .images
            .iter()
            .zip(images.iter())
            .map(|(image, (report, changed))| {
                let wanted = *changed && report.class.is_none();
                async move {
                    if wanted {
                        self.read_back_image(image).await
                    } else {
                        Ok(())
                    }
                }
            });
        let results: Vec<_> = stream::iter(checks).buffered(READ_BACK).collect().await;
        for ((image, result), report) in plan.images.iter().zip(results).zip(images) {
            if let Err(mut failure) = result {
                failure.class = Class::Target;
                failure.reason = format!("reading it back failed: {}", failure.reason);
                *report = failed(image, failure);
            }
        }
        self.context.emit(Event::PhaseFinished { phase });
    }

    async fn read_back_image(&self, image: &ImageUpload) -> std::result::Result<(), Failure> {
        let repository = image.repository();
        for digest in image.manifests.iter().chain(&image.attached) {
            // A refused sparse index is not there, and its report says so.
            let skip = self
                .manifests
                .entry(digest)
                .is_some_and(|entry| entry.is_sparse())
                && self.sparse_index == SparseIndex::PlatformManifest;
            if !skip {
                self.client
                    .manifest(repository, &Selector::from(*digest))
                    .await?;
            }
        }
        let mut blobs = stream::iter(&image.blobs)
            .map(|digest| async move {
                let size = self.manifests.blob_size(digest);
                let there = self.client.blob_present(repository, *digest, size).await?;
                Ok::<_, registry::Error>((digest, there))
            })
            .buffer_unordered(BLOBS);
        while let Some(blob) = blobs.next().await {
            let (digest, there) = blob?;
            if !there {
                let reason = format!("{repository} does not have blob {digest}");
                return Err(Failure::of_target(reason));
            }
        }
        Ok(())
    }
}

fn failed(image: &ImageUpload, failure: Failure) -> (ImageReport, bool) {
    let report = ImageReport {
        reason: Some(failure.reason),
        class: Some(failure.class),
        ..image_report(image, ImageState::Failed)
    };
    (report, false)
}
