//! Performs an export's plan: transfers blobs, seals the bundle, reads it back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::additions::adds_nothing;
use super::outcome::Outcome;
use super::planning::Planned;
use super::request::Request;
use super::sources::Sources;
use super::transfer::{Transfer, Transferred};
use crate::bundle::finding::{FindingKind, as_error};
use crate::bundle::open::{Scope, UnsignedPolicy, examine};
use crate::bundle::trust::{Trust, statement_bytes};
use crate::bundle::verify::check_content;
use crate::bundle::write::assemble::{Assembled, LaneResults, assemble};
use crate::bundle::write::state::PlanDocument;
use crate::bundle::write::{LaneTarget, made as made_blobs, seal, state};
use crate::error::Result;
use crate::ops::blocking;
use crate::ops::context::Context;
use crate::plan::export::KnownBundle;
use crate::progress::{Event, Phase};
use crate::sys::filesystem::FileSystem;
use crate::sys::journal::{self, Journal};
use crate::sys::media::Media;

/// The run that made the plan.
pub(super) enum PlanOrigin {
    /// This run; with the generation that it completes, if any.
    Now(Option<Box<KnownBundle>>),
    /// An interrupted run.
    Earlier,
}

/// Transfers the blobs, seals the bundle, and reads it back if requested.
pub(super) async fn perform(
    request: Request,
    media: Arc<dyn Media>,
    planned: Planned,
    document: PlanDocument,
    begun: PlanOrigin,
    context: &Context,
) -> Result<Outcome> {
    let Planned {
        plan,
        made,
        selections,
        selected,
    } = planned;
    let plan = Arc::new(plan);
    let plan_id = document.id;
    let (recovered, journal) = {
        let (media, plan) = (Arc::clone(&media), Arc::clone(&plan));
        let (signer, is_new) = (request.signer.clone(), matches!(begun, PlanOrigin::Now(_)));
        blocking(move || {
            if is_new {
                // Made blobs are written before the plan: a run that continues the plan needs
                // them.
                made_blobs::write(media.as_ref(), &plan, &made)?;
                drop(made);
                state::write_plan(media.as_ref(), &plan, &document.file, signer.as_ref())?;
            }
            media.make_dir("chunks")?;
            let recovered = journal::read(media.as_ref(), &plan_id)?;
            let journal = match recovered {
                Some(_) => Journal::open(media.as_ref())?,
                None => Journal::create(media.as_ref(), &plan_id)?,
            };
            Ok((recovered, journal))
        })
        .await?
    };
    let mut recovered = recovered.unwrap_or_default();
    let cursors = plan
        .content
        .lanes
        .iter()
        .map(|lane| plan.content.cursor(lane))
        .collect();
    let transfer = Arc::new(Transfer {
        sources: Arc::new(Sources {
            client: request.client.clone(),
            plan: Arc::clone(&plan),
            skipped: std::mem::take(&mut recovered.skipped),
            keep_going: request.keep_going,
        }),
        plan_id,
        target: LaneTarget::new(Arc::clone(&media), journal)?,
        recovered,
        context: context.clone(),
        missing: Mutex::default(),
    });
    let written = written(transfer.run(cursors).await?);
    let read_back = match request.read_back {
        Some(wanted) => wanted,
        None => FileSystem::of(media.root())?.is_removable_kind(),
    };
    let outcome = {
        let (media, plan, context) = (Arc::clone(&media), Arc::clone(&plan), context.clone());
        blocking(move || {
            let mut metadata_chunk = Vec::new();
            let assembled = assemble(&plan, plan_id, &written, &mut metadata_chunk)?;
            let before = match begun {
                PlanOrigin::Now(known) => known,
                PlanOrigin::Earlier => {
                    state::generation_before(&media, &plan, request.signer.as_ref())
                }
            };
            match before {
                Some(known) if adds_nothing(&known, &assembled, &written) => {
                    state::discard(media.as_ref())?;
                    let statements = statement_bytes(media.as_ref())?;
                    let images = &assembled.inventory.images;
                    Ok(Outcome::nothing_new(&known, images, statements))
                }
                _ => {
                    let medium = media.as_ref();
                    seal_bundle(medium, &assembled, &metadata_chunk, &request, &context)
                }
            }
        })
        .await?
    };
    if read_back {
        read_back_bundle(media, context).await?;
    }
    let outcome = outcome.with_selections(&selections).with_unanswered(&plan);
    Ok(outcome.with_selected(selected))
}

fn written(transferred: Transferred) -> LaneResults {
    let mut written = LaneResults {
        missing: transferred.missing.into_iter().collect::<BTreeMap<_, _>>(),
        ..LaneResults::default()
    };
    for lane in transferred.lanes {
        written.chunks.extend(lane.chunks);
        written.placed.extend(lane.placed);
    }
    written.chunks.sort_by_key(|chunk| chunk.number);
    written
}

fn seal_bundle(
    media: &dyn Media,
    assembled: &Assembled,
    metadata_chunk: &[u8],
    request: &Request,
    context: &Context,
) -> Result<Outcome> {
    let phase = Phase::Seal;
    context.emit(Event::PhaseStarted {
        phase,
        items: 0,
        bytes: 0,
    });
    let statement = seal::seal(
        media,
        assembled,
        metadata_chunk,
        request.signer.as_ref(),
        request.comment.as_ref(),
    )?;
    context.emit(Event::PhaseFinished { phase });
    let statements = statement_bytes(media)?;
    Ok(Outcome::sealed(assembled, statement, statements))
}

/// Reads the written bundle back from the medium, with the checks of `verify`.
async fn read_back_bundle(media: Arc<dyn Media>, context: &Context) -> Result<()> {
    let waived = [FindingKind::NotAuthenticated, FindingKind::Incomplete];
    let context = context.clone();
    let findings = blocking(move || {
        let examination = examine(
            media,
            &Trust::default(),
            Scope::Everything,
            UnsignedPolicy::GoOn,
        )?;
        let bundle = Arc::new(examination.into_bundle(&waived)?);
        check_content(&bundle, None, context.progress.as_ref(), &|| {
            context.cancel.is_cancelled()
        })
    })
    .await?;
    match as_error("Reading the bundle back found damage:", &findings) {
        Some(error) => Err(error.hint("the medium is not reliable: use another one")),
        None => Ok(()),
    }
}
