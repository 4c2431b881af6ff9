//! The report of an import: as JSON, and as an error for the operator.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use super::attachments::RefusedAttachment;
use super::forecast::Forecast;
use super::groups::{self, GroupReport};
use super::image_report::{ImageReport, ImageState, failed, image_report};
use super::preflight::TargetFacts;
use super::tags::TagAction;
use crate::bundle::open::Bundle;
use crate::cluster::{self, ClusterImage};
use crate::error::{Class, Error, Result, chain};
use crate::model::{BundleId, Count, Digest, Inventory, LeftOut, NeededBy, Reference};
use crate::ops::release::proof::ReleaseProof;
use crate::plan::import::ImportPlan;
use crate::plan::naming;

/// Reason why the cluster's files were not written, after images were committed.
#[derive(Debug, Clone, Serialize)]
pub struct ResourcesProblem {
    /// The reason in one line, for people.
    pub reason: String,
    #[serde(skip)]
    class: Class,
    #[serde(skip)]
    hints: Vec<String>,
}

impl ResourcesProblem {
    pub(super) fn of(error: &Error) -> Self {
        Self {
            reason: chain(error),
            class: error.class(),
            hints: error.hints().to_vec(),
        }
    }

    /// Appends this failure to another one, if there is one; the more severe class wins.
    fn added_to(&self, failure: Option<Error>) -> Error {
        let own = format!("The cluster resources were not written: {}", self.reason);
        let hints = self.hints.iter().cloned();
        let again = "write them with `airferry cluster-resources`".to_owned();
        let hints = hints.chain([again]);
        let (class, message, before) = match &failure {
            Some(error) => (
                error.class().max(self.class),
                format!("{}\n{own}", chain(error)),
                error.hints(),
            ),
            None => (self.class, own, &[][..]),
        };
        let error = Error::new(class, message);
        before.iter().cloned().chain(hints).fold(error, Error::hint)
    }
}

/// Report of an import.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Always `airferry-import-report-v1`.
    #[serde(rename = "type")]
    pub document: &'static str,
    /// Id of the bundle.
    pub bundle: BundleId,
    /// True if a trusted key signed the bundle.
    pub authenticated: bool,
    /// Fingerprints of the trusted keys that signed it.
    pub signers: BTreeSet<String>,
    /// True if the run was a dry run, which changes nothing.
    pub dry_run: bool,
    /// True if the run was stopped before it was complete.
    pub interrupted: bool,
    /// Forecast of bytes to send; only for dry runs.
    #[serde(flatten)]
    pub forecast: Option<Forecast>,
    /// Bytes that were sent.
    pub bytes_uploaded: u64,
    /// Bytes of blobs that were there already, or were mounted.
    pub bytes_reused: u64,
    /// All images, as in the bundle.
    pub images: Vec<ImageReport>,
    /// Releases, as in the bundle.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<GroupReport>,
    /// Judgements about the releases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub release_proofs: Vec<ReleaseProof>,
    /// Operator catalogs, as in the bundle.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub catalogs: Vec<GroupReport>,
    /// Images that the exporter left out on purpose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Blobs that must not be carried: clusters must get them from other places.
    pub foreign_blobs: BTreeSet<Digest>,
    /// Instructions for applying the releases, for people.
    #[serde(skip)]
    pub instructions: String,
    /// Files that were written for the cluster.
    #[serde(skip)]
    pub resources: Vec<PathBuf>,
    /// Reason why they could not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources_problem: Option<ResourcesProblem>,
    /// True if images that the bundle lacks do not count as failures.
    #[serde(skip)]
    pub(super) allow_incomplete: bool,
    /// True if attached artifacts that the target refused do not count as failures.
    #[serde(skip)]
    pub(super) accepts_refused_attachments: bool,
}

/// Result of the upload.
pub(super) struct UploadResult {
    pub(super) images: Vec<ImageReport>,
    /// True if the upload was stopped.
    pub(super) interrupted: bool,
    /// Bytes that were sent.
    pub(super) uploaded: u64,
    /// Bytes of blobs that were there already, or were mounted.
    pub(super) reused: u64,
}

impl Report {
    /// Returns the report as a JSON document.
    pub(super) fn to_json(&self) -> Result<String> {
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::internal("The report cannot be written", error))?;
        text.push('\n');
        Ok(text)
    }

    fn new(bundle: &Bundle, plan: &ImportPlan, images: Vec<ImageReport>, dry_run: bool) -> Self {
        let incomplete = plan.incomplete.iter().map(|(source, problem)| ImageReport {
            source: source.clone(),
            target: None,
            digest: None,
            state: ImageState::Incomplete,
            reason: Some(problem.clone()),
            replaced: None,
            refused_attachments: Vec::new(),
            unsent_attachments: Vec::new(),
            needed_by: Vec::new(),
            placed: None,
            hint: None,
            class: Some(Class::Incomplete),
        });
        let mut images: Vec<ImageReport> = images.into_iter().chain(incomplete).collect();
        images.sort_by(|a, b| a.source.cmp(&b.source));
        for image in images.iter_mut().filter(|image| image.class.is_some()) {
            image.needed_by = bundle.inventory.needed_by(&image.source);
        }
        let vouched = &bundle.authentication.vouched;
        Self {
            document: "airferry-import-report-v1",
            bundle: bundle.id,
            authenticated: bundle.authentication.is_authenticated(),
            signers: vouched
                .iter()
                .map(|vouched| vouched.statement.key.hex())
                .collect(),
            dry_run,
            interrupted: false,
            forecast: None,
            bytes_uploaded: 0,
            bytes_reused: 0,
            releases: groups::releases(&bundle.inventory, plan, &images),
            release_proofs: Vec::new(),
            catalogs: groups::catalogs(&bundle.inventory, plan, &images),
            left_out: bundle.inventory.left_out.clone(),
            images,
            foreign_blobs: plan.foreign.clone(),
            instructions: String::new(),
            resources: Vec::new(),
            resources_problem: None,
            allow_incomplete: false,
            accepts_refused_attachments: false,
        }
    }

    /// Makes the report of a dry run.
    pub(super) fn planned(bundle: &Bundle, plan: &ImportPlan, facts: &TargetFacts) -> Self {
        let images = plan
            .images
            .iter()
            .zip(&facts.tags)
            .map(|(image, decision)| {
                if let Some(failure) = &decision.failure {
                    return failed(image, failure.clone());
                }
                let mut report = image_report(image, decision, ImageState::Planned);
                let replaces = decision.replaces.as_ref();
                report.replaced = replaces.map(|replaced| replaced.planned(image.repository()));
                if decision.action == TagAction::Same {
                    report.reason = Some("the tag points there already".to_owned());
                }
                report
            });
        let mut report = Self::new(bundle, plan, images.collect(), true);
        report.forecast = facts.forecast;
        report
    }

    /// Makes the report of an import that ended, completely or not.
    pub(super) fn finished(bundle: &Bundle, plan: &ImportPlan, done: UploadResult) -> Self {
        let mut report = Self::new(bundle, plan, done.images, false);
        report.interrupted = done.interrupted;
        report.bytes_uploaded = done.uploaded;
        report.bytes_reused = done.reused;
        report
    }

    /// Returns the content for the cluster's objects: images that are on the target, or would be
    /// after a dry run. Tags are included only if they point to the image.
    pub(in crate::ops) fn content(
        &self,
        inventory: &Inventory,
        naming: &naming::Options,
    ) -> cluster::Content {
        let there = self.images.iter().filter_map(|image| {
            let on_target = ClusterImage::new(image.placed.as_ref()?);
            match image.state {
                ImageState::Committed | ImageState::Planned => Some(on_target),
                ImageState::TagKept => Some(ClusterImage {
                    is_tagged: false,
                    ..on_target
                }),
                ImageState::PlatformOnly => Some(ClusterImage {
                    platform_substitute: image.digest,
                    ..on_target
                }),
                ImageState::Failed | ImageState::Interrupted | ImageState::Incomplete => None,
            }
        });
        let there: Vec<ClusterImage<'_>> = there.collect();
        cluster::Content::of(inventory, &there, naming)
    }

    /// True if the target refused an artifact that is attached to a part of a release.
    pub(super) fn lacks_of_release(&self) -> bool {
        let mut images = self.images.iter();
        images.any(|image| image.is_of_release() && !image.refused_attachments.is_empty())
    }

    fn is_release(&self, source: &Reference) -> bool {
        let mut releases = self.releases.iter();
        releases.any(|release| release.image == *source)
    }

    fn is_lacked_by_a_catalog(&self, source: &Reference) -> bool {
        let mut missing = self.catalogs.iter().flat_map(|catalog| &catalog.missing);
        missing.any(|missing| missing.image == *source)
    }

    /// Returns an error if the run was stopped, an image failed, or the cluster's files could not
    /// be written. It lists what is missing.
    pub fn failure(&self) -> Option<Error> {
        let failure = self.transfer_failure();
        match &self.resources_problem {
            Some(problem) => Some(problem.added_to(failure)),
            None => failure,
        }
    }

    fn transfer_failure(&self) -> Option<Error> {
        let counts = |image: &&ImageReport| match image.class {
            // An incomplete release cannot be installed, so it always counts. A catalog that is
            // visible but lacks images must not pass for a complete one.
            Some(Class::Incomplete) => {
                !self.allow_incomplete
                    || self.is_release(&image.source)
                    || self.is_lacked_by_a_catalog(&image.source)
            }
            class => class.is_some(),
        };
        let failed: Vec<&ImageReport> = self.images.iter().filter(counts).collect();
        if self.interrupted {
            return Some(self.interruption(&failed));
        }
        let attachments = self.attachments_failure();
        let malformed = || self.catalogs.iter().flat_map(|catalog| &catalog.malformed);
        let lacking = malformed().next().map(|_| Class::Incomplete);
        let classes = failed.iter().filter_map(|image| image.class);
        let Some(class) = classes.chain(lacking).max() else {
            return attachments;
        };
        let class = class.max(attachments.as_ref().map_or(class, Error::class));
        let lack = failed.len() + malformed().count();
        let is = Count::of(lack, "image").is();
        let all = Count::of(self.images.len() + malformed().count(), "image");
        let mut message = format!("{lack} of {all} {is} not on the target:");
        for image in &failed {
            let reason = image.reason.as_deref().unwrap_or("unknown reason");
            let needed_by = NeededBy::clause(&image.needed_by);
            message.push_str(&format!("\n  - {}: {reason}{needed_by}", image.source));
        }
        for malformed in malformed() {
            message.push_str(&format!("\n  - {malformed}"));
        }
        if let Some(attachments) = &attachments {
            message.push_str(&format!("\n{}", chain(attachments)));
        }
        let mut error = Error::new(class, message);
        let hints: BTreeSet<&str> = failed
            .iter()
            .filter_map(|image| image.hint.as_deref())
            .collect();
        for hint in hints {
            error = error.hint(hint);
        }
        let damaged = |image: &&ImageReport| image.class == Some(Class::VerificationFailed);
        if failed.iter().any(damaged) {
            error = error
                .hint("run `airferry verify` to see what is damaged, then copy the bundle again");
        }
        if class != Class::Incomplete && !failed.iter().all(damaged) {
            error = error
                .hint("run the same command again: it does not send again what the target has");
        }
        Some(error)
    }

    /// Returns an error if the target refused attached artifacts, unless that was accepted.
    fn attachments_failure(&self) -> Option<Error> {
        let refused = self.images.iter().flat_map(|image| {
            let refused = image.refused_attachments.iter();
            refused.map(move |attachment| (image, attachment))
        });
        // Only refusals by the target were accepted, not damage of the medium, for example.
        let counts = |attachment: &RefusedAttachment| {
            !self.accepts_refused_attachments || attachment.failure.class != Class::Target
        };
        let refused: Vec<_> = refused
            .filter(|(_, attachment)| counts(attachment))
            .collect();
        let class = refused
            .iter()
            .map(|(_, attachment)| attachment.failure.class)
            .max()?;
        let mut message = format!(
            "The target refused {} (their images were imported):",
            Count::of(refused.len(), "attached artifact")
        );
        for (image, attachment) in &refused {
            let (name, reason) = (attachment.name(), &attachment.reason());
            message.push_str(&format!("\n  - {} of {}: {reason}", name, image.source));
        }
        let error = Error::new(class, message);
        Some(
            error
                .hint("--attachments=best-effort accepts what the target refuses")
                .hint("--attachments=none sends none, --remove-signatures leaves signatures out"),
        )
    }

    /// Returns the error for a run that the operator stopped; it replaces any other failure.
    fn interruption(&self, failed: &[&ImageReport]) -> Error {
        let mut message = match failed.len() {
            0 => "Interrupted before everything was read back from the target".to_owned(),
            missing => format!(
                "Interrupted: {missing} of {} {} not on the target",
                Count::of(self.images.len(), "image"),
                Count::of(missing, "image").is()
            ),
        };
        let own = failed
            .iter()
            .filter(|image| image.class != Some(Class::Interrupted));
        for image in own {
            let reason = image.reason.as_deref().unwrap_or("unknown reason");
            message.push_str(&format!("\n  - {}: {reason}", image.source));
        }
        Error::new(Class::Interrupted, message)
            .hint("run the same command again: it continues where it stopped")
    }
}
