//! `airferry inspect`: what is in a bundle, as far as it can be read.
//!
//! Reads documents and small configs, not the chunks: quick on any size. What is damaged is
//! left out and said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::context::Context;
use super::error::Result;
use super::examine::{Examination, Scope, examine};
use super::export::CatalogLine;
use super::finding::Finding;
use super::pipeline::StoredBlob;
use super::release::ReleaseLine;
use super::trust::Trust;
use crate::format::hash::sha256;
use crate::format::oci;
use crate::model::{
    AttachmentState, BlobPlace, BundleId, Carried, ChunkKind, Digest, ImageEntry, Inventory,
    ManifestEntry, MediaType, NeededBy, Platform, Reference, Repository,
};
use crate::sys::media::{DirMedia, Media};

/// Configs up to this many bytes are read for their platform.
const CONFIG_CAP: u64 = 1 << 20;

/// What `airferry inspect` is asked for.
#[derive(Debug)]
pub struct Request {
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Whom to trust; only to say who signed.
    pub trust: Trust,
}

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
pub struct ImageLine {
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
    /// Bytes of all blobs that it needs, those of bases included.
    pub bytes: u64,
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
    pub images: Vec<ImageLine>,
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

/// Looks at a bundle.
pub fn inspect(request: &Request, _context: &Context) -> Result<Report> {
    let media: Arc<dyn Media> = Arc::new(DirMedia::open(&request.bundle)?);
    let examination = examine(Arc::clone(&media), &request.trust, Scope::Everything)?;
    let mut report = of_manifest(&examination);
    if let Some(inventory) = &examination.inventory {
        report.depth = Depth::Inventory;
        of_inventory(&mut report, inventory, &media);
    }
    Ok(report)
}

fn of_manifest(examination: &Examination) -> Report {
    let manifest = examination.manifest.as_ref();
    let authentication = &examination.authentication;
    let verified = authentication.vouched.iter().map(|vouched| SignerLine {
        name: vouched.stem.to_string(),
        verified: true,
        role: Some(vouched.statement.role.to_string()),
        comment: vouched
            .statement
            .comment
            .as_ref()
            .map(|text| text.as_str().to_owned()),
    });
    let claimed = authentication.claimed.iter().map(|stem| SignerLine {
        name: stem.to_string(),
        verified: false,
        role: None,
        comment: None,
    });
    let chunks = manifest
        .iter()
        .flat_map(|manifest| &manifest.chunks)
        .map(|chunk| ChunkLine {
            path: chunk.path(),
            kind: chunk.kind,
            length: chunk.length,
            sha256: chunk.sha256,
        });
    Report {
        bundle: examination.id,
        depth: if manifest.is_some() {
            Depth::Manifest
        } else {
            Depth::Nothing
        },
        label: manifest
            .map(|manifest| manifest.label.clone())
            .unwrap_or_default(),
        generation: manifest.map_or(0, |manifest| manifest.generation),
        complete: manifest.is_some_and(|manifest| manifest.complete),
        signers: verified.chain(claimed).collect(),
        chunks: chunks.collect(),
        chunk_bytes: manifest.map_or(0, |manifest| manifest.chunk_bytes()),
        releases: Vec::new(),
        catalogs: Vec::new(),
        images: Vec::new(),
        bases: Vec::new(),
        content_bytes: 0,
        shared_bytes: 0,
        foreign_blobs: BTreeMap::new(),
        missing_blobs: BTreeMap::new(),
        findings: examination.findings.clone(),
    }
}

fn of_inventory(report: &mut Report, inventory: &Inventory, media: &Arc<dyn Media>) {
    report.releases = ReleaseLine::all(inventory);
    report.catalogs = CatalogLine::all(inventory);
    let contents: Vec<Content> = inventory
        .images
        .iter()
        .map(|image| Content::of(image, inventory))
        .collect();
    let mut users: BTreeMap<Digest, u64> = BTreeMap::new();
    for blob in contents.iter().flat_map(|content| &content.blobs) {
        *users.entry(*blob).or_default() += 1;
    }
    let size = |digest: &Digest| inventory.blob(digest).map_or(0, |blob| blob.size);
    for (image, content) in inventory.images.iter().zip(&contents) {
        let own = content
            .blobs
            .iter()
            .filter(|blob| users.get(blob) == Some(&1));
        let mut platforms = BTreeSet::new();
        for entry in &content.manifests {
            platforms.extend(platform(entry, inventory, media));
        }
        report.images.push(ImageLine {
            reference: image.requested.clone(),
            source: image.source.clone(),
            digest: image.root,
            media_type: image
                .root
                .and_then(|root| inventory.manifest(&root))
                .map(|entry| entry.media_type.clone()),
            platforms,
            sparse: content.manifests.iter().any(|entry| entry.is_sparse()),
            bytes: content.blobs.iter().map(size).sum(),
            unique_bytes: own.map(size).sum(),
            attached: image.attached.len(),
            cosign: image.cosign,
            referrers: image.referrers,
            problem: image.problem.clone(),
            needed_by: match image.problem {
                Some(_) => inventory.needed_by(&image.requested),
                None => Vec::new(),
            },
        });
    }
    let mut omitted: BTreeMap<BundleId, (u64, u64)> = BTreeMap::new();
    for blob in &inventory.blobs {
        match &blob.place {
            BlobPlace::Carried(_) => {
                report.content_bytes += blob.size;
                if users.get(&blob.digest).is_some_and(|users| *users > 1) {
                    report.shared_bytes += blob.size;
                }
            }
            BlobPlace::Omitted { origin } => {
                let (count, bytes) = omitted.entry(*origin).or_default();
                *count += 1;
                *bytes += blob.size;
            }
            BlobPlace::Foreign { urls } => {
                report.foreign_blobs.insert(blob.digest, urls.clone());
            }
            BlobPlace::Missing { reason } => {
                report.missing_blobs.insert(blob.digest, reason.clone());
            }
        }
    }
    report.bases = inventory
        .bases
        .iter()
        .map(|base| {
            let (omitted_blobs, omitted_bytes) = omitted.get(&base.id).copied().unwrap_or_default();
            let title = base.title.as_ref().map(|title| title.as_str().to_owned());
            BaseLine {
                id: base.id,
                title,
                omitted_blobs,
                omitted_bytes,
            }
        })
        .collect();
}

/// What an image reaches.
struct Content<'a> {
    manifests: Vec<&'a ManifestEntry>,
    blobs: BTreeSet<Digest>,
}

impl<'a> Content<'a> {
    fn of(image: &ImageEntry, inventory: &'a Inventory) -> Self {
        let mut content = Self {
            manifests: Vec::new(),
            blobs: BTreeSet::new(),
        };
        let own = content.follow(image.root.into_iter().collect(), inventory);
        let attached = image.attached.iter().map(|attachment| attachment.root);
        content.follow(attached.collect(), inventory);
        // Platforms are those of the image itself.
        content.manifests.truncate(own);
        content
    }

    fn follow(&mut self, mut stack: Vec<Digest>, inventory: &'a Inventory) -> usize {
        let mut seen = BTreeSet::new();
        while let Some(digest) = stack.pop() {
            if let Some(entry) = inventory.manifest(&digest).filter(|_| seen.insert(digest)) {
                stack.extend(&entry.children);
                self.blobs.extend(&entry.blobs);
                self.manifests.push(entry);
            }
        }
        self.manifests.len()
    }
}

/// The platform of an image manifest: from its index, else from its config.
fn platform(
    entry: &ManifestEntry,
    inventory: &Inventory,
    media: &Arc<dyn Media>,
) -> Option<Platform> {
    if let Some(platform) = &entry.platform {
        return Some(platform.clone());
    }
    let config = inventory.blob(entry.blobs.first()?)?;
    let carried: &Carried = match &config.place {
        BlobPlace::Carried(carried) if config.size <= CONFIG_CAP => carried,
        _ => return None,
    };
    let bytes = StoredBlob::new(Arc::clone(media), carried)
        .read(CONFIG_CAP)
        .ok()?;
    if sha256(&bytes) != config.digest {
        return None;
    }
    oci::config_platform(&bytes)
}
