//! Reads the catalogs of a request before anything is copied, so that all images that they name
//! are known. Builds the image of a catalog that is filtered.

use std::collections::{BTreeMap, BTreeSet};

use super::super::request::{CatalogRequest, Request};
use super::super::selection::CatalogSelection;
use super::Made;
use super::left_out::LeftOuts;
use crate::content::catalog::{Catalog, CatalogImages, Edit, NamedBy};
use crate::error::{Class, Error, Result};
use crate::image::Source;
use crate::image::catalog::{self, MadeImage, PlatformImage};
use crate::model::{CatalogEntry, CatalogFormat, Digest, MalformedImage, Platform, Reference};
use crate::ops::blocking;
use crate::ops::catalog::find_catalog;
use crate::ops::context::Context;
use crate::plan::catalog::{CatalogFilter, Kept, edits, filter};
use crate::plan::leave_out::LeaveOut;

/// Number of a catalog's problems that are reported one by one.
const MAX_REPORTED: usize = 10;

/// The catalogs of a request.
#[derive(Debug, Default)]
pub(super) struct Catalogs {
    /// The catalogs, with the images that they name.
    pub(super) entries: Vec<CatalogEntry>,
    /// Catalogs and members, each with its resolved digest if known: a catalog's tag may move
    /// before its image is copied. Does not contain filtered catalogs.
    pub(super) references: BTreeMap<Reference, Option<Digest>>,
    /// Images of filtered catalogs, made here.
    pub(super) made: Vec<Made>,
    /// Packages kept of filtered catalogs, with the reason for each.
    pub(super) selections: Vec<CatalogSelection>,
    /// Images that are left out on purpose.
    pub(super) left_out: LeftOuts,
}

/// Result of reading one catalog.
struct ReadCatalog {
    entry: CatalogEntry,
    root: Digest,
    made: Option<MadeImage>,
    selection: Option<CatalogSelection>,
    left_out: LeftOuts,
}

/// Reads the catalogs that a request names.
pub(super) async fn gather(request: &Request, context: &Context) -> Result<Catalogs> {
    let mut catalogs = Catalogs::default();
    for wanted in &request.catalogs {
        let read = read(request, wanted, context).await?;
        for member in &read.entry.members {
            let image = member.image.clone();
            catalogs.references.insert(image, member.image.digest);
        }
        let reference = read.entry.image.clone();
        match read.made {
            Some(image) => catalogs.made.push(Made { reference, image }),
            None => {
                catalogs.references.insert(reference, Some(read.root));
            }
        }
        catalogs.selections.extend(read.selection);
        catalogs.left_out.extend(read.left_out);
        catalogs.entries.push(read.entry);
    }
    Ok(catalogs)
}

/// Reads one catalog.
async fn read(
    request: &Request,
    wanted: &CatalogRequest,
    context: &Context,
) -> Result<ReadCatalog> {
    let CatalogRequest { reference, filter } = wanted.clone();
    let index = &request.index_filter;
    let (source, image) = find_catalog(&request.client, &reference, index, context).await?;
    let platforms = request.selection.platforms.clone();
    let leave_out = request.leave_out.clone();
    let context = context.clone();
    blocking(move || {
        let filter = filter.filter(|filter| !filter.keeps_everything());
        if filter.is_some() && image.format() == CatalogFormat::Sqlite {
            return Err(catalog::cannot_filter_database(&image.name));
        }
        let index = catalog::read(&source, &image)?;
        warn_of_problems(&index, &image, &context);
        match filter {
            None => whole_catalog(reference, index, &image, &leave_out),
            Some(filter) => {
                let wanted = Wanted {
                    filter: &filter,
                    platforms: &platforms,
                    leave_out: &leave_out,
                };
                filtered_catalog(&source, reference, index, &image, &wanted, &context)
            }
        }
    })
    .await
}

/// What is wanted of a catalog.
struct Wanted<'a> {
    filter: &'a CatalogFilter,
    platforms: &'a [Platform],
    leave_out: &'a BTreeSet<LeaveOut>,
}

/// Warns of problems in a catalog.
fn warn_of_problems(catalog: &Catalog, image: &PlatformImage, context: &Context) {
    let problems = catalog.problems();
    for problem in problems.iter().take(MAX_REPORTED) {
        context.warn(format!("catalog {}: {problem}", image.name));
    }
    if let Some(more) = problems
        .len()
        .checked_sub(MAX_REPORTED)
        .filter(|more| *more > 0)
    {
        context.warn(format!(
            "catalog {}: {more} more problems, see `airferry catalog list`",
            image.name
        ));
    }
}

/// Returns the entry of a catalog that is carried whole: its image stays the original.
fn whole_catalog(
    reference: Reference,
    mut catalog: Catalog,
    image: &PlatformImage,
    leave_out: &BTreeSet<LeaveOut>,
) -> Result<ReadCatalog> {
    let mut left_out = LeftOuts::default();
    left_out.note_names(&catalog);
    let named = named(&mut catalog, image, leave_out, &mut left_out)?;
    let entry = CatalogEntry {
        image: reference,
        filter: None,
        format: image.format(),
        members: named.members(),
        original: None,
        malformed: malformed(&named, &image.name)?,
    };
    Ok(ReadCatalog {
        entry,
        root: image.root,
        made: None,
        selection: None,
        left_out,
    })
}

/// Filters a catalog and makes its image. If the filter keeps everything, the original is used.
fn filtered_catalog(
    source: &Source,
    reference: Reference,
    mut index: Catalog,
    image: &PlatformImage,
    wanted: &Wanted<'_>,
    context: &Context,
) -> Result<ReadCatalog> {
    let kept = filter(&index, wanted.filter).map_err(|error| {
        Error::usage(format!("catalog {}: {error}", image.name))
            .hint("`airferry catalog list` shows packages, channels and versions")
    })?;
    for warning in &kept.warnings {
        context.warn(format!("catalog {}: {warning}", image.name));
    }
    let selection = Some(CatalogSelection::of(reference.clone(), &kept));
    if is_all(&index, &kept) {
        let read = whole_catalog(reference, index, image, wanted.leave_out)?;
        return Ok(ReadCatalog { selection, ..read });
    }
    let made = catalog::rebuild(source, image, &reference, &index, &kept, wanted.platforms)?;
    context.warn(format!(
        "catalog {}: exported filtered, with the new digest {}; signatures of the original ({}) \
         are not valid for it and are left out",
        image.name, made.root, image.root
    ));
    let mut left_out = LeftOuts::default();
    left_out.note_names(&index);
    index.bundles.retain(|b| kept.has(&b.package, &b.name));
    index.other_images.retain(|(by, _)| match by {
        NamedBy::Document { package, .. } => {
            let package = package.as_ref();
            package.is_none_or(|package| kept.packages.contains_key(&**package))
        }
        NamedBy::Bundle { .. } => true,
    });
    let named = named(&mut index, image, wanted.leave_out, &mut left_out)?;
    let entry = CatalogEntry {
        image: reference,
        filter: Some(wanted.filter.to_string()),
        format: image.format(),
        members: named.members(),
        original: Some(image.root),
        malformed: malformed(&named, &image.name)?,
    };
    Ok(ReadCatalog {
        entry,
        root: made.root,
        made: Some(made),
        selection,
        left_out,
    })
}

/// True if the filter leaves out and changes nothing.
fn is_all(catalog: &Catalog, kept: &Kept) -> bool {
    let edits = edits(catalog, kept);
    let documents = catalog.packages.len()
        + catalog.channels.len()
        + catalog.bundles.len()
        + catalog.deprecations.len()
        + catalog.others.len();
    edits.len() == documents && edits.values().all(|edit| *edit == Edit::Keep)
}

/// Returns the images that a catalog names, without those that are left out. Fails if it names
/// none.
fn named(
    catalog: &mut Catalog,
    image: &PlatformImage,
    leave_out: &BTreeSet<LeaveOut>,
    left_out: &mut LeftOuts,
) -> Result<CatalogImages> {
    let all = catalog.images();
    if all.images.is_empty() && all.bad.is_empty() {
        let message = format!("The catalog {} names no image", image.name);
        return Err(Error::usage(message));
    }
    Ok(left_out.take_from(catalog, leave_out))
}

/// Returns the strings that are no references, for the inventory. Fails if there are too many.
fn malformed(named: &CatalogImages, name: &str) -> Result<Vec<MalformedImage>> {
    let rows = named.malformed();
    if rows.len() > MalformedImage::ROWS {
        let (rows, most) = (rows.len(), MalformedImage::ROWS);
        let message = format!(
            "The catalog {name} contains {rows} invalid image references, more than the {most} \
             that a bundle can record"
        );
        return Err(Error::new(Class::VerificationFailed, message));
    }
    Ok(rows)
}
