//! Completes an incomplete bundle: keeps what it holds, and requests the missing content again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attached;
use super::request::Request;
use super::resolve::{resolve_pinned, unresolved};
use crate::bundle::finding::as_error;
use crate::bundle::read::read_metadata;
use crate::error::{Error, Result};
use crate::model::{
    AttachedBy, AttachmentState, BlobPlace, Digest, ImageEntry, RawManifest, reach,
};
use crate::oci;
use crate::ops::context::Context;
use crate::plan::export::{KnownBundle, Resolution, ResolvedBlob, ResolvedManifest};
use crate::sys::media::{DirMedia, Media};

/// Resolves only the incomplete images; takes the others as they were sealed.
pub(super) async fn resolve(
    request: &Request,
    known: &KnownBundle,
    context: &Context,
) -> Result<Resolution> {
    let is_lacking = |image: &ImageEntry| !image.is_whole() && !is_made(known, image);
    let lacking: BTreeMap<_, _> = known
        .inventory
        .images
        .iter()
        .filter(|image| is_lacking(image) || is_unknown(image))
        .map(|image| (image.requested.clone(), image.root))
        .collect();
    let mut resolution =
        resolve_pinned(&request.client, &lacking, &request.selection, context).await?;
    for image in &mut resolution.images {
        let before = known.inventory.image(&image.requested);
        image.standalone = before.is_some_and(|before| before.standalone);
    }
    let raws = read_manifests(request, known)?;
    refuse_other_sizes(&mut resolution, known);
    for image in &mut resolution.images {
        let before = known.inventory.image(&image.requested);
        if let Some(before) = before.filter(|before| before.is_whole()) {
            *image = merged(before, image);
        }
    }
    for image in known
        .inventory
        .images
        .iter()
        .filter(|image| !is_lacking(image))
    {
        add_sealed(&mut resolution, known, &raws, image)?;
        if lacking.contains_key(&image.requested) {
            continue;
        }
        resolution.images.push(ImageEntry {
            problem: None,
            ..image.clone()
        });
    }
    // The members of releases and catalogs were fixed by the first generation.
    resolution.catalogs.clone_from(&known.inventory.catalogs);
    resolution.releases.clone_from(&known.inventory.releases);
    resolution.left_out.clone_from(&known.inventory.left_out);
    Ok(resolution)
}

/// True if images of the bundle have attachments that are not fully known. Then the registry is
/// asked again, even if the bundle is complete.
pub(super) fn asks_again(known: &KnownBundle) -> bool {
    known.inventory.images.iter().any(is_unknown)
}

fn is_unknown(image: &ImageEntry) -> bool {
    image.is_whole() && image.is_unknown()
}

/// Merges the attachments of a complete image found before and now. Sealed attachments stay even
/// if the registry does not answer now.
fn merged(before: &ImageEntry, now: &ImageEntry) -> ImageEntry {
    if !now.is_whole() || now.root != before.root {
        return before.clone();
    }
    let mut attached = before.attached.clone();
    attached.extend(now.attached.iter().cloned());
    attached.sort_by(attached::compare_attachments);
    attached.dedup();
    let state = |by, before, now| match now {
        AttachmentState::Unknown => before,
        _ if attached.iter().any(|attachment| attachment.by == by) => AttachmentState::Carried,
        now => now,
    };
    ImageEntry {
        cosign: state(AttachedBy::CosignTag, before.cosign, now.cosign),
        referrers: state(AttachedBy::Referrers, before.referrers, now.referrers),
        attached,
        ..before.clone()
    }
}

/// True if an image was made by an earlier run. No registry has its manifests, and its missing
/// blobs, if any, belong to the original.
fn is_made(known: &KnownBundle, image: &ImageEntry) -> bool {
    let mut catalogs = known.inventory.catalogs.iter();
    image.root.is_some()
        && catalogs.any(|entry| entry.image == image.requested && entry.original.is_some())
}

fn read_manifests(request: &Request, known: &KnownBundle) -> Result<BTreeMap<Digest, RawManifest>> {
    let media: Arc<dyn Media> = Arc::new(DirMedia::open(&request.to)?);
    let mut raws = BTreeMap::new();
    let findings = read_metadata(media.as_ref(), &known.manifest, &known.inventory, |raw| {
        raws.insert(raw.digest, raw);
    })?;
    match as_error("The bundle cannot be completed:", &findings) {
        Some(error) => Err(error.hint("export again into another directory")),
        None => Ok(raws),
    }
}

/// Marks images as unresolved if they declare another size for a blob than the sealed bundle does.
/// The sealed blob was hashed, so the new manifest is wrong.
fn refuse_other_sizes(resolution: &mut Resolution, known: &KnownBundle) {
    let sealed = |digest: &Digest| {
        let blob = known.inventory.blob(digest)?;
        (!matches!(blob.place, BlobPlace::Missing { .. })).then_some(blob.size)
    };
    let conflicts: BTreeMap<Digest, (u64, u64)> = resolution
        .blobs
        .iter()
        .filter_map(|(digest, blob)| Some((*digest, (blob.size, sealed(digest)?))))
        .filter(|(_, (new, old))| new != old)
        .collect();
    if conflicts.is_empty() {
        return;
    }
    let Resolution {
        images,
        manifests,
        blobs,
        ..
    } = resolution;
    let (mut kept_manifests, mut kept_blobs) = (BTreeSet::new(), BTreeSet::new());
    for image in images {
        let (reached, needed) = needs(image, manifests);
        match needed
            .iter()
            .find_map(|digest| conflicts.get_key_value(digest))
        {
            Some((digest, (new, old))) => {
                let problem = format!(
                    "its manifest says that {digest} has {new} bytes, the bundle holds it with {old}"
                );
                *image = unresolved(image.clone(), problem);
            }
            None => {
                kept_manifests.extend(reached);
                kept_blobs.extend(needed);
            }
        }
    }
    manifests.retain(|digest, _| kept_manifests.contains(digest));
    blobs.retain(|digest, _| kept_blobs.contains(digest));
}

/// Returns digests of the manifests and blobs that an image needs, its attachments included.
fn needs(
    image: &ImageEntry,
    manifests: &BTreeMap<Digest, ResolvedManifest>,
) -> (BTreeSet<Digest>, BTreeSet<Digest>) {
    let mut reached = BTreeSet::new();
    let children = |digest: &Digest| Some(manifests.get(digest)?.children.as_slice());
    reach(image.roots(), &mut reached, children);
    let rows = reached.iter().filter_map(|digest| manifests.get(digest));
    let needed = rows.flat_map(|manifest| &manifest.blobs).copied().collect();
    (reached, needed)
}

/// Adds an image's manifests and blobs as recorded in the inventory.
fn add_sealed(
    resolution: &mut Resolution,
    known: &KnownBundle,
    raws: &BTreeMap<Digest, RawManifest>,
    image: &ImageEntry,
) -> Result<()> {
    for entry in known.inventory.reach(image.roots()) {
        let digest = entry.digest;
        let Some(raw) = raws.get(&digest) else {
            continue;
        };
        let facts = oci::parse(&raw.bytes, Some(&raw.media_type))
            .map_err(|error| Error::internal("A sealed manifest cannot be read", error))?
            .facts;
        for blob in &facts.blobs {
            let foreign = blob
                .media_type
                .is_foreign_layer()
                .then(|| blob.urls.clone());
            let resolved = resolution
                .blobs
                .entry(blob.digest)
                .or_insert_with(|| ResolvedBlob {
                    size: blob.size,
                    from: Vec::new(),
                    foreign: foreign.clone(),
                });
            resolved.merge_foreign(foreign);
            resolved.add_places([image.source.clone()]);
        }
        resolution
            .manifests
            .entry(digest)
            .or_insert_with(|| ResolvedManifest {
                omitted: entry.omitted.clone(),
                platform: entry.platform.clone(),
                ..ResolvedManifest::new(raw.clone(), &facts)
            });
    }
    Ok(())
}
