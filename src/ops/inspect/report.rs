//! The report of an inspection.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::bundle::finding::{Finding, worst};
use crate::error::{Class, Error};
use crate::model::{
    AttachmentState, BundleId, ChunkKind, Digest, LeftOut, MediaType, NeededBy, Platform,
    Reference, Repository,
};
use crate::ops::export::CatalogLine;
use crate::ops::release::ReleaseLine;

/// Extent to which a bundle could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// No readable manifest.
    Nothing,
    /// The manifest: sizes and chunks, but not their content.
    Manifest,
    /// Manifest and inventory, which is everything.
    Inventory,
}

/// A chunk.
#[derive(Debug, Clone, Serialize)]
pub struct ChunkLine {
    /// Path in the bundle.
    pub path: String,
    /// Kind of its content.
    pub kind: ChunkKind,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of the file.
    pub sha256: Digest,
}

/// An image.
#[derive(Debug, Clone, Serialize)]
pub struct ImageDetail {
    /// The reference as requested.
    pub reference: Reference,
    /// Repository by which clusters refer to it.
    pub source: Repository,
    /// Digest of its top manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Media type of its top manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// Platforms that are carried.
    pub platforms: BTreeSet<Platform>,
    /// True if children of an index were left out.
    pub sparse: bool,
    /// Bytes of all blobs that it needs, those of bases included. Absent, like platforms, if the
    /// images share so much that computing it for each would take too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes of blobs that no other image of the bundle needs.
    pub unique_bytes: u64,
    /// Number of attached artifacts.
    pub attached: usize,
    /// Result of the search for cosign's tags.
    pub cosign: AttachmentState,
    /// Result of the search for referrers.
    pub referrers: AttachmentState,
    /// Reason why it is incomplete; `None` if it is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// For an incomplete image: the catalog bundles that need it, limited to the first ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<NeededBy>,
}

/// A statement.
#[derive(Debug, Clone, Serialize)]
pub struct SignerLine {
    /// Name of its files without extension.
    pub name: String,
    /// True if its signature is valid under a key given with `--trust`.
    pub verified: bool,
    /// Role of the signer; only for verified statements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Comment in one line, for people; only for verified statements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A base.
#[derive(Debug, Clone, Serialize)]
pub struct BaseLine {
    /// Id of the base.
    pub id: BundleId,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Number of blobs left out because the base carried them.
    pub omitted_blobs: u64,
    /// Total size of those blobs in bytes.
    pub omitted_bytes: u64,
}

/// Report of `airferry inspect`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Id of the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleId>,
    /// Extent to which it could be read.
    pub depth: Depth,
    /// True if nothing was read beyond the statements, because no trusted key signed the bundle.
    pub stopped: bool,
    /// Label: title, owner, marking.
    pub label: crate::model::Label,
    /// Generation.
    pub generation: u64,
    /// True if every image is complete.
    pub complete: bool,
    /// Statements.
    pub signers: Vec<SignerLine>,
    /// Chunks.
    pub chunks: Vec<ChunkLine>,
    /// Bytes of all chunks.
    pub chunk_bytes: u64,
    /// Releases among the images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<ReleaseLine>,
    /// Operator catalogs among the images, with their filters and the originals' digests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub catalogs: Vec<CatalogLine>,
    /// Images that the exporter left out on purpose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Images.
    pub images: Vec<ImageDetail>,
    /// Bases whose blobs the target must have.
    pub bases: Vec<BaseLine>,
    /// Bytes of carried blobs, each counted once.
    pub content_bytes: u64,
    /// Bytes of carried blobs that several images share, each counted once.
    pub shared_bytes: u64,
    /// Blobs that must not be carried, with the URLs that their descriptors name.
    pub foreign_blobs: BTreeMap<Digest, Vec<String>>,
    /// Blobs that were not available at export, with the reason.
    pub missing_blobs: BTreeMap<Digest, String>,
    /// Findings that reading the documents shows; chunks are not verified.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The error for a bundle that was not read.
    pub fn refusal(&self) -> Error {
        let class = worst(&self.findings).unwrap_or(Class::NotAuthenticated);
        let error = Error::new(class, "None of the trusted keys has signed this bundle");
        error.hint("--allow-unsigned shows the content anyway")
    }
}
