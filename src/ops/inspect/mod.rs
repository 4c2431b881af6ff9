//! `airferry inspect`: lists the content of a bundle, as far as it can be read.
//!
//! Reads documents and small configs but not whole chunks, so it is quick for any size. Damaged
//! parts are left out and reported.

mod owners;
mod report;
mod request;
mod sums;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use report::{BaseLine, ChunkLine, Depth, ImageDetail, Report, SignerLine};
pub use request::Request;

use owners::{OwnedBy, Owners};
use sums::ImageSums;

use super::context::Context;
use super::export::CatalogLine;
use super::release::ReleaseLine;
use crate::bundle::open::{Examination, Scope, UnsignedPolicy, examine};
use crate::error::Result;
use crate::model::{BlobPlace, BundleId, Graph, Inventory};
use crate::sys::media::{DirMedia, Media};

/// Inspects a bundle.
pub fn inspect(request: &Request, _context: &Context) -> Result<Report> {
    let media: Arc<dyn Media> = Arc::new(DirMedia::open(&request.bundle)?);
    let unproven = UnsignedPolicy::reported(&request.trust, request.allow_unsigned);
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
        left_out: Vec::new(),
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
    report.left_out.clone_from(&inventory.left_out);
    let graph = Graph::new(inventory);
    let owners = Owners::of(inventory, &graph);
    let mut sums = ImageSums::new(inventory, &graph, media);
    let mut unique = vec![0u64; inventory.images.len()];
    let blobs = inventory.blobs.iter().zip(&owners.of_blobs);
    for (blob, owner) in blobs.clone() {
        if let OwnedBy::One(image) = owner
            && let Some(unique) = unique.get_mut(*image)
        {
            *unique = unique.saturating_add(blob.size);
        }
    }
    for (image, unique_bytes) in inventory.images.iter().zip(unique) {
        let content = sums.of(image);
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
        **owner == OwnedBy::Several && matches!(blob.place, BlobPlace::Carried(_))
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
