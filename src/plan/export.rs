//! The plan of an export: which manifests and blobs the bundle carries, and where each blob goes.
//!
//! The plan is a value. `--dry-run` shows it; it is signed and stored on the medium while the
//! export is unfinished. It determines the bundle's bytes: the same plan gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::pack::{self, LaneCursor, Layout, PackBlob};
use crate::model::{
    BaseEntry, BaseRoot, BlobPlace, BundleId, BundleManifest, Carried, CatalogEntry, ChunkEntry,
    ChunkId, ChunkOrigin, Descriptor, Digest, Extent, ImageEntry, Inventory, Label, LeftOut,
    ManifestFacts, MediaType, Platform, RawManifest, Reference, ReleaseEntry, Repository,
    RequestId, reach,
};

/// A fetched manifest with the digests that it names. Each list has each digest once, at the
/// position where the manifest names it first.
#[derive(Debug, Clone)]
pub struct ResolvedManifest {
    /// The manifest's bytes.
    pub raw: RawManifest,
    /// Digests of config and layers.
    pub blobs: Vec<Digest>,
    /// Digests of child manifests, including those that are left out.
    pub children: Vec<Digest>,
    /// Digests of children that the platform filter leaves out.
    pub omitted: Vec<Digest>,
    /// Digest of its `subject`.
    pub subject: Option<Digest>,
    /// Platform, if an index named one for it.
    pub platform: Option<Platform>,
}

impl ResolvedManifest {
    /// Creates a manifest of which all children are wanted. `facts` are parsed from its bytes.
    pub fn new(raw: RawManifest, facts: &ManifestFacts) -> Self {
        Self {
            raw,
            blobs: distinct_digests(&facts.blobs),
            children: distinct_digests(&facts.children),
            omitted: Vec::new(),
            subject: facts.subject.as_ref().map(|subject| subject.digest),
            platform: None,
        }
    }
}

fn distinct_digests(named: &[Descriptor]) -> Vec<Digest> {
    let mut digests = Vec::with_capacity(named.len());
    let mut seen = BTreeSet::new();
    let digest = named.iter().map(|descriptor| descriptor.digest);
    digests.extend(digest.filter(|digest| seen.insert(*digest)));
    digests
}

/// A blob that a fetched manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedBlob {
    /// Size in bytes; all manifests that name the blob agree on it.
    pub size: u64,
    /// Repositories that should have the blob, sorted. A list, not a set: there is nearly always
    /// one, and for a hundred thousand blobs sets would take ten times the memory.
    pub from: Vec<Repository>,
    /// Present if the blob may not be carried: other URLs to download it from.
    pub foreign: Option<Vec<String>>,
}

impl ResolvedBlob {
    /// Adds repositories that should have the blob.
    pub fn add_places(&mut self, places: impl IntoIterator<Item = Repository>) {
        for place in places {
            if let Err(index) = self.from.binary_search(&place) {
                self.from.insert(index, place);
            }
        }
    }

    /// Merges what another manifest says. The blob counts as foreign only if all manifests say
    /// so; the URLs of all of them are kept.
    pub fn merge_foreign(&mut self, other: Option<Vec<String>>) {
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

/// Everything that was found out about a request.
#[derive(Debug, Clone, Default)]
pub struct Resolution {
    /// The images; those that could not be fetched have a `problem`.
    pub images: Vec<ImageEntry>,
    /// All manifests reachable from the images and from their attachments.
    pub manifests: BTreeMap<Digest, ResolvedManifest>,
    /// All blobs that these manifests name.
    pub blobs: BTreeMap<Digest, ResolvedBlob>,
    /// Catalogs among the images.
    pub catalogs: Vec<CatalogEntry>,
    /// Images left out on purpose.
    pub left_out: Vec<LeftOut>,
    /// Releases among the images.
    pub releases: Vec<ReleaseEntry>,
    /// Blobs that no registry has, because this export made them.
    pub made: BTreeSet<Digest>,
    /// Images whose attachments are not known, for a reason that may be temporary.
    pub unanswered: BTreeSet<Reference>,
}

/// A bundle that was read and verified, up to and including its inventory.
#[derive(Debug, Clone)]
pub struct KnownBundle {
    /// Id of the bundle.
    pub id: BundleId,
    /// Its root document.
    pub manifest: BundleManifest,
    /// Its inventory.
    pub inventory: Inventory,
}

/// The operator's choices for the bundle.
#[derive(Debug, Clone)]
pub struct Options {
    /// The texts that `LABEL.txt` shows.
    pub label: Label,
    /// Upper limit of a data chunk's length, in bytes.
    pub chunk_limit: u64,
    /// Number of lanes; depends on the total size if absent.
    pub lanes: Option<NonZeroUsize>,
    /// Digest of the request.
    pub request: RequestId,
}

/// The way in which a manifest gets into the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManifestPlace {
    /// An earlier generation carries it, at this place.
    Held(Extent),
    /// This generation's metadata chunk gets these bytes.
    New(#[serde(with = "crate::model::byte_string")] Vec<u8>),
}

/// A manifest of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedManifest {
    /// Digests of config and layers, each once.
    pub blobs: Vec<Digest>,
    /// The way in which it gets into the bundle.
    pub place: ManifestPlace,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Digests of children that are left out on purpose.
    pub omitted: Vec<Digest>,
    /// Digest of its `subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// Digests of children that are carried.
    pub children: Vec<Digest>,
    /// Platform, if an index named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Media type under which it is pushed.
    pub media_type: MediaType,
}

/// The way in which a blob gets into the bundle, or the reason why it does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedPlace {
    /// Downloaded from the first of these repositories that has it.
    Fetch(Vec<Repository>),
    /// Not carried, because its media type says that it may not be distributed. These URLs may
    /// have it.
    Foreign(Vec<String>),
    /// An earlier generation of this bundle carries it, at this place.
    Held(Carried),
    /// Made by this export; its bytes are stored beside the plan.
    Made,
    /// Not carried, because a base has it. The id is that of the bundle that carries the bytes: a
    /// base, or a base of one.
    Omitted(BundleId),
}

impl PlannedPlace {
    /// True if this generation has to write the blob.
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
    /// The way in which it gets into the bundle.
    pub place: PlannedPlace,
    /// Digest of its bytes.
    pub digest: Digest,
}

/// A series of chunks into which blobs are written strictly one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// Digests of the blobs, in the order in which they are written.
    pub blobs: Vec<Digest>,
    /// Number of the lane's first chunk.
    pub first_chunk: ChunkId,
}

/// A chunk that an earlier generation sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedChunk {
    /// The chunk's row in the manifest.
    pub entry: ChunkEntry,
    /// The chunk's row in the inventory.
    pub origin: ChunkOrigin,
}

/// Everything that determines the bundle's bytes; its digest is the plan id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanContent {
    /// Base bundles: those given to the export, and older ones whose blobs are omitted.
    pub bases: Vec<BaseEntry>,
    /// All blobs, sorted by digest.
    pub blobs: Vec<PlannedBlob>,
    /// The texts that `LABEL.txt` shows.
    pub label: Label,
    /// The series of chunks.
    pub lanes: Vec<Lane>,
    /// All images, sorted by reference; those that could not be resolved have a `problem`.
    pub images: Vec<ImageEntry>,
    /// Chunks of earlier generations.
    pub sealed: Vec<SealedChunk>,
    /// Catalogs among the images, sorted by image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catalogs: Vec<CatalogEntry>,
    /// Images left out on purpose, sorted by image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Releases among the images, sorted by image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<ReleaseEntry>,
    /// All manifests, sorted by digest.
    pub manifests: Vec<PlannedManifest>,
    /// Number of the generation that this plan makes.
    pub generation: u64,
    /// Upper limit of a data chunk's length, in bytes.
    pub chunk_limit: u64,
    /// Number of this generation's metadata chunk.
    pub metadata_chunk: ChunkId,
}

/// The content of `export.plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportPlan {
    /// Program and version that made the plan; another version may choose another layout.
    pub tool: String,
    /// Always [`ExportPlan::TYPE`].
    #[serde(rename = "type")]
    pub document: String,
    /// Everything that determines the bundle's bytes.
    pub content: PlanContent,
    /// Digest of the request.
    pub request: RequestId,
    /// Whole images whose attachments are not known, for a reason that may be temporary, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<Reference>,
}

/// The error for facts and options that do not make a plan.
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

    /// Makes the plan for a request.
    ///
    /// `earlier` is the incomplete generation that this export completes; `bases` are bundles
    /// that the far side has.
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
            mut left_out,
            mut releases,
            made,
            unanswered,
        } = resolution;
        images.sort_by(|a, b| a.requested.cmp(&b.requested));
        let whole = images.iter().filter(|image| image.is_whole());
        let unanswered = whole
            .map(|image| &image.requested)
            .filter(|requested| unanswered.contains(requested))
            .cloned()
            .collect();
        catalogs.sort_by(|a, b| a.image.cmp(&b.image));
        left_out.sort_by(|a, b| a.image.cmp(&b.image));
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
            left_out,
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

    /// Returns the number of blobs that have to be written, and the sum of their sizes in bytes.
    pub fn to_fetch(&self) -> (u64, u64) {
        let sizes = self
            .content
            .blobs
            .iter()
            .filter_map(|blob| blob.place.is_to_write().then_some(blob.size));
        sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
    }

    /// Returns the blobs that this export made and stored beside the plan, with their sizes,
    /// sorted by digest.
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

/// Returns the padded length in bytes of the text in a chunk's marker (bundle-format.md, R-43).
fn marker_text(_chunk: ChunkId) -> u64 {
    pack::TAR_BLOCK
}

/// Computes the extents of the blobs of one lane.
pub type Cursor = LaneCursor<fn(ChunkId) -> u64>;

impl PlanContent {
    /// Returns a cursor at the beginning of a lane.
    pub fn cursor(&self, lane: &Lane) -> Cursor {
        LaneCursor::new(self.chunk_limit, lane.first_chunk, marker_text)
    }
}

/// Returns program and version, as written into plans.
pub fn tool() -> String {
    concat!("airferry ", env!("CARGO_PKG_VERSION")).to_owned()
}

/// Returns each blob once, in the order in which the images, sorted by reference, need them:
/// blobs of an image are neighbours, and the first image becomes whole first.
fn blobs_in_image_order(resolution: &Resolution) -> Vec<Digest> {
    let mut images: Vec<&ImageEntry> = resolution.images.iter().collect();
    images.sort_by(|a, b| a.requested.cmp(&b.requested));
    let mut seen_manifests = BTreeSet::new();
    let mut seen_blobs = BTreeSet::new();
    let mut order = Vec::new();
    for image in images {
        let manifest = |digest: &Digest| resolution.manifests.get(digest);
        let children = |digest: &Digest| Some(manifest(digest)?.children.as_slice());
        let reached = reach(image.roots(), &mut seen_manifests, children);
        let blobs = reached
            .iter()
            .filter_map(manifest)
            .flat_map(|row| &row.blobs);
        order.extend(blobs.copied().filter(|blob| seen_blobs.insert(*blob)));
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
            // A blob that this base lacks does not come to the far side with it.
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

/// Returns the rows of bases, with the tags that they set.
///
/// Every given base has a row, even if none of its blobs is omitted: its tags are those that may
/// be moved forward. A base of a given base has a row if blobs that it carried are omitted.
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
        // Bases of this base that carried blobs which this bundle omits.
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
