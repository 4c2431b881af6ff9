//! Resolves references at registries: all manifests, blobs and attached artifacts.
//!
//! Does not fetch blobs. A problem of one image does not affect the others.

mod artifacts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::attached::{self, Attachments, UnknownImages};
use super::problem::Problem;
use crate::error::{Error, Result, chain};
use crate::format::manifest_row::child_fault;
use crate::model::{
    AttachmentState, Count, Descriptor, Digest, ImageEntry, Limits, ManifestFacts, ManifestKind,
    Platform, RawManifest, Reference, Repository,
};
use crate::oci;
use crate::ops::context::Context;
use crate::plan::export::{Resolution, ResolvedBlob, ResolvedManifest};
use crate::progress::{Event, Phase};
use crate::registry::{Client, Selector};

/// Number of images that are resolved at the same time.
const JOBS: usize = 32;

/// How to treat non-distributable (foreign) layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForeignLayers {
    /// Leave them out, and report them.
    #[default]
    Leave,
    /// Carry them like others; the operator is responsible.
    Carry,
}

/// Parts of images to carry.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Platforms of indexes to carry; empty: all.
    pub platforms: Vec<Platform>,
    /// Policy for signatures, attestations, SBOMs and referrers.
    pub attachments: Attachments,
    /// Policy for non-distributable layers.
    pub foreign: ForeignLayers,
}

/// Resolves all references. Fails only when cancelled; problems are recorded per image.
pub(crate) async fn resolve(
    client: &Client,
    references: &BTreeSet<Reference>,
    selection: &Selection,
    context: &Context,
) -> Result<Resolution> {
    let pinned = references
        .iter()
        .map(|reference| (reference.clone(), None))
        .collect();
    resolve_pinned(client, &pinned, selection, context).await
}

/// Resolves references. If a digest is given, it is used instead of the reference's tag.
pub(super) async fn resolve_pinned(
    client: &Client,
    references: &BTreeMap<Reference, Option<Digest>>,
    selection: &Selection,
    context: &Context,
) -> Result<Resolution> {
    let phase = Phase::Resolve;
    context.emit(Event::PhaseStarted {
        phase,
        items: references.len() as u64,
        bytes: 0,
    });
    let selection = Arc::new(selection.clone());
    let mut images = stream::iter(references.iter().enumerate())
        .map(|(turn, (reference, pinned))| {
            let (client, selection) = (client.clone(), Arc::clone(&selection));
            let (reference, pinned) = (reference.clone(), *pinned);
            let walk = async move { Walk::new(client, selection).image(reference, pinned).await };
            let task = tokio::spawn(walk);
            async move { (turn, task.await) }
        })
        .buffer_unordered(JOBS);
    let mut resolution = Resolution::default();
    // Images are merged in the order of the references, which does not depend on the speed of
    // registries; early ones wait. Holding all of them would use the most memory of the whole
    // export.
    let (mut turn, mut early) = (0, BTreeMap::new());
    let mut unknown = UnknownImages::default();
    loop {
        let next = tokio::select! {
            next = images.next() => next,
            () = context.cancel.cancelled() => return Err(Error::interrupted()),
        };
        let Some((number, image)) = next else {
            break;
        };
        let image = image.map_err(|join| Error::internal("Resolving an image failed", join))?;
        let ok = image.entry.is_whole();
        let item = image.entry.requested.to_string().into();
        context.emit(Event::ItemFinished { phase, item, ok });
        early.insert(number, image);
        while let Some(image) = early.remove(&turn) {
            unknown.note(&image.entry, &image.unknown);
            merge(&mut resolution, image);
            turn += 1;
        }
    }
    context.emit(Event::PhaseFinished { phase });
    unknown.tell(context);
    let images = &resolution.images;
    let lacking = images.iter().filter(|image| !image.is_whole());
    let (lacking, all) = (lacking.count(), Count::of(images.len(), "image"));
    if (1..images.len()).contains(&lacking) {
        let is = Count::of(lacking, "image").is();
        context.warn(format!(
            "{lacking} of {all} {is} missing; the list with reasons follows at the end"
        ));
    }
    Ok(resolution)
}

/// Adds an image to the resolution. If it gives a blob another size than an earlier image does,
/// one of them is wrong; the later image gets the problem.
fn merge(resolution: &mut Resolution, mut image: Image) {
    if image.unknown.iter().any(|problem| problem.is_passing) {
        let requested = image.entry.requested.clone();
        resolution.unanswered.insert(requested);
    }
    for (digest, blob) in &image.blobs {
        if let Some(known) = resolution.blobs.get(digest)
            && known.size != blob.size
        {
            let problem = format!(
                "its manifest says that {digest} has {} bytes, another image's says {}",
                blob.size, known.size
            );
            image.entry = unresolved(image.entry, problem);
            resolution.images.push(image.entry);
            return;
        }
    }
    for (digest, blob) in image.blobs {
        match resolution.blobs.entry(digest) {
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(blob);
            }
            std::collections::btree_map::Entry::Occupied(mut known) => {
                known.get_mut().add_places(blob.from);
                known.get_mut().merge_foreign(blob.foreign);
            }
        }
    }
    // An index may be sparse for one image and whole for another: a child is left out only if both
    // leave it out.
    for (digest, manifest) in image.manifests {
        let known = resolution.manifests.entry(digest);
        let omitted: BTreeSet<Digest> = manifest.omitted.iter().copied().collect();
        known
            .and_modify(|known| known.omitted.retain(|child| omitted.contains(child)))
            .or_insert(manifest);
    }
    resolution.images.push(image.entry);
}

/// Returns the entry of an image of which nothing is carried.
pub(super) fn unresolved(entry: ImageEntry, problem: String) -> ImageEntry {
    ImageEntry {
        root: None,
        attached: Vec::new(),
        cosign: AttachmentState::NotAsked,
        referrers: AttachmentState::NotAsked,
        problem: Some(problem),
        ..entry
    }
}

/// One image with its manifests, blobs and attachments.
struct Image {
    entry: ImageEntry,
    manifests: BTreeMap<Digest, ResolvedManifest>,
    blobs: BTreeMap<Digest, ResolvedBlob>,
    /// Reasons why its attachments are not fully known.
    unknown: Vec<Problem>,
}

/// Resolves one image: its manifests and blobs, and later its attachments.
struct Walk {
    client: Client,
    selection: Arc<Selection>,
    manifests: BTreeMap<Digest, ResolvedManifest>,
    blobs: BTreeMap<Digest, ResolvedBlob>,
}

impl Walk {
    fn new(client: Client, selection: Arc<Selection>) -> Self {
        Self {
            client,
            selection,
            manifests: BTreeMap::new(),
            blobs: BTreeMap::new(),
        }
    }

    async fn image(mut self, reference: Reference, pinned: Option<Digest>) -> Image {
        let mut platforms = self.selection.platforms.clone();
        platforms.sort();
        platforms.dedup();
        let mut entry = ImageEntry {
            root: None,
            tag: reference.tag.clone(),
            cosign: AttachmentState::NotAsked,
            source: reference.repository.clone(),
            attached: Vec::new(),
            problem: None,
            platforms,
            referrers: AttachmentState::NotAsked,
            requested: reference.clone(),
            standalone: false,
            fetched_from: reference.repository.clone(),
        };
        if reference.tag.is_none() && reference.digest.is_none() {
            entry.tag = "latest".parse().ok();
        }
        let mut unknown = Vec::new();
        if let Err(problem) = self.follow(&reference, pinned, &mut entry).await {
            entry = unresolved(entry, problem.reason.clone());
            self.manifests.clear();
            self.blobs.clear();
            unknown.push(problem);
        } else if self.selection.attachments != Attachments::None {
            unknown = self.attachments(&mut entry).await;
            if self.selection.attachments == Attachments::Required {
                entry.problem = unknown.first().map(|problem| problem.reason.clone());
            }
        }
        // A child left out of an index may have come as an artifact attached to another child.
        let known: BTreeSet<Digest> = self.manifests.keys().copied().collect();
        for manifest in self.manifests.values_mut() {
            manifest.omitted.retain(|child| !known.contains(child));
        }
        if let Err(problem) = self.compare_children() {
            entry = unresolved(entry, problem.reason.clone());
            self.manifests.clear();
            self.blobs.clear();
            unknown = vec![problem];
        }
        let is_sparse = |manifest: &ResolvedManifest| !manifest.omitted.is_empty();
        if entry.root.is_some() && !self.manifests.values().any(is_sparse) {
            entry.platforms.clear();
        }
        entry.attached.sort_by(attached::compare_attachments);
        entry.attached.dedup();
        Image {
            entry,
            manifests: self.manifests,
            blobs: self.blobs,
            unknown,
        }
    }

    async fn follow(
        &mut self,
        reference: &Reference,
        pinned: Option<Digest>,
        entry: &mut ImageEntry,
    ) -> std::result::Result<(), Problem> {
        let selector = pinned.map_or_else(|| Selector::of(reference), Selector::from);
        let fetched = self
            .client
            .manifest(&reference.repository, &selector)
            .await
            .map_err(|error| Problem {
                reason: error.reason(),
                is_passing: error.is_network(),
            })?;
        entry.fetched_from = fetched.fetched_from;
        let root = fetched.value.digest;
        self.tree(&reference.repository, fetched.value, true)
            .await?;
        entry.root = Some(root);
        Ok(())
    }

    /// Adds a manifest and all its children. `filter`: leave out unwanted platforms.
    async fn tree(
        &mut self,
        repository: &Repository,
        root: RawManifest,
        filter: bool,
    ) -> std::result::Result<(), Problem> {
        let mut waiting = vec![(root, None, 0usize)];
        while let Some((raw, platform, depth)) = waiting.pop() {
            if self.manifests.contains_key(&raw.digest) {
                continue;
            }
            if depth > Limits::INDEX_DEPTH {
                let deepest = Limits::INDEX_DEPTH;
                return Err(format!("indexes are nested deeper than {deepest}").into());
            }
            let oci::OciDocument { media_type, facts } =
                oci::parse(&raw.bytes, Some(&raw.media_type))
                    .map_err(|error| format!("manifest {}: {}", raw.digest, chain(&error)))?;
            let raw = RawManifest { media_type, ..raw };
            one_role_each(&facts).map_err(|why| format!("manifest {}: {why}", raw.digest))?;
            for blob in &facts.blobs {
                self.add_blob(repository, blob)?;
            }
            let (kept, omitted) = match filter {
                true => self.by_platform(&facts.children),
                false => (facts.children.clone(), Vec::new()),
            };
            if kept.is_empty() && facts.kind == ManifestKind::Index && !omitted.is_empty() {
                return Err(self.no_platform(&omitted));
            }
            for child in kept {
                if self.manifests.contains_key(&child.digest) {
                    continue;
                }
                let fetched = self
                    .client
                    .manifest(repository, &child.digest.into())
                    .await
                    .map_err(|error| Problem::of("child manifest", &error))?;
                let mut raw = fetched.value;
                if child.media_type.manifest_kind().is_some() {
                    // Clients use the type given by the index, unless the child itself names its
                    // type.
                    raw.media_type = child.media_type;
                }
                waiting.push((raw, child.platform, depth + 1));
            }
            let omitted = omitted.into_iter().map(|child| child.digest).collect();
            let digest = raw.digest;
            self.manifests.insert(
                digest,
                ResolvedManifest {
                    omitted,
                    platform,
                    ..ResolvedManifest::new(raw, &facts)
                },
            );
        }
        self.compare_children()
    }

    /// Refuses an index whose descriptor of a child has the wrong size or type. Clients refuse
    /// such a child, and so do readers of bundles (bundle-format.md, R-26).
    fn compare_children(&self) -> std::result::Result<(), Problem> {
        for (digest, index) in self
            .manifests
            .iter()
            .filter(|(_, m)| !m.children.is_empty())
        {
            let (bytes, kind) = (&index.raw.bytes, &index.raw.media_type);
            let document = oci::parse(bytes, Some(kind))
                .map_err(|error| format!("manifest {digest}: {}", chain(&error)))?;
            let omitted: BTreeSet<&Digest> = index.omitted.iter().collect();
            let children = document.facts.children.iter();
            for child in children.filter(|child| !omitted.contains(&child.digest)) {
                let Some(known) = self.manifests.get(&child.digest) else {
                    continue;
                };
                let size = known.raw.bytes.len() as u64;
                if let Some(fault) = child_fault(child, size, &known.raw.media_type) {
                    let (said, says) = (child.size, &child.media_type);
                    let reason = format!(
                        "the index {digest} describes its child {} wrongly ({said} bytes, type \
                         {says}): {fault}",
                        child.digest
                    );
                    return Err(reason.into());
                }
            }
        }
        Ok(())
    }

    /// Splits children into kept and omitted ones. A child that describes another one, such as an
    /// attestation of buildx, follows that one.
    fn by_platform(&self, children: &[Descriptor]) -> (Vec<Descriptor>, Vec<Descriptor>) {
        let all: BTreeSet<Digest> = children.iter().map(|child| child.digest).collect();
        let own = children.iter().filter(|child| self.wanted(child));
        let own: BTreeSet<Digest> = own.map(|child| child.digest).collect();
        let is_kept = |child: &Descriptor| match child.describes {
            Some(described) if all.contains(&described) => own.contains(&described),
            _ => own.contains(&child.digest),
        };
        children.iter().cloned().partition(is_kept)
    }

    /// True if a child is wanted. Children without a platform are: nested indexes and artifacts.
    fn wanted(&self, child: &Descriptor) -> bool {
        let filters = &self.selection.platforms;
        filters.is_empty()
            || child
                .platform
                .as_ref()
                .is_none_or(|platform| filters.iter().any(|filter| filter.selects(platform)))
    }

    fn no_platform(&self, omitted: &[Descriptor]) -> Problem {
        let list = |platforms: &mut dyn Iterator<Item = &Platform>| {
            let texts: BTreeSet<String> = platforms.map(Platform::to_string).collect();
            texts.into_iter().collect::<Vec<_>>().join(", ")
        };
        format!(
            "it has no image for {}; it has {}",
            list(&mut self.selection.platforms.iter()),
            list(&mut omitted.iter().filter_map(|child| child.platform.as_ref()))
        )
        .into()
    }

    fn add_blob(
        &mut self,
        repository: &Repository,
        blob: &Descriptor,
    ) -> std::result::Result<(), Problem> {
        let foreign =
            blob.media_type.is_foreign_layer() && self.selection.foreign == ForeignLayers::Leave;
        let foreign = foreign.then(|| blob.urls.clone());
        let cap = Limits::TEXT;
        if foreign.iter().flatten().any(|url| url.len() as u64 > cap) {
            let digest = blob.digest;
            let reason = format!("a URL of its layer {digest} has more than {cap} bytes");
            return Err(reason.into());
        }
        let entry = self
            .blobs
            .entry(blob.digest)
            .or_insert_with(|| ResolvedBlob {
                size: blob.size,
                from: Vec::new(),
                foreign: foreign.clone(),
            });
        if entry.size != blob.size {
            let (a, b) = (entry.size, blob.size);
            let digest = blob.digest;
            let reason = format!("its manifests say that {digest} has {a} and {b} bytes");
            return Err(reason.into());
        }
        // For a new entry too: this sorts and removes duplicates.
        entry.merge_foreign(foreign);
        entry.add_places([repository.clone()]);
        Ok(())
    }
}

/// Refuses a document that names one digest both as its subject and as its content. An inventory
/// cannot hold it (bundle-format.md, R-26), and it has no legitimate use.
fn one_role_each(facts: &ManifestFacts) -> std::result::Result<(), String> {
    let subject = facts.subject.as_ref().map(|subject| subject.digest);
    let mut named = facts.blobs.iter().chain(&facts.children);
    match named.find(|named| Some(named.digest) == subject) {
        Some(named) => Err(format!(
            "{} is both its subject and part of its content",
            named.digest
        )),
        None => Ok(()),
    }
}
