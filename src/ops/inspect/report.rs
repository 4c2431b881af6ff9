//! What an inspection found.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::bundle::finding::{Finding, worst};
use crate::error::{Class, Error};
use crate::model::{
    AttachmentState, BundleId, ChunkKind, Digest, MediaType, NeededBy, Platform, Reference,
    Repository,
};
use crate::ops::export::CatalogLine;
use crate::ops::release::ReleaseLine;

/// How far a bundle could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// There is no manifest that could be read.
    Nothing,
    /// The manifest: sizes and chunks, but not what is in them.
    Manifest,
    /// Manifest and inventory: everything.
    Inventory,
}

/// A chunk.
#[derive(Debug, Clone, Serialize)]
pub struct ChunkLine {
    /// Path in the bundle.
    pub path: String,
    /// What it holds.
    pub kind: ChunkKind,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of the file.
    pub sha256: Digest,
}

/// An image.
#[derive(Debug, Clone, Serialize)]
pub struct ImageDetail {
    /// The reference as asked for.
    pub reference: Reference,
    /// What clusters call its repository.
    pub source: Repository,
    /// The top manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Its media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// Platforms that are carried.
    pub platforms: BTreeSet<Platform>,
    /// Whether children of an index were left out.
    pub sparse: bool,
    /// Bytes of all blobs that it needs, those of bases included. Absent, as platforms are, when
    /// the images share so much that adding it up for each would take too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes of blobs that no other image of the bundle needs.
    pub unique_bytes: u64,
    /// Number of attached artifacts.
    pub attached: usize,
    /// Whether cosign's tags were looked for.
    pub cosign: AttachmentState,
    /// Whether referrers were looked for.
    pub referrers: AttachmentState,
    /// Why it is not whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Of one that is not whole: the catalogs' bundles that need it, of many the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<NeededBy>,
}

/// A statement.
#[derive(Debug, Clone, Serialize)]
pub struct SignerLine {
    /// Name of its files, without ending.
    pub name: String,
    /// Whether it is under a key that was given with `--trust`, and right.
    pub verified: bool,
    /// In which capacity; only of verified ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// One line for people; only of verified ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A base.
#[derive(Debug, Clone, Serialize)]
pub struct BaseLine {
    /// Its identity.
    pub id: BundleId,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Blobs left out because it carried them.
    pub omitted_blobs: u64,
    /// Their bytes.
    pub omitted_bytes: u64,
}

/// What is in a bundle.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The bundle's identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleId>,
    /// How far it could be read.
    pub depth: Depth,
    /// Whether nothing was read beyond the statements, because none of the trusted keys has
    /// signed.
    pub stopped: bool,
    /// Label: title, owner, marking.
    pub label: crate::model::Label,
    /// Generation.
    pub generation: u64,
    /// Whether every image is whole.
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
    /// Operator catalogs among the images: what was kept of them, and the originals' digests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub catalogs: Vec<CatalogLine>,
    /// Images.
    pub images: Vec<ImageDetail>,
    /// Bases that the far side must have.
    pub bases: Vec<BaseLine>,
    /// Bytes of carried blobs, each counted once.
    pub content_bytes: u64,
    /// Bytes of carried blobs that several images share.
    pub shared_bytes: u64,
    /// Blobs that may not be carried.
    pub foreign_blobs: BTreeMap<Digest, Vec<String>>,
    /// Blobs that could not be had.
    pub missing_blobs: BTreeMap<Digest, String>,
    /// What is wrong, as far as a quick look shows.
    pub findings: Vec<Finding>,
}

impl Report {
    /// What it means that nothing was read.
    pub fn refusal(&self) -> Error {
        let class = worst(&self.findings).unwrap_or(Class::NotAuthenticated);
        let error = Error::new(class, "None of the trusted keys has signed this bundle");
        error.hint("--allow-unsigned looks inside all the same")
    }
}
