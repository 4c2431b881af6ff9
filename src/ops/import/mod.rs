//! `airferry import`: medium to registry.
//!
//! Single pass, commit last: everything that can be found out before a byte moves is found out
//! first, all of it together; then blobs go up, hashed as they go; an image becomes visible
//! when it is whole. Nothing on the target is ever deleted, and nothing overwritten unless asked.

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
mod preflight;
mod probe;
mod read_back;
mod referrers;
mod referrers_api;
mod report;
mod request;
mod share;
mod tags;
mod upload;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob_uploader::BlobUploader;
use preflight::Before;

use super::blocking;
use super::cluster_files::{self, ResourcesRequest, WrittenFiles};
use super::context::Context;
use super::mapping::require_known;
use super::release::proof::{self, ReleaseProof};
use crate::bundle::open::{Bundle, Scope, Waivers, open_bundle};
use crate::bundle::read::Manifests;
use crate::bundle::verify::check_content;
use crate::cluster;
use crate::content::mapping_file::mapped;
use crate::error::{Class, Error, Result};
use crate::format::hash::sha256;
use crate::image::Elsewhere;
use crate::model::{BundleId, Digest, ImageEntry, Inventory, Reference};
use crate::plan::import::{ImageUpload, ImportPlan, Sent, Shard, wanted};
use crate::plan::naming::{self, Target};
use crate::sys::lock::DirLock;
use crate::sys::{self, sessions::SessionFiles};
pub use attachments::{AttachmentPolicy, AttachmentRule, RefusedAttachment};
pub use forecast::Forecast;
pub use groups::{GroupReport, Missing};
pub use image_report::{ImageReport, ImageState};
pub use report::{Report, ResourcesProblem};
pub use request::{ExistingTags, Request, SparseIndex};
pub use share::{ShareReport, share};

/// A bundle that may be acted on, with everything needed to do so.
pub(super) struct Opened {
    pub(super) bundle: Arc<Bundle>,
    pub(super) manifests: Arc<Manifests>,
}

/// Opens a bundle, verifies documents and metadata, and reads the OCI manifests.
pub(super) fn open(request: &Request) -> Result<Opened> {
    let waivers = Waivers {
        unsigned: request.allow_unsigned,
        incomplete: request.allow_incomplete,
    };
    let (directory, trust) = (&request.bundle, &request.trust);
    let bundle = open_bundle(directory, trust, waivers, Scope::Everything)?;
    let bundle = Arc::new(bundle);
    let manifests = Arc::new(Manifests::read(&bundle)?);
    Ok(Opened { bundle, manifests })
}

/// Decides names and order of everything, without asking the target.
pub(super) fn plan(
    inventory: &Inventory,
    target: &Target,
    options: &naming::Options,
    sent: &Sent,
) -> Result<ImportPlan> {
    let asked = |image: &ImageEntry| {
        mapped(&Reference {
            repository: image.source.clone(),
            tag: image.tag.clone(),
            digest: image.requested.digest,
        })
    };
    let known: BTreeSet<Reference> = inventory.images.iter().map(asked).collect();
    let hint = "correct the left-hand sides, or take these lines out of the mapping";
    require_known(&options.listed, &known, "the bundle does not have", hint)?;
    let placed = naming::place(&wanted(inventory), target, options);
    let placed = placed.map_err(|error| {
        let hint = error.hint();
        let failure = Error::usage("The images cannot be named on the target").caused_by(error);
        hint.into_iter().fold(failure, Error::hint)
    })?;
    Ok(ImportPlan::new(inventory, placed.images(), sent))
}

/// What is known and decided before anything is changed on the target.
struct Ready {
    opened: Opened,
    plan: ImportPlan,
    before: Before,
    proofs: Vec<ReleaseProof>,
    /// Where this importer keeps its sessions.
    state: PathBuf,
    lock: DirLock,
}

/// Finds out everything that can be found out without changing anything, and takes the lock: of
/// the whole import, or of one of several importers.
async fn prepare(request: &Arc<Request>, shard: Option<Shard>, context: &Context) -> Result<Ready> {
    let opened = {
        let request = Arc::clone(request);
        blocking(move || open(&request)).await?
    };
    for note in &opened.bundle.notes {
        context.warn(note.to_string());
    }
    let inventory = &opened.bundle.inventory;
    let proofs = {
        let (request, bundle) = (Arc::clone(request), Arc::clone(&opened.bundle));
        let context = context.clone();
        blocking(move || proof::judge_bundle(&bundle, &request.release_keys, &context)).await?
    };
    // Here, before anything else is read; once more when the target was asked for the bases.
    proof::require(&proofs, request.allow_unsigned_release)?;
    if request.verify_first {
        let bundle = Arc::clone(&opened.bundle);
        let (context, jobs) = (context.clone(), None);
        let findings = blocking(move || {
            check_content(&bundle, jobs, context.progress.as_ref(), &|| {
                context.cancel.is_cancelled()
            })
        })
        .await?;
        if let Some(error) = crate::bundle::finding::as_error("The bundle is damaged:", &findings) {
            return Err(error);
        }
    }
    let sent = request.attachments.sent(inventory, &opened.manifests);
    let plan = plan(inventory, &request.target, &request.naming, &sent)?;
    let lacks_some = |image: &ImageUpload| image.is_of_release() && !image.unsent.is_empty();
    if plan.images.iter().any(lacks_some) {
        context.warn(format!(
            "Artifacts of a release are not sent: {}",
            attachments::RELEASES_MAY_NEED_THEM
        ));
    }
    let mut state = state_directory(request, opened.bundle.id);
    state.extend(shard.map(Shard::file_name));
    let lock = lock(&state)?;
    let before = preflight::check(request, &opened, &plan, context).await?;
    let proofs = match proofs.iter().all(|proof| proof.compared) {
        true => proofs,
        false => judge_with_bases(request, &opened, &before, context).await?,
    };
    proof::require(&proofs, request.allow_unsigned_release)?;
    Ok(Ready {
        opened,
        plan,
        before,
        proofs,
        state,
        lock,
    })
}

/// Compares releases whose layers bases carried with the layers that the target has.
async fn judge_with_bases(
    request: &Arc<Request>,
    opened: &Opened,
    before: &Before,
    context: &Context,
) -> Result<Vec<ReleaseProof>> {
    let places = before.base_blobs.places();
    let places = places.filter_map(|(digest, places)| Some((*digest, places.first()?.clone())));
    let bases = Elsewhere::new(request.client.clone(), places.collect());
    let (request, bundle) = (Arc::clone(request), Arc::clone(&opened.bundle));
    let own = context.clone();
    let keys = move || proof::judge_with_bases(&bundle, bases, &request.release_keys, &own);
    let proofs = blocking(keys).await.map_err(|error| match error.class() {
        Class::Network => {
            let message = "The target does not give the layers of a release, with which the \
                           bundle has to be compared";
            Error::new(Class::Target, message).caused_by(error)
        }
        _ => error,
    })?;
    Ok(proofs)
}

/// Imports a bundle.
pub async fn import(request: Request, context: &Context) -> Result<Report> {
    let request = Arc::new(request);
    let ready = prepare(&request, None, context).await?;
    let Ready {
        opened,
        plan,
        before,
        proofs,
        state,
        lock: _lock,
    } = ready;
    let planned = Report::planned(&opened.bundle, &plan, &before);
    if let Some(wanted) = &request.resources {
        let content = planned.content(&opened.bundle.inventory, &request.naming);
        cluster_files::rehearse(wanted, &content, request.dry_run)?;
    }
    let mut report = if request.dry_run {
        planned
    } else {
        let sessions = SessionFiles::open(&state)?;
        let uploader = BlobUploader::new(&request, &opened, &before, sessions, context.clone());
        let done = upload::run(
            &request,
            &opened,
            &plan,
            &before,
            Arc::new(uploader),
            context,
        )
        .await;
        Report::finished(&opened.bundle, &plan, done)
    };
    report.allow_incomplete = request.allow_incomplete;
    if report.lacks_of_release() {
        context.warn(format!(
            "The target did not take all that is attached to a release: {}",
            attachments::RELEASES_MAY_NEED_THEM
        ));
    }
    report.accepts_refused_attachments = request.attachments.is_asked_for;
    report.release_proofs = proofs;
    let content = report.content(&opened.bundle.inventory, &request.naming);
    report.instructions = cluster::instructions(&content, request.instructions);
    match request.resources.as_ref().filter(|_| !request.dry_run) {
        Some(wanted) => match write_resources(wanted, &content, &report, context) {
            Ok(written) => report.resources = written.files,
            // What was uploaded is there: the report must not be lost over this.
            Err(error) => report.resources_problem = Some(ResourcesProblem::of(&error)),
        },
        None => content.tell_of_tags(|warning| context.warn(warning.to_string())),
    }
    Ok(report)
}

fn write_resources(
    wanted: &ResourcesRequest,
    content: &cluster::Content,
    report: &Report,
    context: &Context,
) -> Result<WrittenFiles> {
    let report = report.to_json()?;
    cluster_files::write_for(wanted, content, Some(&report), context)
}

/// One directory for each target and bundle: a cache that may be deleted.
fn state_directory(request: &Request, bundle: BundleId) -> PathBuf {
    let key: Digest = sha256(format!("{}\n{bundle}", request.target).as_bytes());
    request.state.join("import").join(key.hex())
}

fn lock(directory: &Path) -> Result<DirLock> {
    sys::files::make_private_dirs(directory)?;
    DirLock::try_take(directory)?.ok_or_else(|| {
        Error::new(
            Class::Target,
            "Another import of this bundle to this target is running",
        )
    })
}
