//! `airferry catalog list`: packages, channels, heads and versions of catalogs, and the sizes of
//! their images if they come from a bundle.

mod report;
mod request;
mod sizes;

use std::sync::Arc;

pub use report::{BundleReport, CatalogReport, ChannelReport, Head, PackageReport, Report};
pub use request::{CatalogOrigin, Request};

use report::catalog_report;
use sizes::Sizes;

use super::find_catalog;
use crate::bundle::finding::FindingKind;
use crate::bundle::open::{Bundle, Scope, Waivers, open_bundle};
use crate::error::{Class, Error, Result};
use crate::image::Source;
use crate::image::catalog::{self, PlatformImage};
use crate::ops::blocking;
use crate::ops::context::Context;
use crate::plan::index_filter::IndexFilter;

/// Lists the catalogs of a bundle, or one catalog of a registry.
pub async fn list(request: Request, context: &Context) -> Result<Report> {
    let Request {
        from,
        package,
        filter,
    } = request;
    let wanted = package.clone();
    let context = context.clone();
    let found = match from {
        CatalogOrigin::Registry { reference, client } => {
            let (source, image) = find_catalog(&client, &reference, &filter, &context).await?;
            blocking(move || {
                let catalog = catalog::read(&source, &image)?;
                let package = package.as_deref();
                Ok(Report {
                    authenticated: None,
                    catalogs: vec![catalog_report(&catalog, reference, &image, package, None)],
                    allow_unsigned: false,
                    hint: None,
                })
            })
            .await?
        }
        CatalogOrigin::Bundle {
            directory,
            trust,
            allow_unsigned,
        } => {
            let list = move || {
                // Without a trusted key, list the bundle and report it as not authenticated, as
                // `verify` does. With keys that did not sign it, refuse to read the bundle
                // unless an unsigned one was allowed.
                let waivers = Waivers {
                    unsigned: allow_unsigned || trust.exporters.is_empty(),
                    incomplete: true,
                };
                let bundle = open_bundle(&directory, &trust, waivers, Scope::Documents)?;
                let report = list_bundle(bundle, package.as_deref(), &filter, &context)?;
                Ok(Report {
                    allow_unsigned,
                    ..report
                })
            };
            blocking(list).await?
        }
    };
    check_package(&found.catalogs, wanted.as_deref())?;
    Ok(found)
}

fn list_bundle(
    bundle: Bundle,
    package: Option<&str>,
    filter: &IndexFilter,
    context: &Context,
) -> Result<Report> {
    let bundle = Arc::new(bundle);
    // The report shows the result of authentication, so it needs no warning.
    let notes = bundle.notes.iter();
    for note in notes.filter(|note| note.kind != FindingKind::NotAuthenticated) {
        context.warn(note.to_string());
    }
    let source = Source::bundle(Arc::clone(&bundle), context.cancel.clone())?;
    let inventory = &bundle.inventory;
    if inventory.catalogs.is_empty() {
        let directory = bundle.media.root().display();
        return Err(Error::usage(format!(
            "The bundle in `{directory}` contains no catalog"
        )));
    }
    let mut catalogs = Vec::new();
    for entry in &inventory.catalogs {
        let root = inventory.image(&entry.image).and_then(|image| image.root);
        let Some(root) = root else {
            context.warn(format!("{} is missing from the bundle", entry.image));
            continue;
        };
        let name = format!("`{}`", entry.image);
        let image = PlatformImage::of(&source, name, source.manifest(&root)?, filter)?;
        let catalog = catalog::read(&source, &image)?;
        let sizes = Sizes::new(inventory, entry);
        let listed = catalog_report(&catalog, entry.image.clone(), &image, package, Some(&sizes));
        catalogs.push(CatalogReport {
            filter: entry.filter.clone(),
            original: entry.original,
            ..listed
        });
    }
    Ok(Report {
        authenticated: Some(bundle.authentication.is_authenticated()),
        catalogs,
        allow_unsigned: false,
        hint: bundle.notes.iter().find_map(|note| note.hint),
    })
}

/// Refuses a package that no listed catalog has.
fn check_package(reports: &[CatalogReport], package: Option<&str>) -> Result<()> {
    match package {
        Some(name) if reports.iter().all(|report| report.package.is_empty()) => {
            let name = name.escape_debug();
            let message = format!("There is no package `{name}` in the catalog");
            Err(Error::new(Class::Usage, message)
                .hint("`catalog list` without --package shows all"))
        }
        _ => Ok(()),
    }
}
