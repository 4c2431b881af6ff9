//! Catalogs of a request: read before anything is copied, so that all images are known that
//! they name.

use std::collections::BTreeMap;

use super::super::request::{CatalogRequest, Request};
use crate::model::{CatalogEntry, CatalogMember, Digest, Reference};
use crate::ops::blocking;
use crate::ops::catalog::{self, CatalogImage};
use crate::ops::context::Context;
use crate::ops::error::{Error, Result};

/// Problems of a catalog that are told one by one.
const TOLD: usize = 10;

/// The catalogs of a request.
#[derive(Debug, Default)]
pub(super) struct Catalogs {
    /// The catalogs, with the images that they name.
    pub(super) entries: Vec<CatalogEntry>,
    /// Catalogs and members, each with the digest that it is known to mean: a catalog's tag may
    /// point elsewhere by the time its image is copied.
    pub(super) references: BTreeMap<Reference, Option<Digest>>,
}

/// Reads the catalogs that a request names.
pub(super) async fn gather(request: &Request, context: &Context) -> Result<Catalogs> {
    let mut catalogs = Catalogs::default();
    for wanted in &request.catalogs {
        let (entry, root) = read(request, wanted, context).await?;
        for member in &entry.members {
            let image = member.image.clone();
            catalogs.references.insert(image, member.image.digest);
        }
        catalogs.references.insert(entry.image.clone(), Some(root));
        catalogs.entries.push(entry);
    }
    Ok(catalogs)
}

/// Reads one catalog. The whole catalog is carried: its image stays the original.
async fn read(
    request: &Request,
    wanted: &CatalogRequest,
    context: &Context,
) -> Result<(CatalogEntry, Digest)> {
    let reference = wanted.reference.clone();
    let filter = &request.index_filter;
    let (source, image) = CatalogImage::find(&request.client, &reference, filter, context).await?;
    let context = context.clone();
    blocking(move || {
        let catalog = catalog::read(&source, &image)?;
        let problems = catalog.problems();
        for problem in problems.iter().take(TOLD) {
            context.warn(format!("catalog {}: {problem}", image.name));
        }
        if let Some(more) = problems.len().checked_sub(TOLD).filter(|more| *more > 0) {
            context.warn(format!(
                "catalog {}: {more} more problems, see `airferry catalog list`",
                image.name
            ));
        }
        let images = catalog
            .images()
            .map_err(|bad| catalog::bad_images(&image.name, &bad))?;
        if images.is_empty() {
            let message = format!("The catalog {} names no image", image.name);
            return Err(Error::usage(message));
        }
        let members = images.into_iter().map(|image| CatalogMember {
            image: image.reference,
            written: image.text,
        });
        let mut members: Vec<CatalogMember> = members.collect();
        members.sort();
        let entry = CatalogEntry {
            image: reference,
            filter: None,
            format: image.format(),
            members,
            original: None,
        };
        Ok((entry, image.root))
    })
    .await
}
