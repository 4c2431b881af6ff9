//! What is in a bundle: what `inventory.cbor` says (bundle-format.md, section 6).
//!
//! Fields are declared in the canonical order of their CBOR keys, as in `bundle`.

use serde::{Deserialize, Serialize};

use super::bundle::{BundleId, ChunkId, Extension, PlanId};
use super::content::{CATALOGS, CatalogEntry, MalformedImage, NeededBy, RELEASES, ReleaseEntry};
use super::{Digest, MediaType, Platform, Reference, Repository, Tag};

/// A piece of content in a chunk: one tar entry's data.
///
/// Written as `[chunk, offset, stored, decoded]`. In a data chunk `offset` counts from the
/// file's start to the first byte behind the tar header; in a metadata chunk it counts in the
/// decompressed tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(ChunkId, u64, u64, u64)", into = "(ChunkId, u64, u64, u64)")]
pub struct Extent {
    /// The chunk.
    pub chunk: ChunkId,
    /// Where the data begins, in bytes.
    pub offset: u64,
    /// Bytes that are stored.
    pub stored: u64,
    /// Bytes of the blob that they stand for; the same for the codec `raw`.
    pub decoded: u64,
}

impl From<(ChunkId, u64, u64, u64)> for Extent {
    fn from((chunk, offset, stored, decoded): (ChunkId, u64, u64, u64)) -> Self {
        Self {
            chunk,
            offset,
            stored,
            decoded,
        }
    }
}

impl From<Extent> for (ChunkId, u64, u64, u64) {
    fn from(extent: Extent) -> Self {
        (extent.chunk, extent.offset, extent.stored, extent.decoded)
    }
}

/// How a blob's bytes are stored. Version 1 stores them as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Codec {
    /// The stored bytes are the blob's.
    Raw,
}

impl<'de> Deserialize<'de> for Codec {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;

        match String::deserialize(deserializer)?.as_str() {
            "raw" => Ok(Self::Raw),
            // The broken rule stands in front, where `format` looks for it.
            other => Err(D::Error::custom(format_args!(
                "R-21: the codec `{}` is unknown to this version of airferry",
                other.chars().take(40).collect::<String>().escape_debug()
            ))),
        }
    }
}

/// Where a blob's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum BlobPlace {
    /// In this bundle.
    Carried(Carried),
    /// Not in this bundle: its media type or its URLs forbid carrying it.
    Foreign {
        /// Where the manifest says that it may be had.
        urls: Vec<String>,
    },
    /// Not in this bundle: it could not be had.
    Missing {
        /// Why, in one line for people.
        reason: String,
    },
    /// Not in this bundle: a base carried it.
    Omitted {
        /// The bundle that carried it.
        origin: BundleId,
    },
}

/// The stored form of a carried blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// How the stored bytes become the blob's.
    pub codec: Codec,
    /// Blobs that the decoder needs on the far side, sorted. Empty for `raw`.
    pub needs: Vec<Digest>,
    /// Bytes of memory that the decoder needs. 0 for `raw`.
    pub memory: u64,
    /// The pieces, in the blob's order. Empty for a blob of no bytes.
    pub extents: Vec<Extent>,
    /// Bytes of scratch space that the decoder needs. 0 for `raw`.
    pub scratch: u64,
}

impl Carried {
    /// A blob stored as it is.
    pub fn raw(extents: Vec<Extent>) -> Self {
        Self {
            codec: Codec::Raw,
            needs: Vec::new(),
            memory: 0,
            extents,
            scratch: 0,
        }
    }
}

/// A config or layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobEntry {
    /// Size of the blob in bytes.
    pub size: u64,
    /// Where it is.
    pub place: BlobPlace,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// An OCI manifest or index; always carried, in a metadata chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestEntry {
    /// Digests of config and layers, in the manifest's order, without repetitions.
    pub blobs: Vec<Digest>,
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Where the bytes are, in a metadata chunk's decompressed tar.
    pub extent: Extent,
    /// Digests of child manifests that are left out on purpose (sparse index).
    pub omitted: Vec<Digest>,
    /// What the manifest refers to, when it has a `subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// Digests of child manifests that are carried too, in the index's order.
    pub children: Vec<Digest>,
    /// Platform of an image, where the index or the config names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Media type under which the manifest is pushed.
    pub media_type: MediaType,
}

impl ManifestEntry {
    /// Whether children were left out.
    pub fn is_sparse(&self) -> bool {
        !self.omitted.is_empty()
    }
}

/// What is known about artifacts attached to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachmentState {
    /// Found and carried.
    Carried,
    /// The registry said that there are none.
    Absent,
    /// Nobody asked.
    NotAsked,
    /// The registry did not say: there may be more than is carried.
    Unknown,
}

/// How an attached artifact is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachedBy {
    /// A tag `sha256-<hex>.sig`, `.att` or `.sbom` (cosign).
    CosignTag,
    /// The referrers API, or the fallback tag `sha256-<hex>` (distribution-spec, "Referrers").
    Referrers,
}

/// Endings of the tags under which cosign keeps signatures, attestations and SBOMs.
pub const COSIGN_ENDINGS: [&str; 3] = [".sig", ".att", ".sbom"];

/// The tag under which cosign keeps what it attached to a manifest: `sha256-<hex>` and one of
/// [`COSIGN_ENDINGS`].
pub fn cosign_tag(subject: &Digest, ending: &str) -> String {
    format!("sha256-{}{ending}", subject.hex())
}

/// A manifest that belongs to an image without being reachable from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// How it is found.
    pub by: AttachedBy,
    /// The tag by which cosign finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// The artifact's manifest.
    pub root: Digest,
    /// The manifest to which it belongs.
    pub subject: Digest,
}

/// A requested image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageEntry {
    /// Tag under which it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// The top manifest; absent when the reference could not be resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Digest>,
    /// Whether cosign's tags were looked for.
    pub cosign: AttachmentState,
    /// What clusters call the repository; mirror policies are written for this name.
    pub source: Repository,
    /// Why the image is not whole, in one line for people; absent when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Artifacts that belong to it, sorted by digest.
    pub attached: Vec<Attachment>,
    /// The filter that made an index sparse, sorted; empty when all platforms are carried.
    pub platforms: Vec<Platform>,
    /// Whether referrers were looked for.
    pub referrers: AttachmentState,
    /// The reference as asked for, in its full form.
    pub requested: Reference,
    /// It was asked for on its own, besides belonging to a release or a catalog.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub standalone: bool,
    /// Where it came from this time.
    pub fetched_from: Repository,
}

impl ImageEntry {
    /// Whether it is unknown if all that is attached to it is carried.
    pub fn is_unknown(&self) -> bool {
        let unknown = AttachmentState::Unknown;
        self.cosign == unknown || self.referrers == unknown
    }
}

/// What a base bundle promises to have brought to the far side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseEntry {
    /// The base's identity.
    pub id: BundleId,
    /// Its tagged roots, sorted by reference: what `--existing-tags forward` may replace.
    pub roots: Vec<BaseRoot>,
    /// Its title, for people who must find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<super::bundle::LabelText>,
}

/// A tag that a base set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseRoot {
    /// What it pointed to.
    pub root: Digest,
    /// Source repository and tag.
    pub reference: Reference,
}

/// What the inventory adds to a row of the manifest's chunk table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkOrigin {
    /// The plan that made the chunk; stands in its first entry.
    pub plan: PlanId,
    /// The chunk.
    pub number: ChunkId,
    /// Length of the tar in bytes, decompressed.
    pub decoded: u64,
    /// The generation that added it.
    pub generation: u64,
}

/// What `inventory.cbor` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Additions that a reader may ignore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ext: Option<Extension>,
    /// Always [`Inventory::TYPE`].
    #[serde(rename = "type")]
    pub document: String,
    /// Bundles that the far side must have, sorted by id.
    pub bases: Vec<BaseEntry>,
    /// Every blob that a carried manifest names, sorted by digest.
    pub blobs: Vec<BlobEntry>,
    /// One row for each chunk, by ascending number.
    pub chunks: Vec<ChunkOrigin>,
    /// Always [`super::FORMAT_VERSION`].
    pub format: u64,
    /// Requested images, sorted by reference as asked for.
    pub images: Vec<ImageEntry>,
    /// Digest of the request: tells a re-run of the same command from another command.
    pub request: Digest,
    /// Operator catalogs among the images, sorted by image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catalogs: Vec<CatalogEntry>,
    /// Releases among the images, sorted by image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<ReleaseEntry>,
    /// Every carried manifest, sorted by digest.
    pub manifests: Vec<ManifestEntry>,
}

impl Inventory {
    /// The value of `type`.
    pub const TYPE: &'static str = "airferry-inventory";

    /// Whether every requested image is whole, and every image that a catalog names could be
    /// asked for.
    pub fn is_complete(&self) -> bool {
        self.images.iter().all(|image| image.problem.is_none())
            && self.catalogs.iter().all(|c| c.malformed.is_empty())
    }

    /// What needs an image, of all catalogs, sorted.
    pub fn needed_by(&self, image: &Reference) -> Vec<NeededBy> {
        let members = self.catalogs.iter().flat_map(|catalog| &catalog.members);
        let members = members.filter(|member| member.image == *image);
        let needed: std::collections::BTreeSet<&NeededBy> =
            members.flat_map(|member| &member.needed_by).collect();
        needed.into_iter().take(NeededBy::SHOWN).cloned().collect()
    }

    /// Texts of all catalogs that are no references, with the catalog's image.
    pub fn malformed(&self) -> impl Iterator<Item = (&Reference, &MalformedImage)> {
        let catalogs = self.catalogs.iter();
        catalogs.flat_map(|catalog| catalog.malformed.iter().map(|bad| (&catalog.image, bad)))
    }

    /// The features that a reader of this inventory must know, as in
    /// [`super::BundleManifest::requires`].
    pub fn features(&self) -> Vec<String> {
        let used = [
            (CATALOGS, !self.catalogs.is_empty()),
            (RELEASES, !self.releases.is_empty()),
        ];
        let used = used.into_iter().filter(|(_, used)| *used);
        used.map(|(name, _)| name.to_owned()).collect()
    }

    /// Finds a requested image by its reference as asked for. The list is sorted.
    pub fn image(&self, requested: &Reference) -> Option<&ImageEntry> {
        let by_text = |image: &ImageEntry| image.requested.cmp(requested);
        let index = self.images.binary_search_by(by_text).ok()?;
        self.images.get(index)
    }

    /// Finds a blob by digest. The list is sorted.
    pub fn blob(&self, digest: &Digest) -> Option<&BlobEntry> {
        let index = self.blobs.binary_search_by(|blob| blob.digest.cmp(digest));
        index.ok().and_then(|index| self.blobs.get(index))
    }

    /// Finds a manifest by digest. The list is sorted.
    pub fn manifest(&self, digest: &Digest) -> Option<&ManifestEntry> {
        let index = self.manifests.binary_search_by(|m| m.digest.cmp(digest));
        index.ok().and_then(|index| self.manifests.get(index))
    }
}
