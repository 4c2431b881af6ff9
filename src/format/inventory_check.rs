//! Checks the inventory's rules that go beyond its tables (bundle-format.md, R-14 and R-21 to
//!

mod attachments;
mod image_names;

use std::collections::HashMap;

use attachments::Attachments;

use super::document_error::DocumentError;
use super::left_out::{Filters, PlatformFilterError};
use super::{Placement, content_check, hash, tar};
use crate::model::{
    AttachedBy, AttachmentState, BlobEntry, BlobPlace, BundleManifest, Carried, ChunkEntry,
    ChunkId, ChunkKind, Codec, Digest, Extent, FORMAT_VERSION, Graph, ImageEntry, Inventory,
    Limits, ManifestEntry, Reach, Walk,
};

type Result<T> = std::result::Result<T, DocumentError>;

/// Returns a refusal under the rule with this number.
fn refused<T>(rule: u8, fault: String) -> Result<T> {
    Err(DocumentError::inventory(rule, fault))
}

/// Checks everything, in an order in which later checks may rely on earlier ones.
pub(super) fn check(
    inventory: &Inventory,
    manifest: &BundleManifest,
    placement: &Placement,
) -> Result<()> {
    if inventory.document != Inventory::TYPE || inventory.format != FORMAT_VERSION {
        return refused(13, "it is of another type or version".to_owned());
    }
    counts(inventory)?;
    orders(inventory)?;
    chunk_origins(inventory, manifest)?;
    let kinds = manifest.chunks.iter().map(|c| (c.number, c.kind)).collect();
    for blob in &inventory.blobs {
        blob_entry(blob, inventory, &kinds)?;
    }
    for entry in &inventory.manifests {
        manifest_entry(entry, inventory, &kinds)?;
    }
    layout(inventory, manifest, placement)?;
    images(inventory)?;
    content_check::check(inventory, manifest)?;
    if manifest.complete != inventory.is_complete() {
        let (said, is) = (manifest.complete, inventory.is_complete());
        return refused(
            28,
            format!("the bundle manifest has `complete: {said}`, but its images imply {is}"),
        );
    }
    Ok(())
}

/// checks the limits on counts. Readers check them on the bytes; this checks them for
/// writers.
fn counts(inventory: &Inventory) -> Result<()> {
    let rows = inventory.manifests.iter();
    let edges = rows.map(|row| row.blobs.len() + row.children.len() + row.omitted.len());
    let extents = inventory.blobs.iter().map(|blob| match &blob.place {
        BlobPlace::Carried(carried) => carried.extents.len(),
        _ => 0,
    });
    let urls = inventory.blobs.iter().map(|blob| match &blob.place {
        BlobPlace::Foreign { urls } => urls.len(),
        _ => 0,
    });
    let attached = inventory.images.iter().map(|image| image.attached.len());
    let platforms = inventory.images.iter().map(|image| image.platforms.len());
    let roots = inventory.bases.iter().map(|base| base.roots.len());
    let components = inventory.releases.iter().map(|r| r.components.len());
    let members = inventory.catalogs.iter().map(|c| c.members.len());
    let counted = [
        ("images", inventory.images.len(), Limits::IMAGES),
        (
            "OCI manifests",
            inventory.manifests.len(),
            Limits::MANIFESTS,
        ),
        ("blobs", inventory.blobs.len(), Limits::BLOBS),
        ("extents", extents.sum(), Limits::EXTENTS),
        ("digests in rows", edges.sum(), Limits::EDGES),
        ("URLs", urls.sum(), Limits::URLS),
        ("attachments", attached.sum(), Limits::ATTACHED),
        ("platforms in filters", platforms.sum(), Limits::PLATFORMS),
        ("bases", inventory.bases.len(), Limits::BASES),
        ("roots of bases", roots.sum(), Limits::BASE_ROOTS),
        ("releases", inventory.releases.len(), Limits::CONTENTS),
        ("components", components.sum(), Limits::COMPONENTS),
        ("catalogs", inventory.catalogs.len(), Limits::CONTENTS),
        ("members of catalogs", members.sum(), Limits::MEMBERS),
    ];
    match counted.iter().find(|(_, count, cap)| *count as u64 > *cap) {
        Some((what, count, cap)) => refused(11, format!("it has {count} {what}, more than {cap}")),
        None => Ok(()),
    }
}

/// checks that lists are strictly ascending.
fn orders(inventory: &Inventory) -> Result<()> {
    let ascending = |name: &str, sorted: bool| match sorted {
        true => Ok(()),
        false => refused(14, format!("`{name}` is not strictly ascending")),
    };
    ascending("bases", inventory.bases.is_sorted_by(|a, b| a.id < b.id))?;
    for base in &inventory.bases {
        ascending("bases.roots", base.roots.is_sorted_by(|a, b| a < b))?;
    }
    ascending(
        "blobs",
        inventory.blobs.is_sorted_by(|a, b| a.digest < b.digest),
    )?;
    ascending(
        "manifests",
        inventory.manifests.is_sorted_by(|a, b| a.digest < b.digest),
    )?;
    // Compared as texts; each text is built once.
    let requested: Vec<String> = inventory
        .images
        .iter()
        .map(|image| image.requested.to_string())
        .collect();
    ascending("images", requested.is_sorted_by(|a, b| a < b))?;
    for image in &inventory.images {
        ascending(
            "images.platforms",
            image.platforms.is_sorted_by(|a, b| a < b),
        )?;
        let attached = image
            .attached
            .is_sorted_by_key(|a| (a.root, a.subject, a.by, a.tag.as_ref()))
            && image
                .attached
                .windows(2)
                .all(|pair| pair.first() != pair.last());
        ascending("images.attached", attached)?;
    }
    Ok(())
}

/// checks that generations follow each other and that each ends with its metadata chunk.
fn chunk_origins(inventory: &Inventory, manifest: &BundleManifest) -> Result<()> {
    let same_numbers = inventory.chunks.len() == manifest.chunks.len()
        && inventory
            .chunks
            .iter()
            .zip(&manifest.chunks)
            .all(|(origin, chunk)| origin.number == chunk.number);
    if !same_numbers {
        return refused(
            29,
            "its chunks are not those of the bundle manifest".to_owned(),
        );
    }
    // The generation of the chunks being checked, and whether its metadata chunk was passed.
    let (mut generation, mut closed) = (0u64, true);
    let mut metadata = MetadataBytes::default();
    for (origin, chunk) in inventory.chunks.iter().zip(&manifest.chunks) {
        let number = chunk.number.number();
        let begins_next = closed && origin.generation.checked_sub(generation) == Some(1);
        if !begins_next && (closed || origin.generation != generation) {
            return refused(
                29,
                format!(
                    "chunk {number} is of generation {} where generation {generation} {}",
                    origin.generation,
                    if closed { "has ended" } else { "has not ended" }
                ),
            );
        }
        generation = origin.generation;
        closed = chunk.kind == ChunkKind::Metadata;
        decoded_length(number, origin.decoded, chunk)?;
        if closed && !metadata.add(origin.decoded, chunk.length) {
            let cap = Limits::METADATA;
            let fault = format!("the metadata chunks up to {number} have more than {cap} bytes");
            return refused(29, fault);
        }
    }
    if !closed || generation != manifest.generation {
        return refused(
            29,
            format!(
                "generation {} has no metadata chunk as its last one",
                manifest.generation
            ),
        );
    }
    Ok(())
}

/// Bytes of the metadata chunks that were passed: they are read, and decompressed, before their
/// content can be checked.
#[derive(Default)]
struct MetadataBytes {
    decoded: u64,
    stored: u64,
}

impl MetadataBytes {
    /// Adds a chunk. Returns false when the sums exceed [`Limits::METADATA`].
    fn add(&mut self, decoded: u64, stored: u64) -> bool {
        self.decoded = self.decoded.saturating_add(decoded);
        self.stored = self.stored.saturating_add(stored);
        self.decoded.max(self.stored) <= Limits::METADATA
    }
}

/// checks the length of the tar.
fn decoded_length(number: u32, decoded: u64, chunk: &ChunkEntry) -> Result<()> {
    let right = match chunk.kind {
        ChunkKind::Data => decoded == chunk.length,
        ChunkKind::Metadata => decoded.is_multiple_of(tar::UNIT),
    };
    if right {
        return Ok(());
    }
    refused(
        29,
        format!("chunk {number} cannot have a tar of {decoded} bytes"),
    )
}

/// The kind of each chunk, by number.
type Kinds = HashMap<ChunkId, ChunkKind>;

/// R-21, and from R-24 the rule which kind of chunk an extent lies in.
fn extent(extent: &Extent, of: &Digest, kind: ChunkKind, kinds: &Kinds) -> Result<()> {
    let number = extent.chunk.number();
    if extent.stored == 0 || extent.decoded == 0 {
        return refused(21, format!("an extent of `{of}` is empty"));
    }
    if extent.stored != extent.decoded {
        return refused(21, format!("a raw extent of `{of}` has two lengths"));
    }
    if !extent.offset.is_multiple_of(tar::UNIT) || extent.offset < 2 * tar::UNIT {
        return refused(
            21,
            format!("an extent of `{of}` begins at {}", extent.offset),
        );
    }
    if extent.stored >= tar::MAX_ENTRY {
        return refused(
            42,
            format!("an extent of `{of}` has {} bytes", extent.stored),
        );
    }
    match kinds.get(&extent.chunk) {
        Some(found) if *found == kind => Ok(()),
        Some(_) => refused(
            24,
            format!("an extent of `{of}` is in chunk {number}, which is of the wrong kind"),
        ),
        None => refused(
            24,
            format!("an extent of `{of}` is in chunk {number}, which does not exist"),
        ),
    }
}

/// checks a blob's row.
fn blob_entry(blob: &BlobEntry, inventory: &Inventory, kinds: &Kinds) -> Result<()> {
    let digest = &blob.digest;
    match &blob.place {
        BlobPlace::Carried(carried) => carried_blob(blob, carried, kinds),
        BlobPlace::Omitted { origin } => {
            let bases = &inventory.bases;
            match bases.binary_search_by(|base| base.id.cmp(origin)) {
                Ok(_) => Ok(()),
                Err(_) => refused(
                    25,
                    format!("`{digest}` is omitted, but its origin is not listed in `bases`"),
                ),
            }
        }
        BlobPlace::Foreign { .. } | BlobPlace::Missing { .. } => Ok(()),
    }
}

fn carried_blob(blob: &BlobEntry, carried: &Carried, kinds: &Kinds) -> Result<()> {
    let digest = &blob.digest;
    match carried.codec {
        Codec::Raw if !carried.needs.is_empty() || carried.memory != 0 || carried.scratch != 0 => {
            return refused(
                22,
                format!("`{digest}` has the codec raw, but lists requirements"),
            );
        }
        Codec::Raw => {}
    }
    // An empty list of extents adds up to a size of 0, so without this check any digest would
    // pass although no byte is ever hashed.
    if carried.extents.is_empty() && (blob.size != 0 || *digest != hash::sha256(b"")) {
        return refused(23, format!("`{digest}` is carried but has no extents"));
    }
    // Ascending extents let a reader hash every blob while it reads each chunk once, in order.
    let places = |piece: &Extent| (piece.chunk, piece.offset);
    if !carried.extents.is_sorted_by(|a, b| places(a) < places(b)) {
        return refused(23, format!("the extents of `{digest}` do not ascend"));
    }
    let mut sum = Some(0u64);
    for piece in &carried.extents {
        extent(piece, digest, ChunkKind::Data, kinds)?;
        sum = sum.and_then(|sum| sum.checked_add(piece.decoded));
    }
    if sum != Some(blob.size) {
        return refused(
            23,
            format!(
                "the extents of `{digest}` do not add up to {} bytes",
                blob.size
            ),
        );
    }
    Ok(())
}

/// R-26, as far as it can be checked without the bytes of the OCI manifest.
fn manifest_entry(entry: &ManifestEntry, inventory: &Inventory, kinds: &Kinds) -> Result<()> {
    let digest = &entry.digest;
    extent(&entry.extent, digest, ChunkKind::Metadata, kinds)?;
    if entry.extent.stored > Limits::OCI_MANIFEST {
        return refused(
            26,
            format!(
                "the OCI manifest `{digest}` has {} bytes",
                entry.extent.stored
            ),
        );
    }
    let mut named: Vec<&Digest> = entry
        .blobs
        .iter()
        .chain(&entry.children)
        .chain(&entry.omitted)
        .chain(&entry.subject)
        .collect();
    named.sort_unstable();
    if let Some(twice) = named.windows(2).find(|pair| pair.first() == pair.last()) {
        let twice = twice.first().map(ToString::to_string).unwrap_or_default();
        return refused(26, format!("`{digest}` lists `{twice}` twice"));
    }
    if let Some(blob) = entry
        .blobs
        .iter()
        .find(|blob| inventory.blob(blob).is_none())
    {
        return refused(
            26,
            format!("`{digest}` names the blob `{blob}`, which has no row"),
        );
    }
    if let Some(child) = entry
        .children
        .iter()
        .find(|child| inventory.manifest(child).is_none())
    {
        return refused(
            26,
            format!("`{digest}` names the child `{child}`, which has no row"),
        );
    }
    Ok(())
}

/// checks that extents follow each other as the entries of a tar do, without overlaps or
/// gaps. In a metadata chunk this covers the OCI manifests at the start.
fn layout(inventory: &Inventory, manifest: &BundleManifest, placement: &Placement) -> Result<()> {
    for (chunk, origin) in manifest.chunks.iter().zip(&inventory.chunks) {
        let number = chunk.number.number();
        let mut header = tar::MARKER;
        let mut previous: Option<Digest> = None;
        for extent in placement.chunk(chunk.number) {
            let digest = &extent.digest;
            if header.checked_add(tar::UNIT) != Some(extent.offset) {
                return refused(
                    24,
                    format!(
                        "`{digest}` begins at {} in chunk {number}, where a header is at {header}",
                        extent.offset
                    ),
                );
            }
            if extent.is_manifest && previous.is_some_and(|previous| previous >= *digest) {
                return refused(46, format!("`{digest}` is out of order in chunk {number}"));
            }
            previous = Some(*digest);
            header = match tar::end_of_data(extent.offset, extent.stored) {
                Some(next) if next <= origin.decoded => next,
                _ => {
                    return refused(
                        24,
                        format!("an extent of `{digest}` ends after the end of chunk {number}"),
                    );
                }
            };
        }
        let end = header.checked_add(tar::TRAILER);
        let right = match chunk.kind {
            ChunkKind::Data => end == Some(origin.decoded),
            ChunkKind::Metadata => end.is_some_and(|end| end <= origin.decoded),
        };
        if !right {
            return refused(
                24,
                format!(
                    "chunk {number} has a tar of {} bytes and its extents end at {header}",
                    origin.decoded
                ),
            );
        }
    }
    Ok(())
}

/// Checks R-27, and that every blob and OCI manifest is reached from an image.
fn images(inventory: &Inventory) -> Result<()> {
    let graph = Graph::new(inventory);
    let below = graph.below();
    let mut attachments = Attachments::new(&graph, inventory.manifests.len());
    let mut roots = Vec::new();
    for image in &inventory.images {
        image_entry(image, inventory, &graph, &below)?;
        image_names::check(image, inventory)?;
        attachments.check(image)?;
        roots.extend(graph.roots(image));
    }
    let reached = Walk::new(&graph).reach(&roots);
    let mut is_reached = vec![false; inventory.manifests.len()];
    for row in reached.manifests {
        if let Some(is_reached) = is_reached.get_mut(row as usize) {
            *is_reached = true;
        }
    }
    left_out(inventory)?;
    let rows = inventory.manifests.iter().zip(is_reached);
    if let Some((orphan, _)) = rows.into_iter().find(|(_, is_reached)| !is_reached) {
        return refused(
            27,
            format!("no image reaches the OCI manifest `{}`", orphan.digest),
        );
    }
    // Every manifest is reached, so a blob that any manifest names is reached as well.
    let mut is_named = vec![false; inventory.blobs.len()];
    for blob in reached.blobs {
        if let Some(is_named) = is_named.get_mut(blob as usize) {
            *is_named = true;
        }
    }
    let blobs = inventory.blobs.iter().zip(is_named);
    if let Some((orphan, _)) = blobs.into_iter().find(|(_, is_named)| !is_named) {
        return refused(
            26,
            format!("no OCI manifest names the blob `{}`", orphan.digest),
        );
    }
    Ok(())
}

/// R-26 for indexes that leave children out, as far as it can be checked without their bytes.
fn left_out(inventory: &Inventory) -> Result<()> {
    let fault = match Filters::new(inventory) {
        Ok(_) => return Ok(()),
        Err(PlatformFilterError::TooMany) => {
            let most = Limits::FILTERS;
            return refused(
                11,
                format!("its images have more than {most} different filters"),
            );
        }
        Err(PlatformFilterError::Index(index)) => {
            format!("the index `{index}` leaves children out, and an image of it has no filter")
        }
        Err(PlatformFilterError::Empty(index)) => {
            format!("the index `{index}` leaves all children out")
        }
    };
    refused(26, fault)
}

fn image_entry(
    image: &ImageEntry,
    inventory: &Inventory,
    graph: &Graph<'_>,
    below: &[Reach],
) -> Result<()> {
    let name = &image.requested;
    let attached = image.attached.iter().map(|a| &a.root);
    if let Some(root) = image
        .root
        .iter()
        .chain(attached)
        .find(|root| inventory.manifest(root).is_none())
    {
        return refused(27, format!("`{root}` is a root and has no row"));
    }
    let mut missing = image.root.is_none();
    for root in graph.roots(image) {
        let below = below.get(root as usize).copied().unwrap_or_default();
        // The deepest image allowed lies below INDEX_DEPTH indexes.
        if below.levels as usize > Limits::INDEX_DEPTH + 1 {
            let depth = Limits::INDEX_DEPTH;
            return refused(
                27,
                format!("`{name}` is nested in more than {depth} indexes, or they form a circle"),
            );
        }
        missing |= below.missing;
    }
    for (by, state, kind) in [
        (AttachedBy::CosignTag, image.cosign, "cosign"),
        (AttachedBy::Referrers, image.referrers, "referrers"),
    ] {
        let has_some = image.attached.iter().any(|a| a.by == by);
        let fits = match state {
            AttachmentState::Carried => has_some,
            AttachmentState::Absent | AttachmentState::NotAsked => !has_some,
            AttachmentState::Unknown => true,
        };
        if !fits {
            return refused(
                27,
                format!("`{kind}` of `{name}` does not fit what is attached to it"),
            );
        }
    }
    if missing && image.is_whole() {
        return refused(27, format!("`{name}` is incomplete but has no `problem`"));
    }
    Ok(())
}
