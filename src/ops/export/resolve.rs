//! Asks registries what references mean: every manifest, every blob, every attached artifact.
//!
//! No blob is fetched here. What goes wrong with one image stays with that image.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::{join, join_all};
use futures_util::{StreamExt, stream};

use crate::format::oci;
use crate::model::{
    AttachedBy, Attachment, AttachmentState, Count, Descriptor, Digest, ImageEntry, Limits,
    ManifestFacts, ManifestKind, Platform, RawManifest, Reference, Repository, Tag,
};
use crate::ops::context::Context;
use crate::ops::error::{Error, Result, chain};
use crate::plan::export::{Resolution, ResolvedBlob, ResolvedManifest};
use crate::progress::{Event, Phase};
use crate::registry::{Client, Selector};

/// Images that are resolved at the same time.
const JOBS: usize = 32;

/// Questions about attached artifacts of one image that are asked at the same time.
const ATTACHED_JOBS: usize = 8;

/// How deep artifacts attached to artifacts are followed.
const ATTACHED_DEPTH: usize = 3;

/// Endings of the tags under which cosign keeps signatures, attestations and SBOMs.
const COSIGN_ENDINGS: [&str; 3] = ["sig", "att", "sbom"];

/// What layers that may not be distributed are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForeignLayers {
    /// They are left where they are, and reported.
    #[default]
    Leave,
    /// They are carried like others, on the person's responsibility.
    Carry,
}

/// Which parts of images are wanted.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Platforms of indexes to carry; empty: all.
    pub platforms: Vec<Platform>,
    /// Look for signatures, attestations, SBOMs and referrers.
    pub attachments: bool,
    /// What to do with layers that may not be distributed.
    pub foreign: ForeignLayers,
}

/// Resolves all references. Fails only when it was stopped.
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

/// Resolves references; those that come with a digest mean that, wherever their tag points now.
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
    // Merged in their order, which does not depend on which registry answered first; those before
    // their turn wait. All of them at once would take the most memory of the whole export.
    let (mut turn, mut early) = (0, BTreeMap::new());
    loop {
        let next = tokio::select! {
            next = images.next() => next,
            () = context.cancel.cancelled() => return Err(Error::interrupted()),
        };
        let Some((number, image)) = next else {
            break;
        };
        let image = image.map_err(|join| Error::internal("Resolving an image failed", join))?;
        let ok = image.entry.problem.is_none();
        let item = image.entry.requested.to_string();
        context.emit(Event::ItemFinished { phase, item, ok });
        early.insert(number, image);
        while let Some(image) = early.remove(&turn) {
            merge(&mut resolution, image);
            turn += 1;
        }
    }
    context.emit(Event::PhaseFinished { phase });
    let images = &resolution.images;
    let lacking = images.iter().filter(|image| image.problem.is_some());
    let (lacking, all) = (lacking.count(), Count::of(images.len(), "image"));
    if (1..images.len()).contains(&lacking) {
        context.warn(format!(
            "{lacking} of {all} cannot be had whole; which and why is said at the end"
        ));
    }
    Ok(resolution)
}

/// Puts an image's facts with the others'. Two manifests that give one blob two sizes cannot
/// both be right; the later image is the one that is told so.
fn merge(resolution: &mut Resolution, mut image: Image) {
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
                known.get_mut().meet_foreign(blob.foreign);
            }
        }
    }
    // An index that is sparse for one image and whole for another: what is carried is carried.
    for (digest, manifest) in image.manifests {
        resolution.manifests.entry(digest).or_insert(manifest);
    }
    resolution.images.push(image.entry);
}

/// An image of which nothing is taken.
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

/// One image with everything that belongs to it.
struct Image {
    entry: ImageEntry,
    manifests: BTreeMap<Digest, ResolvedManifest>,
    blobs: BTreeMap<Digest, ResolvedBlob>,
}

/// Follows one image.
struct Walk {
    client: Client,
    selection: Arc<Selection>,
    manifests: BTreeMap<Digest, ResolvedManifest>,
    blobs: BTreeMap<Digest, ResolvedBlob>,
}

/// Why an image cannot be had, in one line for people.
type Problem = String;

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
        if let Err(problem) = self.follow(&reference, pinned, &mut entry).await {
            entry = unresolved(entry, problem);
            self.manifests.clear();
            self.blobs.clear();
        } else if self.selection.attachments
            && let Err(problem) = self.attachments(&mut entry).await
        {
            entry.problem = Some(problem);
        }
        entry.attached.sort_by(attachment_order);
        entry.attached.dedup();
        Image {
            entry,
            manifests: self.manifests,
            blobs: self.blobs,
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
            .map_err(|error| chain(&error))?;
        entry.fetched_from = fetched.fetched_from;
        let root = fetched.value.digest;
        self.tree(&reference.repository, fetched.value, true)
            .await?;
        entry.root = Some(root);
        let sparse = self
            .manifests
            .values()
            .any(|manifest| !manifest.omitted.is_empty());
        if !sparse {
            entry.platforms.clear();
        }
        Ok(())
    }

    /// Takes a manifest and all its children. `filter`: leave out unwanted platforms.
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
                return Err(format!(
                    "indexes are nested deeper than {}",
                    Limits::INDEX_DEPTH
                ));
            }
            let oci::OciDocument { media_type, facts } =
                oci::parse(&raw.bytes, Some(&raw.media_type))
                    .map_err(|error| format!("manifest {}: {}", raw.digest, chain(&error)))?;
            let raw = RawManifest { media_type, ..raw };
            one_role_each(&facts).map_err(|why| format!("manifest {}: {why}", raw.digest))?;
            for blob in &facts.blobs {
                self.add_blob(repository, blob)?;
            }
            let (kept, omitted): (Vec<_>, Vec<_>) = facts
                .children
                .iter()
                .cloned()
                .partition(|child| !filter || self.wanted(child));
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
                    .map_err(|error| format!("child manifest: {}", chain(&error)))?;
                waiting.push((fetched.value, child.platform, depth + 1));
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
        Ok(())
    }

    /// Takes an artifact's manifests and blobs, all of them or, when something is wrong, none:
    /// the image that it is attached to stays what it was.
    async fn attached_tree(
        &mut self,
        repository: &Repository,
        root: RawManifest,
    ) -> std::result::Result<(), Problem> {
        let mut artifact = Self::new(self.client.clone(), Arc::clone(&self.selection));
        artifact.tree(repository, root, false).await?;
        for (digest, blob) in &artifact.blobs {
            let known = self.blobs.get(digest).map(|known| known.size);
            if known.is_some_and(|size| size != blob.size) {
                return Err(format!(
                    "it gives {digest} another size than the image does"
                ));
            }
        }
        for (digest, blob) in artifact.blobs {
            self.blobs.entry(digest).or_insert(blob);
        }
        self.manifests.extend(artifact.manifests);
        Ok(())
    }

    /// Children without a platform are kept: nested indexes, and artifacts in indexes.
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
            return Err(format!(
                "a URL of its layer {digest} has more than {cap} bytes"
            ));
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
            return Err(format!(
                "its manifests say that {} has {a} and {b} bytes",
                blob.digest
            ));
        }
        // The first, too: sorted, each once.
        entry.meet_foreign(foreign);
        entry.add_places([repository.clone()]);
        Ok(())
    }

    /// Finds what is attached to the image, to its children, and to what is found.
    async fn attachments(&mut self, entry: &mut ImageEntry) -> std::result::Result<(), Problem> {
        let repository = entry.source.clone();
        let mut asked = BTreeSet::new();
        let mut subjects: Vec<Digest> = self.manifests.keys().copied().collect();
        (entry.cosign, entry.referrers) = (AttachmentState::Absent, AttachmentState::Absent);
        for _ in 0..ATTACHED_DEPTH {
            subjects.retain(|digest| asked.insert(*digest));
            let found: Vec<_> = stream::iter(subjects.clone())
                .map(|subject| find_attached(self.client.clone(), repository.clone(), subject))
                .buffered(ATTACHED_JOBS)
                .collect()
                .await;
            subjects.clear();
            for found in found {
                for attachment in found? {
                    let known = self.manifests.get(&attachment.root);
                    if known.is_some_and(|known| is_stray(&attachment, known.subject)) {
                        continue;
                    }
                    subjects.push(attachment.root);
                    if !self.manifests.contains_key(&attachment.root) {
                        let fetched = self
                            .client
                            .manifest(&repository, &attachment.root.into())
                            .await
                            .map_err(|error| format!("attached artifact: {}", chain(&error)))?;
                        let (bytes, kind) = (&fetched.value.bytes, &fetched.value.media_type);
                        let facts = oci::parse(bytes, Some(kind)).map(|document| document.facts);
                        let subject = facts.ok().and_then(|facts| facts.subject);
                        if is_stray(&attachment, subject.map(|subject| subject.digest)) {
                            continue;
                        }
                        self.attached_tree(&repository, fetched.value)
                            .await
                            .map_err(|problem| format!("attached artifact: {problem}"))?;
                    }
                    match attachment.by {
                        AttachedBy::CosignTag => entry.cosign = AttachmentState::Carried,
                        AttachedBy::Referrers => entry.referrers = AttachmentState::Carried,
                    }
                    entry.attached.push(attachment);
                }
            }
        }
        Ok(())
    }
}

/// Whether a list of referrers names what is about something else: it is not carried as one
/// (bundle-format.md, R-25).
fn is_stray(attachment: &Attachment, own_subject: Option<Digest>) -> bool {
    attachment.by == AttachedBy::Referrers && own_subject != Some(attachment.subject)
}

/// A digest that a document names both as its subject and as its content has no place in an
/// inventory (bundle-format.md, R-24), and no honest use.
fn one_role_each(facts: &ManifestFacts) -> std::result::Result<(), Problem> {
    let subject = facts.subject.as_ref().map(|subject| subject.digest);
    let mut named = facts.blobs.iter().chain(&facts.children);
    match named.find(|named| Some(named.digest) == subject) {
        Some(named) => Err(format!("it is about {} and contains it", named.digest)),
        None => Ok(()),
    }
}

/// The order of bundle-format.md, 6.4.
fn attachment_order(a: &Attachment, b: &Attachment) -> std::cmp::Ordering {
    (a.root, a.subject, a.by, &a.tag).cmp(&(b.root, b.subject, b.by, &b.tag))
}

/// Asks for what cosign keeps under one of its tags.
async fn cosign_tag(
    client: &Client,
    repository: &Repository,
    subject: Digest,
    ending: &str,
) -> std::result::Result<Option<Attachment>, Problem> {
    let tag: Tag = format!("sha256-{}.{ending}", subject.hex())
        .parse()
        .map_err(|error| format!("attached artifact: {error}"))?;
    let root = client
        .head_manifest(repository, &Selector::from(&tag))
        .await
        .map_err(|error| format!("cannot tell whether {tag} exists: {}", chain(&error)))?;
    Ok(root.map(|head| Attachment {
        by: AttachedBy::CosignTag,
        tag: Some(tag),
        root: head.value.digest,
        subject,
    }))
}

/// Asks for everything that is attached to one manifest. "There is none" is an answer; no
/// answer is a problem.
async fn find_attached(
    client: Client,
    repository: Repository,
    subject: Digest,
) -> std::result::Result<Vec<Attachment>, Problem> {
    let by_tag = COSIGN_ENDINGS.map(|ending| cosign_tag(&client, &repository, subject, ending));
    let referrers = async {
        let listed = client.referrers(&repository, subject).await;
        listed.map_err(|error| format!("cannot list referrers of {subject}: {}", chain(&error)))
    };
    // Whichever fails first, the same failure is told: it stands in the inventory.
    let (by_tag, referrers) = join(join_all(by_tag), referrers).await;
    let mut found = Vec::new();
    for attachment in by_tag {
        found.extend(attachment?);
    }
    for referrer in referrers?.entries {
        let root = referrer.descriptor.digest;
        found.push(Attachment {
            by: AttachedBy::Referrers,
            tag: None,
            root,
            subject,
        });
    }
    Ok(found)
}
