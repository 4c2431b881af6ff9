//! Expands the releases and catalogs of a request into references of images.
//!
//! Runs before references are resolved. Content that cannot be read ends the export before a byte
//! is written: without it, the images that belong to the bundle are unknown.

mod catalog;
mod left_out;
mod release;
mod subset;

use std::collections::{BTreeMap, BTreeSet};

use super::request::Request;
use super::selection::CatalogSelection;
use crate::error::{Error, Result};
use crate::image::catalog::MadeImage;
use crate::model::{
    AttachmentState, CatalogEntry, Digest, ImageEntry, LeftOut, Reference, ReleaseEntry,
};
use crate::oci;
use crate::ops::context::Context;
use crate::ops::release::selection::Selected;
use crate::plan::export::{Resolution, ResolvedBlob, ResolvedManifest};

/// The expanded request: all references, releases and catalogs.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// All references: requested ones, and members of releases and catalogs. The digest is set for
    /// content that was read or verified already, so that a moved tag does not matter.
    pub(super) references: BTreeMap<Reference, Option<Digest>>,
    /// Catalogs, with their members.
    pub(super) catalogs: Vec<CatalogEntry>,
    /// Images left out on purpose.
    pub(super) left_out: Vec<LeftOut>,
    /// Releases, with their components.
    pub(super) releases: Vec<ReleaseEntry>,
    /// Results of requests for releases by version.
    pub(super) selected: Vec<Selected>,
    /// Images of filtered catalogs, made here.
    pub(super) made: Vec<Made>,
    /// Packages kept of filtered catalogs, with the reason for each.
    pub(super) selections: Vec<CatalogSelection>,
}

/// An image made here, which replaces the requested one.
#[derive(Debug)]
pub(super) struct Made {
    /// The requested reference.
    pub(super) reference: Reference,
    /// The image that was made.
    pub(super) image: MadeImage,
}

/// Reads releases and catalogs, and collects all references of a request.
pub(super) async fn gather(request: &Request, context: &Context) -> Result<Gathered> {
    let asked = request.references.iter();
    let mut references: BTreeMap<_, _> = asked.map(|asked| (asked.clone(), None)).collect();
    let mut catalogs = catalog::gather(request, context).await?;
    let releases = release::gather(request, context).await?;
    let components = releases.entries.iter().flat_map(|entry| &entry.components);
    let components = components.map(|component| (component.image.clone(), component.image.digest));
    references.extend(components);
    let payloads = releases.pinned.into_iter();
    references.extend(payloads.map(|(payload, root)| (payload, Some(root))));
    if let Some(mapping) = &request.mapping {
        let others = references.keys();
        subset::choose(
            mapping,
            others,
            &mut catalogs.entries,
            &mut catalogs.references,
        )?;
    }
    references.extend(catalogs.references);
    refuse_both(&references, &catalogs.made)?;
    catalogs.left_out.check_known(&request.leave_out)?;
    let fixed = releases.entries.iter().map(|entry| &entry.image);
    let fixed = fixed.chain(
        releases
            .entries
            .iter()
            .flat_map(|entry| entry.components.iter().map(|component| &component.image)),
    );
    let fixed: BTreeSet<Reference> = fixed
        .chain(catalogs.entries.iter().map(|entry| &entry.image))
        .cloned()
        .collect();
    let left_out = catalogs
        .left_out
        .finish(&request.leave_out, &mut references, &fixed)?;
    Ok(Gathered {
        references,
        catalogs: catalogs.entries,
        left_out,
        releases: releases.entries,
        selected: releases.selected,
        made: catalogs.made,
        selections: catalogs.selections,
    })
}

/// Refuses a reference that would mean both the original and the image made from it. The original
/// may be named by the operator, a release, or another catalog.
fn refuse_both(references: &BTreeMap<Reference, Option<Digest>>, made: &[Made]) -> Result<()> {
    match made
        .iter()
        .find(|made| references.contains_key(&made.reference))
    {
        Some(Made { reference, .. }) => {
            let message =
                format!("{reference} is requested both unfiltered and as a filtered catalog");
            Err(Error::usage(message).hint(
                "export the unfiltered image, and the release or catalog that names it, into \
                 another bundle",
            ))
        }
        None => Ok(()),
    }
}

/// Adds images that were made here to the resolved ones.
pub(super) fn add_made(resolution: &mut Resolution, made: &[Made]) -> Result<()> {
    for Made { reference, image } in made {
        resolution.made.extend(image.blobs.iter().map(|b| b.digest));
        for (raw, platform) in &image.manifests {
            let facts = oci::parse(&raw.bytes, Some(&raw.media_type))
                .map_err(|error| Error::internal("A generated manifest is invalid", error))?
                .facts;
            for blob in &facts.blobs {
                let from = match resolution.made.contains(&blob.digest) {
                    true => None,
                    false => Some(reference.repository.clone()),
                };
                let resolved = resolution.blobs.entry(blob.digest);
                let resolved = resolved.or_insert_with(|| ResolvedBlob {
                    size: blob.size,
                    from: Vec::new(),
                    foreign: None,
                });
                resolved.add_places(from);
            }
            let resolved = ResolvedManifest {
                platform: platform.clone(),
                ..ResolvedManifest::new(raw.clone(), &facts)
            };
            resolution.manifests.entry(raw.digest).or_insert(resolved);
        }
        let latest = || "latest".parse().ok();
        resolution.images.push(ImageEntry {
            tag: match (&reference.tag, reference.digest) {
                (None, None) => latest(),
                (tag, _) => tag.clone(),
            },
            root: Some(image.root),
            // The original's attachments refer to another digest.
            cosign: AttachmentState::NotAsked,
            source: reference.repository.clone(),
            problem: None,
            attached: Vec::new(),
            platforms: Vec::new(),
            referrers: AttachmentState::NotAsked,
            requested: reference.clone(),
            standalone: false,
            fetched_from: reference.repository.clone(),
        });
    }
    Ok(())
}

/// Adds releases and catalogs to the resolution, and marks members that are also requested by
/// themselves. `asked` are the references that the request names itself.
pub(super) fn add_to(resolution: &mut Resolution, gathered: Gathered, asked: &BTreeSet<Reference>) {
    let (catalogs, releases) = (gathered.catalogs, gathered.releases);
    let left_out = gathered.left_out;
    let in_catalogs = catalogs.iter().flat_map(|catalog| {
        let members = catalog.members.iter().map(|member| &member.image);
        members.chain(std::iter::once(&catalog.image))
    });
    let in_releases = releases.iter().flat_map(|release| {
        let components = release.components.iter().map(|component| &component.image);
        components.chain(std::iter::once(&release.image))
    });
    let belonging: BTreeSet<&Reference> = in_catalogs.chain(in_releases).collect();
    for image in &mut resolution.images {
        image.standalone = belonging.contains(&image.requested) && asked.contains(&image.requested);
    }
    resolution.catalogs = catalogs;
    resolution.releases = releases;
    resolution.left_out = left_out;
}
