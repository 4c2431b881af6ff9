//! Assembles a bundle from the results of the lanes: inventory, metadata chunk, manifest, texts.
//!
//! Pure: a dry run calls [`assemble`] with lengths and without hashes, and so learns the size of
//! every file to the byte.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::lane::FinishedChunk;
use crate::error::{Error, Result};
use crate::format::bundle;
use crate::format::hash::{FileHasher, FileHashes, sha256};
use crate::format::metadata_chunk::{self, MetadataTar};
use crate::format::texts::Texts;
use crate::model::{
    BLOCK_SIZE, BlobEntry, BlobPlace, BundleId, BundleManifest, ByteSize, Carried, ChunkEntry,
    ChunkKind, ChunkOrigin, Digest, Extent, FORMAT_VERSION, Inventory, Limits, ManifestEntry,
    PlanId,
};
use crate::plan::export::{ExportPlan, ManifestPlace, PlanContent, PlannedPlace};

/// Characters kept of a problem text that is too long. A character has at most 4 bytes.
const PROBLEM: usize = 1000;

/// The results of the lanes.
#[derive(Debug, Default)]
pub(crate) struct LaneResults {
    /// Data chunks of this generation, by ascending number.
    pub(crate) chunks: Vec<FinishedChunk>,
    /// Extents of each blob that was written.
    pub(crate) placed: BTreeMap<Digest, Vec<Extent>>,
    /// Blobs that could not be fetched, with the reason.
    pub(crate) missing: BTreeMap<Digest, String>,
}

/// A bundle in memory, without its chunks and the bytes of the inventory.
pub(crate) struct Assembled {
    pub(crate) manifest: BundleManifest,
    pub(crate) manifest_bytes: Vec<u8>,
    pub(crate) inventory: Inventory,
    pub(crate) texts: Texts,
    pub(crate) id: BundleId,
}

impl Assembled {
    /// Returns the total length of all files except chunks and statements, in bytes.
    pub(crate) fn document_bytes(&self) -> u64 {
        let texts = self.texts.label.len() + self.texts.sums.len();
        self.manifest.inventory.length + (self.manifest_bytes.len() + texts) as u64
    }

    /// Returns the length of the metadata chunk in bytes.
    pub(crate) fn metadata_bytes(&self) -> u64 {
        self.manifest.chunks.last().map_or(0, |chunk| chunk.length)
    }
}

/// Assembles a bundle from the plan and the lanes' results. Writes the metadata chunk to `out`.
pub(crate) fn assemble(
    plan: &ExportPlan,
    plan_id: PlanId,
    written: &LaneResults,
    out: &mut impl Write,
) -> Result<Assembled> {
    let content = &plan.content;
    let mut inventory = inventory(plan, plan_id, written)?;
    let number = content.metadata_chunk;
    let (decoded, hashes) = write_metadata_chunk(content, &inventory, out)?;
    if let Some(row) = inventory.chunks.last_mut() {
        row.decoded = decoded;
    }
    refuse_too_much_metadata(content, decoded, hashes.length)?;
    let inventory_file = bundle::measure_inventory(&inventory)
        .map_err(|error| Error::internal("The inventory cannot be written", error))?;
    if inventory_file.length > Limits::INVENTORY {
        let message = format!(
            "The inventory would have {}; the limit is {}",
            ByteSize(inventory_file.length),
            ByteSize(Limits::INVENTORY)
        );
        return Err(Error::usage(message).hint("export fewer images into one bundle"));
    }

    let mut chunks: Vec<ChunkEntry> = content
        .sealed
        .iter()
        .map(|sealed| sealed.entry.clone())
        .collect();
    chunks.extend(written.chunks.iter().map(|chunk| {
        chunk
            .hashes
            .clone()
            .into_chunk(chunk.number, ChunkKind::Data)
    }));
    chunks.push(hashes.into_chunk(number, ChunkKind::Metadata));
    let manifest = BundleManifest {
        ext: None,
        document: BundleManifest::TYPE.to_owned(),
        label: content.label.clone(),
        chunks,
        format: FORMAT_VERSION,
        complete: inventory.is_complete(),
        requires: inventory.features(),
        inventory: inventory_file,
        block_size: BLOCK_SIZE,
        generation: content.generation,
        chunk_limit: content.chunk_limit,
    };
    let manifest_bytes = bundle::encode_manifest(&manifest)
        .map_err(|error| Error::internal("The manifest cannot be written", error))?;
    // Refuses to seal a bundle that readers would refuse.
    bundle::check_inventory(&inventory, &manifest)
        .map_err(|error| Error::internal("The inventory breaks its own format", error))?;
    let id = BundleId::new(sha256(&manifest_bytes));
    let texts = Texts::new(&id, &manifest);
    Ok(Assembled {
        manifest,
        manifest_bytes,
        inventory,
        texts,
        id,
    })
}

/// Refuses to seal a bundle whose metadata chunks, those of earlier generations included, are
/// larger than readers accept (bundle-format.md, section 11).
fn refuse_too_much_metadata(content: &PlanContent, decoded: u64, stored: u64) -> Result<()> {
    let earlier = || {
        let sealed = content.sealed.iter();
        sealed.filter(|sealed| sealed.entry.kind == ChunkKind::Metadata)
    };
    let decoded = earlier().fold(decoded, |sum, sealed| {
        sum.saturating_add(sealed.origin.decoded)
    });
    let stored = earlier().fold(stored, |sum, sealed| {
        sum.saturating_add(sealed.entry.length)
    });
    let largest = decoded.max(stored);
    if largest <= Limits::METADATA {
        return Ok(());
    }
    let message = format!(
        "The metadata chunks would have {} together, and no reader takes more than {}",
        ByteSize(largest),
        ByteSize(Limits::METADATA)
    );
    Err(Error::usage(message).hint(match content.sealed.is_empty() {
        true => "export fewer images into one bundle",
        false => "export into a new directory, with this bundle as --base",
    }))
}

/// Writes the metadata chunk of an inventory. Returns the length of its tar, and the hashes of
/// the file.
fn write_metadata_chunk(
    content: &PlanContent,
    inventory: &Inventory,
    out: &mut impl Write,
) -> Result<(u64, FileHashes)> {
    let new: BTreeMap<&Digest, &Vec<u8>> = content
        .manifests
        .iter()
        .filter_map(|manifest| match &manifest.place {
            ManifestPlace::New(bytes) => Some((&manifest.digest, bytes)),
            ManifestPlace::Held(_) => None,
        })
        .collect();
    let mut fetch = |digest: &Digest| {
        let bytes = new.get(digest).map(|bytes| (*bytes).clone());
        bytes.ok_or_else(|| io::Error::other(format!("{digest} has no bytes")))
    };
    let internal = |error: &dyn std::error::Error| {
        Error::internal(
            "The metadata chunk cannot be built",
            crate::error::chain(error),
        )
    };
    let tar = MetadataTar::new(inventory, content.metadata_chunk);
    let tar = tar.map_err(|error| internal(&error))?;
    let hashing = Hashing {
        out,
        hasher: FileHasher::new(),
    };
    let written = tar.write_compressed(hashing, &mut fetch);
    let hashing = written.map_err(|error| internal(&error))?;
    Ok((tar.decoded(), hashing.hasher.finish()))
}

/// A writer that hashes the bytes that it passes on.
struct Hashing<W> {
    out: W,
    hasher: FileHasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn inventory(plan: &ExportPlan, plan_id: PlanId, written: &LaneResults) -> Result<Inventory> {
    let content = &plan.content;
    let blobs: Vec<BlobEntry> = content
        .blobs
        .iter()
        .map(|blob| BlobEntry {
            size: blob.size,
            place: blob_place(&blob.place, &blob.digest, written),
            digest: blob.digest,
        })
        .collect();
    let origin = |number, decoded| ChunkOrigin {
        plan: plan_id,
        decoded,
        number,
        generation: content.generation,
    };
    let mut chunks: Vec<ChunkOrigin> = content
        .sealed
        .iter()
        .map(|sealed| sealed.origin.clone())
        .collect();
    chunks.extend(
        written
            .chunks
            .iter()
            .map(|chunk| origin(chunk.number, chunk.hashes.length)),
    );
    // The length of its tar is filled in last: the tar depends on the rest of the inventory.
    chunks.push(origin(content.metadata_chunk, 0));
    let manifests = manifest_entries(content)?;
    let mut inventory = Inventory {
        ext: None,
        document: Inventory::TYPE.to_owned(),
        bases: content.bases.clone(),
        blobs,
        chunks,
        format: FORMAT_VERSION,
        images: content.images.clone(),
        request: plan.request,
        catalogs: content.catalogs.clone(),
        left_out: content.left_out.clone(),
        releases: content.releases.clone(),
        manifests,
    };
    note_problems(&mut inventory, written);
    shorten_problems(&mut inventory);
    Ok(inventory)
}

fn blob_place(planned: &PlannedPlace, digest: &Digest, written: &LaneResults) -> BlobPlace {
    match planned {
        PlannedPlace::Held(carried) => BlobPlace::Carried(carried.clone()),
        PlannedPlace::Foreign(urls) => BlobPlace::Foreign { urls: urls.clone() },
        PlannedPlace::Omitted(origin) => BlobPlace::Omitted { origin: *origin },
        PlannedPlace::Fetch(_) | PlannedPlace::Made => match written.placed.get(digest) {
            Some(extents) => BlobPlace::Carried(Carried::raw(extents.clone())),
            None => BlobPlace::Missing {
                reason: missing_reason(digest, written),
            },
        },
    }
}

fn missing_reason(digest: &Digest, written: &LaneResults) -> String {
    let known = written.missing.get(digest).map(String::as_str);
    known
        .unwrap_or("it was given up in an earlier run")
        .to_owned()
}

fn manifest_entries(content: &PlanContent) -> Result<Vec<ManifestEntry>> {
    let lengths: BTreeMap<Digest, u64> = content
        .manifests
        .iter()
        .filter_map(|manifest| match &manifest.place {
            ManifestPlace::New(bytes) => Some((manifest.digest, bytes.len() as u64)),
            ManifestPlace::Held(_) => None,
        })
        .collect();
    let extents = metadata_chunk::place(content.metadata_chunk, &lengths).ok_or_else(|| {
        Error::usage("The OCI manifests together exceed 1 GiB, the limit of a bundle")
            .hint("export fewer images into one bundle")
    })?;
    let entry = |manifest: &crate::plan::export::PlannedManifest| {
        let extent = match &manifest.place {
            ManifestPlace::Held(extent) => *extent,
            ManifestPlace::New(_) => *extents.get(&manifest.digest)?,
        };
        Some(ManifestEntry {
            blobs: manifest.blobs.clone(),
            digest: manifest.digest,
            extent,
            omitted: manifest.omitted.clone(),
            subject: manifest.subject,
            children: manifest.children.clone(),
            platform: manifest.platform.clone(),
            media_type: manifest.media_type.clone(),
        })
    };
    Ok(content.manifests.iter().filter_map(entry).collect())
}

/// Sets the `problem` of every image that reaches a missing blob.
fn note_problems(inventory: &mut Inventory, written: &LaneResults) {
    let missing: BTreeSet<Digest> = inventory
        .blobs
        .iter()
        .filter(|blob| matches!(blob.place, BlobPlace::Missing { .. }))
        .map(|blob| blob.digest)
        .collect();
    if missing.is_empty() {
        return;
    }
    let mut problems = Vec::new();
    for (index, image) in inventory.images.iter().enumerate() {
        let rows = inventory.reach(image.roots());
        let mut blobs = rows.iter().flat_map(|row| &row.blobs);
        if let Some(lost) = blobs.find(|blob| missing.contains(blob)) {
            problems.push((index, format!("{lost}: {}", missing_reason(lost, written))));
        }
    }
    for (index, problem) in problems {
        if let Some(image) = inventory.images.get_mut(index) {
            image.problem.get_or_insert(problem);
        }
    }
}

/// Shortens problem texts: registries may answer with whole pages, and the format limits the
/// length of texts (bundle-format.md, section 11).
fn shorten_problems(inventory: &mut Inventory) {
    let shorten = |text: &mut String| {
        if text.len() as u64 > Limits::TEXT {
            *text = text.chars().take(PROBLEM).chain("...".chars()).collect();
        }
    };
    for problem in inventory
        .images
        .iter_mut()
        .filter_map(|i| i.problem.as_mut())
    {
        shorten(problem);
    }
    for blob in &mut inventory.blobs {
        if let BlobPlace::Missing { reason } = &mut blob.place {
            shorten(reason);
        }
    }
}
