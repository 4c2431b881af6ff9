//! `airferry export`: writes images of a registry to a bundle on a medium.
//!
//! Steps: look at the directory, resolve, plan, check, transfer, seal. Every step can be
//! interrupted at any time, and the same request continues.

mod additions;
mod attached;
mod completion;
mod content;
mod made;
mod missing;
mod moved_tags;
mod outcome;
mod perform;
mod planning;
mod prefetch;
mod preflight;
mod problem;
mod program;
mod request;
mod resolve;
mod selection;
mod sources;
mod targets;
mod transfer;

use std::sync::Arc;

pub use attached::Attachments;
pub use outcome::{CatalogLine, ExportState, ImageLine, Outcome};
pub use program::{ProgramCopy, ProgramRequest, ProgramState};
pub use request::{CatalogRequest, Existing, Releases, Request};
pub(crate) use resolve::resolve;
pub use resolve::{ForeignLayers, Selection};
pub use selection::{BundleSelection, CatalogSelection, PackageSelection};
pub use targets::{TargetFile, TargetLine};

use additions::nothing_new;
use moved_tags::report_moved_tags;
use perform::{PlanOrigin, perform};
use planning::{Planned, make_plan, read_bases};

use super::context::Context;
use crate::bundle::trust::statement_bytes;
use crate::bundle::write::ahead::Preview;
use crate::bundle::write::state::Found;
use crate::bundle::write::{seal, state};
use crate::error::{Class, Error, Result};
use crate::model::{BundleId, Count, Digest, Inventory, Label};
use crate::plan::export::{ExportPlan, KnownBundle};
use crate::plan::naming_ahead;
use crate::sys::lock::DirLock;
use crate::sys::media::{DirMedia, Media};

/// State in which an export starts.
enum Start {
    /// The directory holds no bundle.
    Anew,
    /// An interrupted run left its plan.
    Continue(Box<ExportPlan>),
    /// The directory holds a sealed bundle, which may be incomplete.
    Complete(Box<KnownBundle>),
}

impl Start {
    fn of(found: Found) -> Self {
        match found {
            Found::Nothing => Self::Anew,
            Found::Unfinished(plan) => Self::Continue(plan),
            Found::Sealed(known) => Self::Complete(known),
        }
    }
}

/// Exports a bundle: begins, continues, or completes one.
pub async fn export(request: Request, context: &Context) -> Result<Outcome> {
    if request.is_empty() {
        let error = Error::usage("Nothing to export")
            .hint("name an image reference, a release with --release, or a catalog with --catalog");
        return Err(match &request.program {
            Some(_) => error.hint(program::NEXT_WORD),
            None => error,
        });
    }
    preflight::check_mounted(&request.to, context)?;
    let Some(wanted) = request.program.clone() else {
        return export_bundle(request, 0, context).await;
    };
    let program = program::judge(wanted, &request.to, request.dry_run, context).await?;
    let mut outcome = export_bundle(request, program.bytes_to_write(), context).await?;
    outcome.program = Some(program.copy().await?);
    Ok(outcome)
}

/// Exports the content of the request. `beside` is the number of bytes to be written beside the
/// bundle.
async fn export_bundle(request: Request, beside: u64, context: &Context) -> Result<Outcome> {
    let bases = read_bases(&request)?;
    let base_ids: Vec<BundleId> = bases.iter().map(|base| base.id).collect();
    let id = request.id(&base_ids);
    let Some(media) = open_medium(&request)? else {
        // A dry run into a directory that does not exist.
        let planned = make_plan(&request, id, None, &bases, context).await?;
        let ahead = Preview::of(&planned.plan)?;
        check_names(&request, &ahead.assembled.inventory, context)?;
        let targets = for_targets(&request, &planned.plan, &ahead, context)?;
        preflight::check_ahead(&request, &planned.plan, &ahead, beside)?;
        let outcome = dry_run_outcome(&request, &planned, &ahead, 0)?;
        return Ok(Outcome { targets, ..outcome });
    };
    let _lock = DirLock::try_take(media.root())?.ok_or_else(|| {
        let message = format!("Another export into `{}` is running", request.to.display());
        Error::new(Class::Media, message)
    })?;
    let media: Arc<dyn Media> = Arc::new(media);
    let start = Start::of(look(&request, &media)?);
    let (planned, begun) = match start {
        Start::Continue(plan) if plan.request != id => {
            let about = about(&plan.content.label, plan.content.images.len());
            let message =
                format!("This directory has an unfinished export of another request ({about})");
            return Err(Error::usage(message)
                .hint("run that command again to finish it")
                .hint("--replan discards it and starts with this request"));
        }
        Start::Continue(plan) => {
            let (images, catalogs) = (&plan.content.images, &plan.content.catalogs);
            report_moved_tags(&request, images, catalogs, context).await;
            (Planned::again(*plan), PlanOrigin::Earlier)
        }
        Start::Complete(known) if known.inventory.request != id => {
            let about = about(&known.manifest.label, known.inventory.images.len());
            let message = format!("This directory has a bundle of another request ({about})");
            return Err(Error::usage(message).hint(
                "export into another directory; `--base DIR` leaves out what this bundle already \
                 has",
            ));
        }
        Start::Complete(known) if known.manifest.complete && !completion::asks_again(&known) => {
            let (images, catalogs) = (&known.inventory.images, &known.inventory.catalogs);
            warn_about_names(&known.inventory, context);
            let moved = report_moved_tags(&request, images, catalogs, context).await;
            let statements = statement_bytes(media.as_ref())?;
            let targets = targets::compare(&request.targets, None, &known.inventory, context);
            let outcome = Outcome::already_complete(&known, moved, statements);
            return Ok(Outcome { targets, ..outcome });
        }
        Start::Complete(known) => {
            let planned = make_plan(&request, id, Some(&known), &bases, context).await?;
            if nothing_new(&known, &planned.plan) {
                let statements = statement_bytes(media.as_ref())?;
                let outcome =
                    Outcome::nothing_new(&known, &planned.plan.content.images, statements);
                let outcome = outcome.with_unanswered(&planned.plan);
                warn_about_names(&known.inventory, context);
                return Ok(outcome);
            }
            (planned, PlanOrigin::Now(Some(known)))
        }
        Start::Anew => (
            make_plan(&request, id, None, &bases, context).await?,
            PlanOrigin::Now(None),
        ),
    };
    let plan = &planned.plan;
    warn_of_sparse_indexes(plan, context);
    let ahead = Preview::of(plan)?;
    check_names(&request, &ahead.assembled.inventory, context)?;
    let targets = for_targets(&request, plan, &ahead, context)?;
    preflight::check(&request, media.as_ref(), plan, &ahead, beside)?;
    if request.dry_run {
        let there = preflight::own_bytes(media.as_ref(), &ahead.written)?;
        let statements = statement_bytes(media.as_ref())?;
        return Ok(Outcome {
            already_there: there,
            targets,
            ..dry_run_outcome(&request, &planned, &ahead, statements)?
        });
    }
    let document = ahead.document.clone();
    drop(ahead);
    let outcome = perform(request, media, planned, document, begun, context).await?;
    Ok(Outcome { targets, ..outcome })
}

/// Compares the planned bundle with the targets of `--for`. Fails if one refuses an image.
fn for_targets(
    request: &Request,
    plan: &ExportPlan,
    ahead: &Preview,
    context: &Context,
) -> Result<Vec<TargetLine>> {
    let inventory = &ahead.assembled.inventory;
    let lines = targets::compare(&request.targets, Some(plan), inventory, context);
    targets::require(&lines)?;
    Ok(lines)
}

/// Returns the state of the directory. With `--replan`, discards an unfinished export first; a dry
/// run only ignores it.
fn look(request: &Request, media: &Arc<dyn Media>) -> Result<Found> {
    let signer = request.signer.as_ref();
    if request.existing == Existing::Replan && state::is_unfinished(media.as_ref())? {
        if request.dry_run {
            return state::find_sealed_state(media, signer);
        }
        state::discard(media.as_ref())?;
    }
    let found = state::find_state(media, signer)?;
    if !request.dry_run && matches!(found, Found::Sealed(_)) {
        state::clear_leftovers(media.as_ref())?;
    }
    Ok(found)
}

fn open_medium(request: &Request) -> Result<Option<DirMedia>> {
    if request.dry_run {
        match DirMedia::open(&request.to) {
            Ok(media) => Ok(Some(media)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    } else {
        Ok(Some(DirMedia::create(&request.to)?))
    }
}

/// Describes an earlier export, so that the operator recognizes it.
fn about(label: &Label, images: usize) -> String {
    let images = Count::of(images, "image");
    match &label.title {
        Some(title) => format!("\"{}\", {images}", title.as_str()),
        None => images.to_string(),
    }
}

/// Warns of images whose names on the target need attention at import, because the importing side
/// may be unable to correct them.
fn warn_about_names(inventory: &Inventory, context: &Context) {
    for note in naming_ahead::notes(inventory) {
        context.warn(note);
    }
}

/// Warns about names, and refuses those that an import with the requested profile would refuse.
fn check_names(request: &Request, inventory: &Inventory, context: &Context) -> Result<()> {
    warn_about_names(inventory, context);
    let Some(profile) = request.profile else {
        return Ok(());
    };
    let refused = naming_ahead::refused(inventory, profile, request.mapping.as_ref());
    if refused.is_empty() {
        return Ok(());
    }
    let mut message = "An import with this `--profile` would refuse the images' names:".to_owned();
    for conflict in refused {
        message.push_str(&format!("\n  - {conflict}"));
    }
    Err(Error::usage(message).hint(
        "leave one of the images out, or export without --profile and rename one at the import: \
         `--mapping FILE` with a line `SOURCE=TARGET`",
    ))
}

/// Warns of sparse indexes, which some target registries refuse.
fn warn_of_sparse_indexes(plan: &ExportPlan, context: &Context) {
    let manifests = &plan.content.manifests;
    let is_there = |digest: &Digest| {
        let found = manifests.binary_search_by(|manifest| manifest.digest.cmp(digest));
        found.is_ok()
    };
    // A child that one image leaves out may be carried for another image.
    let sparse = manifests
        .iter()
        .filter(|manifest| !manifest.omitted.iter().all(is_there));
    let count = sparse.count();
    if count > 0 {
        context.warn(format!(
            "{} will be sparse (--platform): some registries, distribution 2.8 among them, refuse \
             an index whose other platforms are missing; `airferry import \
             --sparse-index=platform-manifest` tags the only exported platform instead",
            Count::of(count, "index"),
        ));
    }
}

/// Returns the outcome of a dry run. `statements`: bytes of the existing statements.
fn dry_run_outcome(
    request: &Request,
    planned: &Planned,
    ahead: &Preview,
    statements: u64,
) -> Result<Outcome> {
    let own = seal::statement_bytes_ahead(
        &ahead.assembled,
        request.signer.as_ref(),
        request.comment.as_ref(),
    )?;
    let outcome = Outcome::planned(&ahead.assembled, statements + own);
    let outcome = outcome.with_selections(&planned.selections);
    let outcome = outcome.with_unanswered(&planned.plan);
    Ok(outcome.with_selected(planned.selected.clone()))
}
