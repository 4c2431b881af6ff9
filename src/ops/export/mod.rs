//! `airferry export`: registry to medium.
//!
//! Look at what is there, resolve, plan, check, transfer, seal. Every step can be stopped at any
//! time and is continued by the same request.

mod attached;
mod content;
mod earlier;
mod made;
mod outcome;
mod prefetch;
mod preflight;
mod problem;
mod request;
mod resolve;
mod selection;
mod sources;
mod transfer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use futures_util::stream;

pub use attached::Attachments;
pub use outcome::{CatalogLine, ExportState, ImageLine, Outcome};
pub use request::{CatalogRequest, Existing, Releases, Request};
pub(crate) use resolve::resolve;
pub use resolve::{ForeignLayers, Selection};
pub use selection::{BundleSelection, CatalogSelection, PackageSelection};

use super::context::Context;
use super::source_error::of_source;
use crate::bundle::finding::FindingKind;
use crate::bundle::open::{Scope, Unproven, examine};
use crate::bundle::trust::{Trust, statement_bytes};
use crate::bundle::verify::check_content;
use crate::bundle::write::ahead::Ahead;
use crate::bundle::write::assemble::{Assembled, LaneResults, assemble};
use crate::bundle::write::made::MadeBlob;
use crate::bundle::write::state::{Found, PlanDocument};
use crate::bundle::write::{Ground, made as made_blobs, seal, state};
use crate::error::{Class, Error, Result};
use crate::model::{CatalogEntry, Count, Digest, ImageEntry, Inventory, Reference};
use crate::ops::blocking;
use crate::ops::release::selection::Selected;
use crate::plan::export::{self as plan, ExportPlan, KnownBundle, Resolution};
use crate::plan::naming_ahead;
use crate::progress::Phase;
use crate::registry::{Client, Selector};
use crate::sys::filesystem::FileSystem;
use crate::sys::journal::{self, Journal};
use crate::sys::lock::DirLock;
use crate::sys::media::{DirMedia, Media};
use sources::Sources;
use transfer::{Transfer, Transferred};

/// Tags that are looked at at the same time.
const TAG_JOBS: usize = 16;

/// Where an export begins.
enum Start {
    /// There is nothing.
    Anew,
    /// A run was interrupted.
    Continue(Box<ExportPlan>),
    /// A bundle was sealed; perhaps some images are missing.
    Complete(Box<KnownBundle>),
}

/// When the plan was made that is being performed.
enum Begun {
    /// By this run; with the generation that it completes.
    Now(Option<Box<KnownBundle>>),
    /// By a run that was interrupted.
    Earlier,
}

/// A plan, with what only the run that makes it has.
struct Planned {
    plan: ExportPlan,
    /// Blobs that were made for it.
    made: Vec<MadeBlob>,
    /// What was kept of catalogs, and why.
    selections: Vec<CatalogSelection>,
    /// What releases asked for by version are.
    selected: Vec<Selected>,
}

impl Planned {
    /// A plan that an earlier run made: what it made lies beside it.
    fn again(plan: ExportPlan) -> Self {
        Self {
            plan,
            made: Vec::new(),
            selections: Vec::new(),
            selected: Vec::new(),
        }
    }
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

/// Exports a bundle, or continues, or completes one.
pub async fn export(request: Request, context: &Context) -> Result<Outcome> {
    if request.is_empty() {
        return Err(Error::usage("Nothing to export").hint(
            "name an image reference, a release with --release, or a catalog with --catalog",
        ));
    }
    let bases = read_bases(&request)?;
    let base_ids: Vec<Digest> = bases.iter().map(|base| base.id).collect();
    let digest = request.digest(&base_ids);
    preflight::check_mounted(&request.to, context)?;
    let Some(media) = open_medium(&request)? else {
        // A dry run into a directory that is not there yet.
        let planned = make_plan(&request, digest, None, &bases, context).await?;
        let ahead = Ahead::of(&planned.plan)?;
        tell_of_names(&ahead.assembled.inventory, context);
        preflight::check_ahead(&request, &planned.plan, &ahead)?;
        return foretell(&request, &planned, &ahead, 0);
    };
    let _lock = DirLock::try_take(media.root())?.ok_or_else(|| {
        let message = format!("Another export into `{}` is running", request.to.display());
        Error::new(Class::Media, message)
    })?;
    let media: Arc<dyn Media> = Arc::new(media);
    let start = Start::of(look(&request, &media)?);
    let (planned, begun) = match start {
        Start::Continue(plan) if plan.request != digest => {
            return Err(Error::usage("An export of another request was begun there")
                .hint("run that command again to finish it")
                .hint("--replan throws it away and begins with this request"));
        }
        Start::Continue(plan) => {
            let (images, catalogs) = (&plan.content.images, &plan.content.catalogs);
            report_moved_tags(&request, images, catalogs, context).await;
            (Planned::again(*plan), Begun::Earlier)
        }
        Start::Complete(known) if known.inventory.request != digest => {
            return Err(Error::usage("A bundle of another request is there")
                .hint("export into another directory; --base makes it small"));
        }
        Start::Complete(known) if known.manifest.complete && !earlier::asks_again(&known) => {
            let (images, catalogs) = (&known.inventory.images, &known.inventory.catalogs);
            tell_of_names(&known.inventory, context);
            let moved = report_moved_tags(&request, images, catalogs, context).await;
            let statements = statement_bytes(media.as_ref())?;
            return Ok(Outcome::already_complete(&known, moved, statements));
        }
        Start::Complete(known) => {
            let planned = make_plan(&request, digest, Some(&known), &bases, context).await?;
            if nothing_new(&known, &planned.plan) {
                let statements = statement_bytes(media.as_ref())?;
                let outcome =
                    Outcome::nothing_new(&known, &planned.plan.content.images, statements);
                let outcome = outcome.with_unanswered(&planned.plan);
                tell_of_names(&known.inventory, context);
                return Ok(outcome);
            }
            (planned, Begun::Now(Some(known)))
        }
        Start::Anew => (
            make_plan(&request, digest, None, &bases, context).await?,
            Begun::Now(None),
        ),
    };
    let plan = &planned.plan;
    warn_of_sparse_indexes(plan, context);
    let ahead = Ahead::of(plan)?;
    tell_of_names(&ahead.assembled.inventory, context);
    preflight::check(&request, media.as_ref(), plan, &ahead)?;
    if request.dry_run {
        let there = preflight::own_bytes(media.as_ref(), &ahead.written)?;
        let statements = statement_bytes(media.as_ref())?;
        return Ok(Outcome {
            already_there: there,
            ..foretell(&request, &planned, &ahead, statements)?
        });
    }
    let document = ahead.document.clone();
    drop(ahead);
    perform(request, media, planned, document, begun, context).await
}

/// Looks at what is there. With `--replan`, an unfinished export counts for nothing, and a dry
/// run only does as if it were gone.
fn look(request: &Request, media: &Arc<dyn Media>) -> Result<Found> {
    let signer = request.signer.as_ref();
    if request.existing == Existing::Replan && state::is_unfinished(media.as_ref())? {
        if request.dry_run {
            return state::look_behind(media, signer);
        }
        state::discard(media.as_ref())?;
    }
    let found = state::look(media, signer)?;
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

/// Reads the bases' documents; what they say is believed only under a trusted signature.
fn read_bases(request: &Request) -> Result<Vec<KnownBundle>> {
    let own = request.signer.as_ref().map(|signer| *signer.public());
    let trust = Trust {
        exporters: own.into_iter().chain(request.base_trust.clone()).collect(),
        ..Trust::default()
    };
    let mut bases = Vec::new();
    for path in &request.bases {
        let media = Arc::new(DirMedia::open(path)?);
        let mut waived = vec![FindingKind::Incomplete];
        if trust.exporters.is_empty() {
            waived.push(FindingKind::NotAuthenticated);
        }
        let unproven = Unproven::accepted(trust.exporters.is_empty());
        let examination = examine(media, &trust, Scope::Documents, unproven)?;
        let bundle = examination.into_bundle(&waived).map_err(|e| {
            Error::new(e.class(), format!("`{}` cannot be a base", path.display()))
                .hint("a base is a bundle, or a copy of its manifest.cbor, inventory.cbor and signatures/")
                .hint("--base-trust names the key of whoever made it")
                .caused_by(e)
        })?;
        bases.push(KnownBundle {
            id: bundle.id,
            manifest: bundle.manifest,
            inventory: bundle.inventory,
        });
    }
    Ok(bases)
}

/// Resolves what has to be resolved, and plans.
async fn make_plan(
    request: &Request,
    digest: Digest,
    known: Option<&KnownBundle>,
    bases: &[KnownBundle],
    context: &Context,
) -> Result<Planned> {
    let (mut made, mut selections, mut selected) = (Vec::new(), Vec::new(), Vec::new());
    let resolution = match known {
        None => {
            let client = &request.client;
            let mut gathered = content::gather(request, context).await?;
            made = std::mem::take(&mut gathered.made);
            selections = std::mem::take(&mut gathered.selections);
            selected = std::mem::take(&mut gathered.selected);
            let wanted = &gathered.references;
            let mut found =
                resolve::resolve_pinned(client, wanted, &request.selection, context).await?;
            content::add_made(&mut found, &made)?;
            let mut found = something_was_found(client, found).await?;
            content::add_to(&mut found, gathered, &request.references);
            found
        }
        Some(known) => earlier::resolve(request, known, context).await?,
    };
    let options = plan::Options {
        label: request.label.clone(),
        chunk_limit: request.chunk_limit,
        lanes: None,
        request: digest,
    };
    let plan = ExportPlan::new(resolution, known, bases, options)
        .map_err(|error| Error::usage("The content cannot be laid out").caused_by(error))?;
    let made = made.into_iter().flat_map(|made| made.image.blobs);
    Ok(Planned {
        plan,
        made: made.collect(),
        selections,
        selected,
    })
}

/// Says how an import will name the images, where that is not plain: nobody should find out on the
/// far side.
fn tell_of_names(inventory: &Inventory, context: &Context) {
    for note in naming_ahead::notes(inventory) {
        context.warn(note);
    }
}

/// Says early what an importer may stumble over.
fn warn_of_sparse_indexes(plan: &ExportPlan, context: &Context) {
    let manifests = &plan.content.manifests;
    let is_there = |digest: &Digest| {
        let found = manifests.binary_search_by(|manifest| manifest.digest.cmp(digest));
        found.is_ok()
    };
    // A child that one image leaves out may travel with another one.
    let sparse = manifests
        .iter()
        .filter(|manifest| !manifest.omitted.iter().all(is_there));
    let count = sparse.count();
    if count > 0 {
        context.warn(format!(
            "{} will be sparse (--platform): some registries, distribution 2.8 among \
             them, refuse an index whose other platforms are not there; `airferry import \
             --sparse-index=platform-manifest` tags the one platform instead",
            Count::of(count, "index"),
        ));
    }
}

/// A bundle without a single image helps nobody: then there is no bundle.
async fn something_was_found(client: &Client, resolution: Resolution) -> Result<Resolution> {
    let images = &resolution.images;
    if images.iter().any(|image| image.root.is_some()) {
        return Ok(resolution);
    }
    let mut message = String::from("Not one image could be had, and nothing was written:");
    for image in images {
        let problem = image.problem.as_deref().unwrap_or_default();
        message.push_str(&format!("\n  - {}: {problem}", image.requested));
    }
    // Registries that answer have said that they lack the images; others are out of reach.
    let sources = images.iter().map(|image| &image.source);
    if let Some(error) = client.first_unreachable(sources).await {
        return Err(of_source(message, error));
    }
    let hint = "check the references, --platform and the credentials";
    Err(Error::new(Class::Incomplete, message).hint(hint))
}

/// Whether a completion would add nothing to the generation that is there.
fn nothing_new(known: &KnownBundle, plan: &ExportPlan) -> bool {
    let (before, now) = (&known.inventory.images, &plan.content.images);
    plan.to_fetch().0 == 0 && problems(before) == problems(now) && attachments_same(before, now)
}

/// Whether no image has anything attached to it that was not known before.
fn attachments_same<'a>(before: &'a [ImageEntry], now: &'a [ImageEntry]) -> bool {
    let whole = |images: &'a [ImageEntry]| -> BTreeMap<&'a Reference, _> {
        let whole = images.iter().filter(|image| image.problem.is_none());
        let attached = |image: &'a ImageEntry| (image.cosign, image.referrers, &image.attached);
        whole
            .map(|image| (&image.requested, attached(image)))
            .collect()
    };
    whole(before) == whole(now)
}

/// Number of images that are not whole.
fn problems(images: &[ImageEntry]) -> usize {
    images
        .iter()
        .filter(|image| image.problem.is_some())
        .count()
}

/// What a dry run says. `statements`: bytes of those that are there already.
fn foretell(
    request: &Request,
    planned: &Planned,
    ahead: &Ahead,
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

/// Tells of tags that point elsewhere now; the plan's digests stand.
async fn report_moved_tags(
    request: &Request,
    images: &[ImageEntry],
    catalogs: &[CatalogEntry],
    context: &Context,
) -> Vec<String> {
    let originals: BTreeMap<&Reference, Digest> = catalogs
        .iter()
        .filter_map(|catalog| Some((&catalog.image, catalog.original?)))
        .collect();
    let originals = &originals;
    let tagged = images
        .iter()
        .filter(|image| image.requested.digest.is_none());
    let moved: Vec<Option<String>> = stream::iter(tagged)
        .map(|image| async move {
            let (root, tag) = (image.root?, image.tag.as_ref()?);
            // What was made here was never where the tag points.
            let root = originals.get(&image.requested).copied().unwrap_or(root);
            let selector = Selector::from(tag);
            let now = request
                .client
                .head_manifest(&image.source, &selector)
                .await
                .ok()?;
            let now = now.map(|head| head.value.digest);
            (now != Some(root)).then(|| match now {
                Some(now) => format!("{} points to {now} now, not to {root}", image.requested),
                None => format!("{} is gone, it pointed to {root}", image.requested),
            })
        })
        .buffered(TAG_JOBS)
        .collect()
        .await;
    let moved: Vec<String> = moved.into_iter().flatten().collect();
    for message in &moved {
        context.warn(message.clone());
    }
    moved
}

/// Transfers and seals.
async fn perform(
    request: Request,
    media: Arc<dyn Media>,
    planned: Planned,
    document: PlanDocument,
    begun: Begun,
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
        let (signer, is_new) = (request.signer.clone(), matches!(begun, Begun::Now(_)));
        super::blocking(move || {
            if is_new {
                // Before the plan: whoever continues it needs them.
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
        ground: Ground::new(Arc::clone(&media), journal)?,
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
                Begun::Now(known) => known,
                Begun::Earlier => state::generation_before(&media, &plan, request.signer.as_ref()),
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

/// Whether a new generation would hold nothing that the one before did not.
fn adds_nothing(known: &KnownBundle, assembled: &Assembled, written: &LaneResults) -> bool {
    let (before, now) = (&known.inventory, &assembled.inventory);
    written.chunks.is_empty()
        && before.manifests.len() == now.manifests.len()
        && problems(&before.images) == problems(&now.images)
        && attachments_same(&before.images, &now.images)
}

fn seal_bundle(
    media: &dyn Media,
    assembled: &Assembled,
    metadata_chunk: &[u8],
    request: &Request,
    context: &Context,
) -> Result<Outcome> {
    let phase = Phase::Seal;
    context.emit(crate::progress::Event::PhaseStarted {
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
    context.emit(crate::progress::Event::PhaseFinished { phase });
    let statements = statement_bytes(media)?;
    Ok(Outcome::sealed(assembled, statement, statements))
}

/// Reads from the medium what was written to it, as `verify` does.
async fn read_back_bundle(media: Arc<dyn Media>, context: &Context) -> Result<()> {
    let waived = [FindingKind::NotAuthenticated, FindingKind::Incomplete];
    let examination = examine(media, &Trust::default(), Scope::Everything, Unproven::GoOn)?;
    let bundle = Arc::new(examination.into_bundle(&waived)?);
    let context = context.clone();
    let findings = blocking(move || {
        check_content(&bundle, None, context.progress.as_ref(), &|| {
            context.cancel.is_cancelled()
        })
    })
    .await?;
    match crate::bundle::finding::as_error("What was written reads back differently:", &findings) {
        Some(error) => Err(error.hint("the medium is not reliable: use another one")),
        None => Ok(()),
    }
}
