//! `airferry import`: writes a bundle's images to a registry.
//!
//! Everything that can be checked without changing the target is checked first, and all problems
//! are reported together. Then blobs are sent and hashed on the way, and each image becomes
//! visible when it is complete. Nothing on the target is ever deleted, and nothing is overwritten
//! unless requested.

mod attachments;
mod base_blobs;
mod blob_locations;
mod blob_source;
mod blob_uploader;
mod content;
mod failure;
mod forecast;
mod groups;
mod image_report;
mod image_tags;
mod manifest_pusher;
mod opened;
mod planning;
mod preflight;
mod prepare;
mod probe;
mod read_back;
mod referrers;
mod referrers_api;
mod refusals;
mod replaced;
mod replaced_keeper;
mod report;
mod request;
mod share;
mod tags;
mod upload;

use std::sync::Arc;

pub use attachments::{AttachmentPolicy, AttachmentRule, RefusedAttachment};
pub use forecast::Forecast;
pub use groups::{GroupReport, Missing};
pub use image_report::{ImageReport, ImageState};
pub(super) use planning::plan;
pub use replaced::ReplacedImage;
pub use report::{Report, ResourcesProblem};
pub use request::{ExistingTags, KeepReplaced, Request, SparseIndex};
pub use share::{ShareReport, share};

use blob_uploader::BlobUploader;
use prepare::{Ready, prepare};

use super::cluster_files::{self, Earlier, ImportReport, ResourcesRequest, WrittenFiles};
use super::context::Context;
use crate::cluster;
use crate::error::Result;

/// Imports a bundle.
pub async fn import(request: Request, context: &Context) -> Result<Report> {
    let request = Arc::new(request);
    let ready = prepare(&request, None, context).await?;
    let Ready {
        opened,
        plan,
        facts,
        proofs,
        sessions,
        lock: _lock,
    } = ready;
    let planned = Report::planned(&opened.bundle, &plan, &facts);
    if let Some(wanted) = &request.resources {
        let content = planned.content(&opened.bundle.inventory, &request.naming);
        cluster_files::check_writable(wanted, &content, request.dry_run)?;
    }
    let mut report = if request.dry_run {
        planned
    } else {
        let uploader = BlobUploader::new(&request, &opened, &facts, sessions, context.clone());
        let done = upload::run(
            &request,
            &opened,
            &plan,
            &facts,
            Arc::new(uploader),
            context,
        )
        .await;
        Report::finished(&opened.bundle, &plan, done)
    };
    report.allow_incomplete = request.allow_incomplete;
    if report.lacks_of_release() {
        context.warn(format!(
            "The target refused artifacts that are attached to a release: {}",
            attachments::RELEASES_MAY_NEED_THEM
        ));
    }
    report.accepts_refused_attachments = request.attachments.is_explicit;
    report.release_proofs = proofs;
    let content = report.content(&opened.bundle.inventory, &request.naming);
    report.instructions = cluster::instructions(&content, request.instructions);
    match request.resources.as_ref().filter(|_| !request.dry_run) {
        Some(wanted) => match write_resources(wanted, &content, &report, context) {
            Ok(written) => report.resources = written.files,
            // The upload is done, so a failure here must not lose the report.
            Err(error) => report.resources_problem = Some(ResourcesProblem::of(&error)),
        },
        None => content
            .tag_warnings()
            .for_each(|warning| context.warn(warning.to_string())),
    }
    Ok(report)
}

fn write_resources(
    wanted: &ResourcesRequest,
    content: &cluster::Content,
    report: &Report,
    context: &Context,
) -> Result<WrittenFiles> {
    let text = &report.to_json()?;
    let earlier = match report.failure() {
        None => Earlier::Remove,
        Some(_) => Earlier::Keep,
    };
    let report = ImportReport { text, earlier };
    cluster_files::write_for(wanted, content, Some(report), context)
}
