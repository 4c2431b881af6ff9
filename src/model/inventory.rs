//! The content of a bundle: the fields of `inventory.cbor` (bundle-format.md, section 6).
//!
//! Fields are declared in the canonical order of their CBOR keys, as in `bundle`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::bundle::{ChunkId, Extension};
use super::content::{
    CATALOGS, CatalogEntry, LeftOut, MalformedImage, NeededBy, RELEASES, ReleaseEntry,
};
use super::graph::reach;
use super::ids::{BundleId, PlanId, RequestId};
use super::{Digest, MediaType, Platform, Reference, Repository, Tag};

/// A piece of content in a chunk: the data of one tar entry.
///
/// Written as `[chunk, offset, stored, decoded]`. In a data chunk `offset` is the position in the
/// file of the first byte after the tar header; in a metadata chunk it is a position in the
/// decompressed tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(ChunkId, u64, u64, u64)", into = "(ChunkId, u64, u64, u64)")]
pub struct Extent {
    /// Number of the chunk.
    pub chunk: ChunkId,
    /// Position of the first byte of data, in bytes.
    pub offset: u64,
    /// Number of stored bytes.
    pub stored: u64,
    /// Number of bytes of the blob that they decode to; equal to `stored` for the codec `raw`.
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

/// Encoding of a blob's stored bytes. Version 1 stores blobs as they are.
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
            // The rule's number must be the first word: `format` finds the broken rule by it.
            other => Err(D::Error::custom(format_args!(
                "R-22: the codec `{}` is unknown to this version of airferry",
                other.chars().take(40).collect::<String>().escape_debug()
            ))),
        }
    }
}

/// Location of a blob's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum BlobPlace {
    /// In this bundle.
    Carried(Carried),
    /// Not in this bundle: every descriptor that names it has a media type or URLs that allow
    /// leaving it out (bundle-format.md, R-26).
    Foreign {
        /// The URLs that the manifest gives for it.
        urls: Vec<String>,
    },
    /// Not in this bundle: it could not be fetched.
    Missing {
        /// The reason, in one line for people.
        reason: String,
    },
    /// Not in this bundle: a base bundle carried it.
    Omitted {
        /// Id of the bundle that carried it.
        origin: BundleId,
    },
}

/// The stored form of a carried blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// Encoding of the stored bytes.
    pub codec: Codec,
    /// Blobs that the decoder needs on the far side, sorted. Empty for `raw`.
    pub needs: Vec<Digest>,
    /// Bytes of memory that the decoder needs. 0 for `raw`.
    pub memory: u64,
    /// The pieces, in the blob's order. Empty for an empty blob.
    pub extents: Vec<Extent>,
    /// Bytes of scratch space that the decoder needs. 0 for `raw`.
    pub scratch: u64,
}

impl Carried {
    /// Describes a blob that is stored as it is.
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
    /// Location of its bytes.
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
    /// Location of the bytes in a metadata chunk's decompressed tar.
    pub extent: Extent,
    /// Digests of child manifests that are left out on purpose (sparse index).
    pub omitted: Vec<Digest>,
    /// Digest of the manifest's `subject`, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// Digests of child manifests that are carried, in the index's order.
    pub children: Vec<Digest>,
    /// Platform of an image, if the index or the config names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Media type under which the manifest is pushed.
    pub media_type: MediaType,
}

impl ManifestEntry {
    /// True if children were left out.
    pub fn is_sparse(&self) -> bool {
        !self.omitted.is_empty()
    }
}

/// The result of looking for artifacts attached to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachmentState {
    /// Found and carried.
    Carried,
    /// The registry answered that there are none.
    Absent,
    /// The export did not look for them.
    NotAsked,
    /// The registry gave no clear answer: there may be more than the bundle carries.
    Unknown,
}

/// The way in which clients find an attached artifact.
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

/// Returns the tag under which cosign keeps an artifact of a manifest: `sha256-<hex>` and one of
/// [`COSIGN_ENDINGS`].
pub fn cosign_tag(subject: &Digest, ending: &str) -> String {
    format!("sha256-{}{ending}", subject.hex())
}

/// A manifest that belongs to an image without being reachable from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// The way in which clients find it.
    pub by: AttachedBy,
    /// The tag by which cosign finds it; absent for referrers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Digest of the artifact's manifest.
    pub root: Digest,
    /// Digest of the manifest to which it belongs.
    pub subject: Digest,
}

/// A requested image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageEntry {
    /// Tag under which the image was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Digest of the top manifest; absent when the reference could not be resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Digest>,
    /// Result of looking for the tags of cosign.
    pub cosign: AttachmentState,
    /// The repository's name in clusters; mirror policies are written for this name.
    pub source: Repository,
    /// The reason why the image is not whole, in one line for people; absent when it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Artifacts that belong to it, sorted by digest.
    pub attached: Vec<Attachment>,
    /// The platform filter that made an index sparse, sorted; empty when all platforms are
    /// carried.
    pub platforms: Vec<Platform>,
    /// Result of looking for referrers.
    pub referrers: AttachmentState,
    /// The reference as requested, in its full form.
    pub requested: Reference,
    /// True if the image was also requested by itself, besides belonging to a release or a
    /// catalog.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub standalone: bool,
    /// The repository from which this export fetched it: `source` itself or a mirror.
    pub fetched_from: Repository,
}

impl ImageEntry {
    /// True if everything that the image needs is carried, or may be left out.
    pub fn is_whole(&self) -> bool {
        self.problem.is_none()
    }

    /// Returns its root, then the roots of its attachments.
    pub fn roots(&self) -> impl Iterator<Item = Digest> {
        let attached = self.attached.iter().map(|attachment| attachment.root);
        self.root.into_iter().chain(attached)
    }

    /// True if it is not known whether the bundle carries all attachments, because a registry gave
    /// no clear answer.
    pub fn is_unknown(&self) -> bool {
        let unknown = AttachmentState::Unknown;
        self.cosign == unknown || self.referrers == unknown
    }
}

/// A base bundle, whose content is expected on the far side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseEntry {
    /// Id of the base.
    pub id: BundleId,
    /// The tags that it set, sorted by reference: `--existing-tags forward` may replace these.
    pub roots: Vec<BaseRoot>,
    /// The base's title, so that operators can find the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<super::bundle::LabelText>,
}

/// A tag that a base bundle set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseRoot {
    /// Digest that the tag pointed to.
    pub root: Digest,
    /// Source repository and tag.
    pub reference: Reference,
}

/// The inventory's row about a chunk, in addition to the manifest's chunk table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkOrigin {
    /// Id of the plan that made the chunk; also in the chunk's first entry.
    pub plan: PlanId,
    /// Number of the chunk.
    pub number: ChunkId,
    /// Length of the tar in bytes, decompressed.
    pub decoded: u64,
    /// Generation of the bundle that added the chunk.
    pub generation: u64,
}

/// The content of `inventory.cbor`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Extensions, which a reader may ignore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ext: Option<Extension>,
    /// Always [`Inventory::TYPE`].
    #[serde(rename = "type")]
    pub document: String,
    /// Base bundles, sorted by id: those given to the export, and older ones whose blobs are
    /// omitted.
    pub bases: Vec<BaseEntry>,
    /// Every blob that a carried manifest names, sorted by digest.
    pub blobs: Vec<BlobEntry>,
    /// One row for each chunk, by ascending number.
    pub chunks: Vec<ChunkOrigin>,
    /// Always [`super::FORMAT_VERSION`].
    pub format: u64,
    /// Requested images, sorted by `requested`.
    pub images: Vec<ImageEntry>,
    /// Digest of the request: recognises a repeated command, as opposed to another command.
    pub request: RequestId,
    /// Operator catalogs among the images, sorted by image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catalogs: Vec<CatalogEntry>,
    /// Images that the exporter left out on purpose, sorted by image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Releases among the images, sorted by image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<ReleaseEntry>,
    /// Every carried manifest, sorted by digest.
    pub manifests: Vec<ManifestEntry>,
}

impl Inventory {
    /// The value of `type`.
    pub const TYPE: &'static str = "airferry-inventory";

    /// True if every requested image is whole and no catalog names a malformed image.
    pub fn is_complete(&self) -> bool {
        self.images.iter().all(|image| image.is_whole())
            && self.catalogs.iter().all(|c| c.malformed.is_empty())
    }

    /// Returns the bundles and documents of all catalogs that need an image, sorted; at most
    /// [`NeededBy::SHOWN`].
    pub fn needed_by(&self, image: &Reference) -> Vec<NeededBy> {
        let members = self.catalogs.iter().flat_map(|catalog| &catalog.members);
        let members = members.filter(|member| member.image == *image);
        let needed: std::collections::BTreeSet<&NeededBy> =
            members.flat_map(|member| &member.needed_by).collect();
        needed.into_iter().take(NeededBy::SHOWN).cloned().collect()
    }

    /// Returns the malformed image names of all catalogs, each with the catalog's image.
    pub fn malformed(&self) -> impl Iterator<Item = (&Reference, &MalformedImage)> {
        let catalogs = self.catalogs.iter();
        catalogs.flat_map(|catalog| catalog.malformed.iter().map(|bad| (&catalog.image, bad)))
    }

    /// Returns the features that a reader of this inventory must know, as in
    /// [`super::BundleManifest::requires`].
    pub fn features(&self) -> Vec<String> {
        let used = [
            (CATALOGS, !self.catalogs.is_empty()),
            (RELEASES, !self.releases.is_empty()),
        ];
        let used = used.into_iter().filter(|(_, used)| *used);
        used.map(|(name, _)| name.to_owned()).collect()
    }

    /// Finds an image by the reference as requested. The list is sorted.
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

    /// Returns the rows of the manifests that `roots` reach, in the order of [`reach`].
    pub fn reach(&self, roots: impl IntoIterator<Item = Digest>) -> Vec<&ManifestEntry> {
        let children = |digest: &Digest| Some(self.manifest(digest)?.children.as_slice());
        let reached = reach(roots, &mut BTreeSet::new(), children);
        reached
            .iter()
            .filter_map(|digest| self.manifest(digest))
            .collect()
    }
}
