//! `airferry inspect`: what is in a bundle, as far as it can be read.
//!
//! Reads documents and small configs, not the chunks: quick on any size. What is damaged is
//! left out and said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::context::Context;
use super::export::CatalogLine;
use super::release::ReleaseLine;
use crate::bundle::finding::{Finding, worst};
use crate::bundle::open::{Examination, Scope, Unproven, examine};
use crate::bundle::read::StoredBlob;
use crate::bundle::trust::Trust;
use crate::error::{Class, Error, Result};
use crate::format::hash::sha256;
use crate::format::oci;
use crate::model::{
    AttachmentState, BlobPlace, BundleId, Carried, ChunkKind, Digest, Graph, ImageEntry, Inventory,
    ManifestEntry, MediaType, NeededBy, Platform, Reference, Repository, Walk,
};
use crate::sys::media::{DirMedia, Media};

/// Configs up to this many bytes are read for their platform.
const CONFIG_CAP: u64 = 1 << 20;

/// What `airferry inspect` is asked for.
#[derive(Debug)]
pub struct Request {
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Whom to trust. When somebody is named here and has not signed, nothing is read.
    pub trust: Trust,
    /// Look inside even so.
    pub allow_unsigned: bool,
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

/// Looks at a bundle.
pub fn inspect(request: &Request, _context: &Context) -> Result<Report> {
    let media: Arc<dyn Media> = Arc::new(DirMedia::open(&request.bundle)?);
    let unproven = Unproven::reported(&request.trust, request.allow_unsigned);
    let examination = examine(
        Arc::clone(&media),
        &request.trust,
        Scope::Everything,
        unproven,
    )?;
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
        stopped: examination.stopped,
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
    let graph = Graph::new(inventory);
    let owners = Owners::of(inventory, &graph);
    let mut contents = Contents {
        inventory,
        walk: Walk::new(&graph),
        graph: &graph,
        known: BTreeMap::new(),
        platforms: BTreeMap::new(),
        media,
    };
    let mut unique = vec![0u64; inventory.images.len()];
    let blobs = inventory.blobs.iter().zip(&owners.of_blobs);
    for (blob, owner) in blobs.clone() {
        if let Owner::One(image) = owner
            && let Some(unique) = unique.get_mut(*image)
        {
            *unique = unique.saturating_add(blob.size);
        }
    }
    for (image, unique_bytes) in inventory.images.iter().zip(unique) {
        let content = contents.of(image);
        report.images.push(ImageDetail {
            reference: image.requested.clone(),
            source: image.source.clone(),
            digest: image.root,
            media_type: image
                .root
                .and_then(|root| inventory.manifest(&root))
                .map(|entry| entry.media_type.clone()),
            platforms: content.platforms,
            sparse: content.sparse,
            bytes: content.bytes,
            unique_bytes,
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
    let shared = blobs.filter(|(blob, owner)| {
        **owner == Owner::Several && matches!(blob.place, BlobPlace::Carried(_))
    });
    let shared = shared.map(|(blob, _)| blob.size);
    report.shared_bytes = shared.fold(0, u64::saturating_add);
    let mut omitted: BTreeMap<BundleId, (u64, u64)> = BTreeMap::new();
    for blob in &inventory.blobs {
        match &blob.place {
            BlobPlace::Carried(_) => {
                report.content_bytes = report.content_bytes.saturating_add(blob.size);
            }
            BlobPlace::Omitted { origin } => {
                let (count, bytes) = omitted.entry(*origin).or_default();
                *count += 1;
                *bytes = bytes.saturating_add(blob.size);
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

/// Which images need something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// None.
    Nobody,
    /// The image with this index alone.
    One(usize),
    /// More than one.
    Several,
}

impl Owner {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nobody, owner) | (owner, Self::Nobody) => owner,
            (one, other) if one == other => one,
            _ => Self::Several,
        }
    }
}

/// Which images need each blob: from the top down, every row once.
struct Owners {
    of_blobs: Vec<Owner>,
}

impl Owners {
    fn of(inventory: &Inventory, graph: &Graph<'_>) -> Self {
        let mut rows = vec![Owner::Nobody; inventory.manifests.len()];
        let mut of_blobs = vec![Owner::Nobody; inventory.blobs.len()];
        for (index, image) in inventory.images.iter().enumerate() {
            for root in graph.roots(image) {
                meet(&mut rows, root, Owner::One(index));
            }
        }
        // Parents come before their children when the longest chains come first.
        let mut order: Vec<(u32, u32)> = (0u32..)
            .zip(graph.below())
            .map(|(row, below)| (below.levels, row))
            .collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        for (_, row) in order {
            let owner = rows.get(row as usize).copied().unwrap_or(Owner::Nobody);
            for child in graph.children(row) {
                meet(&mut rows, *child, owner);
            }
            for blob in graph.blobs(row) {
                meet(&mut of_blobs, *blob, owner);
            }
        }
        Self { of_blobs }
    }
}

fn meet(owners: &mut [Owner], index: u32, owner: Owner) {
    if let Some(known) = owners.get_mut(index as usize) {
        *known = known.and(owner);
    }
}

/// Rows and digests that are looked at to add up what images need, all of them together.
const STEPS: usize = 20_000_000;

/// What an image reaches.
#[derive(Debug, Clone, Default)]
struct Content {
    platforms: BTreeSet<Platform>,
    sparse: bool,
    bytes: Option<u64>,
}

/// Adds up what images reach; those with the same roots once.
struct Contents<'c, 'a> {
    inventory: &'a Inventory,
    graph: &'c Graph<'a>,
    walk: Walk<'c, 'a>,
    known: BTreeMap<(Option<u32>, Vec<u32>), Content>,
    /// Platforms by the manifest that was asked.
    platforms: BTreeMap<u32, Option<Platform>>,
    media: &'c Arc<dyn Media>,
}

impl Contents<'_, '_> {
    fn of(&mut self, image: &ImageEntry) -> Content {
        let own = image.root.and_then(|root| self.graph.manifest(&root));
        let key = (own, self.graph.roots(image));
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        if self.walk.steps() > STEPS {
            return Content::default();
        }
        let blobs = self.walk.reach(&key.1).blobs;
        let sizes = blobs
            .iter()
            .filter_map(|blob| self.inventory.blobs.get(*blob as usize));
        let bytes = sizes.fold(0u64, |sum, blob| sum.saturating_add(blob.size));
        // Platforms are those of the image itself.
        let own = self.walk.reach(own.as_slice()).manifests;
        let mut content = Content {
            bytes: Some(bytes),
            ..Content::default()
        };
        for row in own {
            let Some(entry) = self.inventory.manifests.get(row as usize) else {
                continue;
            };
            content.sparse |= entry.is_sparse();
            let platforms = &mut self.platforms;
            let platform = platforms
                .entry(row)
                .or_insert_with(|| platform(entry, self.inventory, self.media));
            content.platforms.extend(platform.clone());
        }
        self.known.insert(key, content.clone());
        content
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
