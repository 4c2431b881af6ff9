//! What an export will do: which manifests and blobs travel, where each blob goes.
//!
//! The plan is a value. It is shown by `--dry-run`, signed and kept on the medium while the
//! export is unfinished, and decides the bundle's bytes: same plan, same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::pack::{self, LaneCursor, Layout, PackBlob};
use crate::model::{
    BaseEntry, BaseRoot, BlobPlace, BundleId, BundleManifest, Carried, CatalogEntry, ChunkEntry,
    ChunkId, ChunkOrigin, Descriptor, Digest, Extent, ImageEntry, Inventory, Label, ManifestFacts,
    MediaType, Platform, RawManifest, Reference, ReleaseEntry, Repository,
};

/// A manifest that was fetched, with what it names. Each digest stands once in each list, at the
/// place of its first mention.
#[derive(Debug, Clone)]
pub struct ResolvedManifest {
    /// The bytes.
    pub raw: RawManifest,
    /// Config and layers.
    pub blobs: Vec<Digest>,
    /// Child manifests, those that are left out among them.
    pub children: Vec<Digest>,
    /// Children that the platform filter leaves out.
    pub omitted: Vec<Digest>,
    /// What it refers to.
    pub subject: Option<Digest>,
    /// Platform, where an index named one for it.
    pub platform: Option<Platform>,
}

impl ResolvedManifest {
    /// A manifest of which all children are wanted. `facts` are what its bytes say.
    pub fn new(raw: RawManifest, facts: &ManifestFacts) -> Self {
        Self {
            raw,
            blobs: each_once(&facts.blobs),
            children: each_once(&facts.children),
            omitted: Vec::new(),
            subject: facts.subject.as_ref().map(|subject| subject.digest),
            platform: None,
        }
    }
}

fn each_once(named: &[Descriptor]) -> Vec<Digest> {
    let mut digests = Vec::with_capacity(named.len());
    let mut seen = BTreeSet::new();
    let digest = named.iter().map(|descriptor| descriptor.digest);
    digests.extend(digest.filter(|digest| seen.insert(*digest)));
    digests
}

/// A blob that a fetched manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedBlob {
    /// Size in bytes, as every manifest that names it says.
    pub size: u64,
    /// Repositories that should have it, sorted. Nearly always one, and there may be a hundred
    /// thousand blobs: a set would take ten times the memory.
    pub from: Vec<Repository>,
    /// Present when it may not be carried: where else it may be had.
    pub foreign: Option<Vec<String>>,
}

impl ResolvedBlob {
    /// Adds repositories that should have it.
    pub fn add_places(&mut self, places: impl IntoIterator<Item = Repository>) {
        for place in places {
            if let Err(index) = self.from.binary_search(&place) {
                self.from.insert(index, place);
            }
        }
    }

    /// Takes note of what another manifest says: the blob may stay behind only where all say so,
    /// and may be had wherever one of them says.
    pub fn meet_foreign(&mut self, other: Option<Vec<String>>) {
        self.foreign = match (self.foreign.take(), other) {
            (Some(mut urls), Some(more)) => {
                urls.extend(more);
                urls.sort();
                urls.dedup();
                Some(urls)
            }
            _ => None,
        };
    }
}

/// Everything that was found out about the request.
#[derive(Debug, Clone, Default)]
pub struct Resolution {
    /// The images; those that could not be had carry a `problem`.
    pub images: Vec<ImageEntry>,
    /// All manifests reachable from them and from their attachments.
    pub manifests: BTreeMap<Digest, ResolvedManifest>,
    /// All blobs that these name.
    pub blobs: BTreeMap<Digest, ResolvedBlob>,
    /// Catalogs among the images.
    pub catalogs: Vec<CatalogEntry>,
    /// Releases among the images.
    pub releases: Vec<ReleaseEntry>,
    /// Blobs that no registry has, because they were made here.
    pub made: BTreeSet<Digest>,
    /// Images of which it is unknown what is attached to them, for a reason that may pass.
    pub unanswered: BTreeSet<Reference>,
}

/// A bundle that was read and verified as far as its inventory.
#[derive(Debug, Clone)]
pub struct KnownBundle {
    /// Its identity.
    pub id: BundleId,
    /// Its root.
    pub manifest: BundleManifest,
    /// What is in it.
    pub inventory: Inventory,
}

/// What the person decides about the bundle.
#[derive(Debug, Clone)]
pub struct Options {
    /// What `LABEL.txt` shows.
    pub label: Label,
    /// No data chunk is longer, in bytes.
    pub chunk_limit: u64,
    /// Number of lanes; decided from the total size when absent.
    pub lanes: Option<NonZeroUsize>,
    /// Digest of the request.
    pub request: Digest,
}

/// A manifest's way into the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManifestPlace {
    /// An earlier generation carried it.
    Held(Extent),
    /// Its bytes go into this generation's metadata chunk.
    New(#[serde(with = "crate::model::byte_string")] Vec<u8>),
}

/// A manifest of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedManifest {
    /// Config and layers, each once.
    pub blobs: Vec<Digest>,
    /// How it gets into the bundle.
    pub place: ManifestPlace,
    /// Its name.
    pub digest: Digest,
    /// Children left out on purpose.
    pub omitted: Vec<Digest>,
    /// What it refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// Children that are carried.
    pub children: Vec<Digest>,
    /// Platform, where an index named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Media type under which it is pushed.
    pub media_type: MediaType,
}

/// A blob's way into the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedPlace {
    /// To be downloaded, from the first repository that has it.
    Fetch(Vec<Repository>),
    /// May not be carried.
    Foreign(Vec<String>),
    /// An earlier generation of this bundle carries it.
    Held(Carried),
    /// It was made here: its bytes lie beside the plan.
    Made,
    /// A base carried it; the bundle that really did.
    Omitted(BundleId),
}

impl PlannedPlace {
    /// Whether this generation has to write the blob.
    pub fn is_to_write(&self) -> bool {
        matches!(self, Self::Fetch(_) | Self::Made)
    }
}

/// A blob of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedBlob {
    /// Size in bytes.
    pub size: u64,
    /// How it gets into the bundle.
    pub place: PlannedPlace,
    /// Its name.
    pub digest: Digest,
}

/// A series of chunks that is filled strictly in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// Blobs in the order in which they are written.
    pub blobs: Vec<Digest>,
    /// Number of its first chunk.
    pub first_chunk: ChunkId,
}

/// A chunk that an earlier generation sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedChunk {
    /// The manifest's row.
    pub entry: ChunkEntry,
    /// The inventory's row.
    pub origin: ChunkOrigin,
}

/// What decides the bundle's bytes; its digest is the plan id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanContent {
    /// Bundles that the far side must have.
    pub bases: Vec<BaseEntry>,
    /// All blobs, sorted by digest.
    pub blobs: Vec<PlannedBlob>,
    /// What `LABEL.txt` shows.
    pub label: Label,
    /// The series of chunks.
    pub lanes: Vec<Lane>,
    /// All images, sorted by reference; `problem` is set where one could not be resolved.
    pub images: Vec<ImageEntry>,
    /// Chunks of earlier generations.
    pub sealed: Vec<SealedChunk>,
    /// Catalogs among the images, sorted by image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catalogs: Vec<CatalogEntry>,
    /// Releases among the images, sorted by image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<ReleaseEntry>,
    /// All manifests, sorted by digest.
    pub manifests: Vec<PlannedManifest>,
    /// The generation that this plan makes.
    pub generation: u64,
    /// No data chunk is longer, in bytes.
    pub chunk_limit: u64,
    /// Number of this generation's metadata chunk.
    pub metadata_chunk: ChunkId,
}

/// What `export.plan` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportPlan {
    /// Program and version that made the plan; another one may lay out differently.
    pub tool: String,
    /// Always [`ExportPlan::TYPE`].
    #[serde(rename = "type")]
    pub document: String,
    /// What decides the bundle's bytes.
    pub content: PlanContent,
    /// Digest of the request.
    pub request: Digest,
    /// Whole images of which it is unknown what is attached to them, for a reason that may pass,
    /// sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<Reference>,
}

/// Why facts and options make no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The blobs do not fit into chunks of this size.
    #[error(transparent)]
    Layout(#[from] pack::PackError),
}

impl ExportPlan {
    /// The value of `type`.
    pub const TYPE: &'static str = "airferry-plan";

    /// Decides what a request becomes.
    ///
    /// `earlier` is the incomplete generation that is being completed; `bases` are bundles that
    /// the far side has.
    pub fn new(
        resolution: Resolution,
        earlier: Option<&KnownBundle>,
        bases: &[KnownBundle],
        options: Options,
    ) -> Result<Self, PlanError> {
        let in_order = blobs_in_image_order(&resolution);
        let Resolution {
            mut images,
            manifests,
            blobs,
            mut catalogs,
            mut releases,
            made,
            unanswered,
        } = resolution;
        images.sort_by(|a, b| a.requested.cmp(&b.requested));
        let whole = images.iter().filter(|image| image.problem.is_none());
        let unanswered = whole
            .map(|image| &image.requested)
            .filter(|requested| unanswered.contains(requested))
            .cloned()
            .collect();
        catalogs.sort_by(|a, b| a.image.cmp(&b.image));
        releases.sort_by(|a, b| a.image.cmp(&b.image));

        let blobs: Vec<PlannedBlob> = blobs
            .into_iter()
            .map(|(digest, blob)| PlannedBlob {
                size: blob.size,
                place: place_blob(&digest, blob, &made, earlier, bases),
                digest,
            })
            .collect();
        let fetched: BTreeMap<Digest, u64> = blobs
            .iter()
            .filter(|blob| blob.place.is_to_write())
            .map(|blob| (blob.digest, blob.size))
            .collect();
        let to_pack: Vec<PackBlob> = in_order
            .into_iter()
            .filter_map(|digest| {
                fetched.get(&digest).map(|size| PackBlob {
                    digest,
                    size: *size,
                })
            })
            .collect();

        let last_sealed = earlier
            .and_then(|known| known.manifest.chunks.last())
            .map_or(0, |chunk| chunk.number.number());
        let chunk_after = |number: u32| {
            ChunkId::try_from(number.saturating_add(1)).map_err(|_| pack::PackError::TooManyChunks)
        };
        let layout = Layout {
            chunk_limit: options.chunk_limit,
            lanes: options.lanes,
            first_chunk: chunk_after(last_sealed)?,
        };
        let packing = pack::pack(&to_pack, &layout, marker_text)?;
        let last_data = packing
            .chunks
            .last()
            .map_or(last_sealed, |chunk| chunk.number.number());
        let lane = |lane: pack::LanePlan| Lane {
            blobs: lane
                .blobs
                .iter()
                .filter_map(|i| to_pack.get(*i))
                .map(|b| b.digest)
                .collect(),
            first_chunk: lane.first_chunk,
        };
        let lanes = packing.lanes.into_iter().map(lane).collect();

        let content = PlanContent {
            bases: base_entries(&blobs, bases),
            blobs,
            label: options.label,
            lanes,
            images,
            sealed: earlier.map(sealed_chunks).unwrap_or_default(),
            catalogs,
            releases,
            manifests: manifests
                .into_iter()
                .map(|(digest, manifest)| plan_manifest(digest, manifest, earlier))
                .collect(),
            generation: earlier.map_or(1, |known| known.manifest.generation + 1),
            chunk_limit: options.chunk_limit,
            metadata_chunk: chunk_after(last_data)?,
        };
        Ok(Self {
            tool: tool(),
            document: Self::TYPE.to_owned(),
            content,
            request: options.request,
            unanswered,
        })
    }

    /// Blobs that have to be written, with their sizes: the number, and the bytes together.
    pub fn to_fetch(&self) -> (u64, u64) {
        let sizes = self
            .content
            .blobs
            .iter()
            .filter_map(|blob| blob.place.is_to_write().then_some(blob.size));
        sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
    }

    /// Blobs that were made here and lie beside the plan, with their sizes, sorted by digest.
    pub fn made(&self) -> impl Iterator<Item = (Digest, u64)> {
        let made = |blob: &&PlannedBlob| blob.place == PlannedPlace::Made;
        let made = self.content.blobs.iter().filter(made);
        made.map(|blob| (blob.digest, blob.size))
    }

    /// Finds a blob by digest.
    pub fn blob(&self, digest: &Digest) -> Option<&PlannedBlob> {
        let blobs = &self.content.blobs;
        let index = blobs
            .binary_search_by(|blob| blob.digest.cmp(digest))
            .ok()?;
        blobs.get(index)
    }
}

/// Bytes that the text of a chunk's marker takes, padded (bundle-format.md, R-33).
fn marker_text(_chunk: ChunkId) -> u64 {
    pack::TAR_BLOCK
}

/// Places the blobs of one lane.
pub type Cursor = LaneCursor<fn(ChunkId) -> u64>;

impl PlanContent {
    /// Stands at the beginning of a lane.
    pub fn cursor(&self, lane: &Lane) -> Cursor {
        LaneCursor::new(self.chunk_limit, lane.first_chunk, marker_text)
    }
}

/// Program and version, as plans name them.
pub fn tool() -> String {
    concat!("airferry ", env!("CARGO_PKG_VERSION")).to_owned()
}

/// Each blob once, in the order in which images (sorted by reference) need them: what belongs
/// together lies together, and the first image is whole first.
fn blobs_in_image_order(resolution: &Resolution) -> Vec<Digest> {
    let mut images: Vec<&ImageEntry> = resolution.images.iter().collect();
    images.sort_by(|a, b| a.requested.cmp(&b.requested));
    let mut seen_manifests = BTreeSet::new();
    let mut seen_blobs = BTreeSet::new();
    let mut order = Vec::new();
    for image in images {
        let attached = image.attached.iter().map(|attachment| attachment.root);
        // A stack, so that the order is depth first and the children's own.
        let mut stack: Vec<Digest> = image.root.into_iter().chain(attached).collect();
        stack.reverse();
        while let Some(digest) = stack.pop() {
            if !seen_manifests.insert(digest) {
                continue;
            }
            let Some(manifest) = resolution.manifests.get(&digest) else {
                continue;
            };
            let blobs = manifest.blobs.iter().copied();
            order.extend(blobs.filter(|blob| seen_blobs.insert(*blob)));
            stack.extend(manifest.children.iter().rev());
        }
    }
    order
}

fn place_blob(
    digest: &Digest,
    blob: ResolvedBlob,
    made: &BTreeSet<Digest>,
    earlier: Option<&KnownBundle>,
    bases: &[KnownBundle],
) -> PlannedPlace {
    let known = |bundle: &KnownBundle| bundle.inventory.blob(digest).map(|blob| blob.place.clone());
    if let Some(BlobPlace::Carried(carried)) = earlier.and_then(known) {
        return PlannedPlace::Held(carried);
    }
    for base in bases {
        match known(base) {
            Some(BlobPlace::Carried(_)) => return PlannedPlace::Omitted(base.id),
            Some(BlobPlace::Omitted { origin }) => return PlannedPlace::Omitted(origin),
            // What a base missed, or could not carry, nobody has.
            Some(BlobPlace::Missing { .. } | BlobPlace::Foreign { .. }) | None => {}
        }
    }
    match blob.foreign {
        _ if made.contains(digest) => PlannedPlace::Made,
        Some(urls) => PlannedPlace::Foreign(urls),
        None => PlannedPlace::Fetch(blob.from),
    }
}

fn plan_manifest(
    digest: Digest,
    manifest: ResolvedManifest,
    earlier: Option<&KnownBundle>,
) -> PlannedManifest {
    let named: BTreeSet<Digest> = manifest.omitted.into_iter().collect();
    let is_omitted = |child: &Digest| named.contains(child);
    let (omitted, children) = manifest.children.into_iter().partition(is_omitted);
    let held = earlier.and_then(|known| known.inventory.manifest(&digest));
    PlannedManifest {
        blobs: manifest.blobs,
        place: match held {
            Some(entry) => ManifestPlace::Held(entry.extent),
            None => ManifestPlace::New(manifest.raw.bytes),
        },
        digest,
        omitted,
        subject: manifest.subject,
        children,
        platform: manifest.platform,
        media_type: manifest.raw.media_type,
    }
}

/// The bases that the far side really needs to have, with the tags that they set.
///
/// A base whose blobs are all carried again still says which tags may be moved forward, so
/// every base given is kept.
fn base_entries(blobs: &[PlannedBlob], bases: &[KnownBundle]) -> Vec<BaseEntry> {
    let origins: BTreeSet<BundleId> = blobs
        .iter()
        .filter_map(|blob| match blob.place {
            PlannedPlace::Omitted(origin) => Some(origin),
            _ => None,
        })
        .collect();
    let mut entries: BTreeMap<BundleId, BaseEntry> = BTreeMap::new();
    for base in bases {
        let roots = base.inventory.images.iter().filter_map(|image| {
            let (root, tag) = (image.root?, image.tag.clone()?);
            let reference = image.source.tagged(tag);
            Some(BaseRoot { root, reference })
        });
        let mut roots: Vec<BaseRoot> = roots.collect();
        roots.sort();
        roots.dedup();
        let title = base.manifest.label.title.clone();
        entries.insert(
            base.id,
            BaseEntry {
                id: base.id,
                roots,
                title,
            },
        );
        // Bases of a base whose blobs we leave out as well.
        for older in &base.inventory.bases {
            if origins.contains(&older.id) {
                entries.entry(older.id).or_insert_with(|| older.clone());
            }
        }
    }
    entries.into_values().collect()
}

fn sealed_chunks(known: &KnownBundle) -> Vec<SealedChunk> {
    let rows = known.manifest.chunks.iter().zip(&known.inventory.chunks);
    rows.map(|(entry, origin)| SealedChunk {
        entry: entry.clone(),
        origin: origin.clone(),
    })
    .collect()
}
