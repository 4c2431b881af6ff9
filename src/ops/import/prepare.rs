//! Prepares an import: opens the bundle, judges releases, makes the plan, checks the target.

use std::sync::Arc;

use super::attachments;
use super::opened::{Opened, open};
use super::planning::plan;
use super::preflight::{self, TargetFacts};
use super::request::Request;
use crate::bundle::finding::as_error;
use crate::bundle::verify::check_content;
use crate::error::{Class, Error, Result, chain};
use crate::format::hash::sha256;
use crate::image::BaseBlobs;
use crate::model::{BundleId, Digest};
use crate::ops::blocking;
use crate::ops::context::Context;
use crate::ops::release::proof::{self, ReleaseProof};
use crate::plan::import::{ImageUpload, ImportPlan, Shard};
use crate::sys::lock::DirLock;
use crate::sys::sessions::SessionFiles;

/// The consequence of a state directory that cannot be used.
const NO_STATE: &str = "If this run is interrupted, the next one sends unfinished blobs again from \
                        their start, because the state directory cannot be used";

/// Result of the preparation, before anything is changed on the target.
pub(super) struct Ready {
    pub(super) opened: Opened,
    pub(super) plan: ImportPlan,
    pub(super) facts: TargetFacts,
    pub(super) proofs: Vec<ReleaseProof>,
    /// Where this importer stores its upload sessions.
    pub(super) sessions: SessionFiles,
    /// `None` without a directory.
    pub(super) lock: Option<DirLock>,
}

/// Makes all checks that change nothing on the target, and takes the lock: of the whole import, or
/// of one shard.
pub(super) async fn prepare(
    request: &Arc<Request>,
    shard: Option<Shard>,
    context: &Context,
) -> Result<Ready> {
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
    // Checked before anything else is read, and again below when layers of bases were compared.
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
        if let Some(error) = as_error("The bundle is damaged:", &findings) {
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
    let (sessions, lock) = open_state(request, opened.bundle.id, shard, context)?;
    let facts = preflight::check(request, &opened, &plan, context).await?;
    let proofs = match proofs.iter().all(|proof| proof.compared) {
        true => proofs,
        false => judge_with_bases(request, &opened, &facts, context).await?,
    };
    proof::require(&proofs, request.allow_unsigned_release)?;
    Ok(Ready {
        opened,
        plan,
        facts,
        proofs,
        sessions,
        lock,
    })
}

/// Judges releases again: compares layers that bases carried, reading them from the target.
async fn judge_with_bases(
    request: &Arc<Request>,
    opened: &Opened,
    facts: &TargetFacts,
    context: &Context,
) -> Result<Vec<ReleaseProof>> {
    let places = facts.base_blobs.places();
    let places = places.filter_map(|(digest, places)| Some((*digest, places.first()?.clone())));
    let bases = BaseBlobs::new(request.client.clone(), places.collect());
    let (request, bundle) = (Arc::clone(request), Arc::clone(&opened.bundle));
    let own = context.clone();
    let keys = move || proof::judge_with_bases(&bundle, bases, &request.release_keys, &own);
    let proofs = blocking(keys).await.map_err(|error| match error.class() {
        Class::Network | Class::Target => {
            let message = "Layers of a release, needed to verify the bundle, cannot be read from \
                           the target";
            Error::new(Class::Target, message).caused_by(error)
        }
        _ => error,
    })?;
    Ok(proofs)
}

/// Opens the state directory of this target and bundle, and locks it. The directory is a cache: if
/// it cannot be used, a later run cannot continue inside a blob, and nothing else is lost.
fn open_state(
    request: &Request,
    bundle: BundleId,
    shard: Option<Shard>,
    context: &Context,
) -> Result<(SessionFiles, Option<DirLock>)> {
    let opened = match &request.state {
        Some(state) => {
            let key: Digest = sha256(format!("{}\n{bundle}", request.target).as_bytes());
            let mut directory = state.join("import").join(key.hex());
            directory.extend(shard.map(Shard::file_name));
            SessionFiles::open(&directory).and_then(|sessions| {
                let lock = DirLock::try_take(&directory)?;
                Ok((sessions, lock))
            })
        }
        None => {
            context.warn(format!(
                "{NO_STATE}: neither HOME nor XDG_STATE_HOME is set"
            ));
            return Ok((SessionFiles::none(), None));
        }
    };
    match opened {
        Ok((sessions, Some(lock))) => Ok((sessions, Some(lock))),
        Ok((_, None)) => Err(Error::new(
            Class::Target,
            "Another import of this bundle to this target is running",
        )),
        Err(error) => {
            context.warn(format!("{NO_STATE}: {}", chain(&error)));
            Ok((SessionFiles::none(), None))
        }
    }
}
