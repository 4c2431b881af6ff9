//! Content that names images: what a release or a catalog adds to the references of a request.
//!
//! Runs before anything is resolved. What cannot be read here ends the export before a byte is
//! written: without it nobody knows what belongs to the bundle.

mod catalog;

use std::collections::{BTreeMap, BTreeSet};

use super::request::Request;
use crate::model::{CatalogEntry, Digest, Reference, ReleaseEntry};
use crate::ops::context::Context;
use crate::ops::error::Result;
use crate::plan::export::Resolution;

/// Everything that a request stands for.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// All references: those asked for, and the members of releases and catalogs; with the
    /// digest of what was read and judged already, wherever its tag points by now.
    pub(super) references: BTreeMap<Reference, Option<Digest>>,
    /// Catalogs, with their members.
    pub(super) catalogs: Vec<CatalogEntry>,
    /// Releases, with their components.
    pub(super) releases: Vec<ReleaseEntry>,
}

/// Finds out what a request stands for.
pub(super) async fn gather(request: &Request, context: &Context) -> Result<Gathered> {
    let asked = request.references.iter();
    let mut references: BTreeMap<_, _> = asked.map(|asked| (asked.clone(), None)).collect();
    let catalogs = catalog::gather(request, context).await?;
    references.extend(catalogs.references);
    Ok(Gathered {
        references,
        catalogs: catalogs.entries,
        ..Gathered::default()
    })
}

/// Puts releases and catalogs with the resolved images. `asked` are the references that the
/// request names itself.
pub(super) fn add_to(resolution: &mut Resolution, gathered: Gathered, asked: &BTreeSet<Reference>) {
    let (catalogs, releases) = (gathered.catalogs, gathered.releases);
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
}
