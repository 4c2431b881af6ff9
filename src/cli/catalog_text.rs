//! What an export says of its catalogs.

use crate::ops::export::{CatalogLine, PackageSelection};

/// The lines about a catalog.
pub(crate) fn lines(catalog: &CatalogLine) -> Vec<String> {
    let digest = catalog
        .digest
        .map_or_else(|| "-".to_owned(), |digest| digest.to_string());
    let count = catalog.images;
    let missing = match catalog.missing {
        0 => String::new(),
        number => format!(", {number} of them missing"),
    };
    let mut lines = vec![format!(
        "catalog {}  {digest} with {count} images{missing}",
        catalog.image
    )];
    if let Some(filter) = &catalog.filter {
        lines.push(format!("  filtered: {filter}"));
    }
    if let Some(original) = &catalog.original {
        lines.push(format!(
            "  made from {original}, whose signatures do not hold for it"
        ));
    }
    for package in &catalog.packages {
        lines.extend(package_lines(package));
    }
    lines
}

fn package_lines(package: &PackageSelection) -> Vec<String> {
    let escaped = |text: &str| text.escape_debug().to_string();
    let channels = package.channels.iter().map(|channel| {
        let default = package.default_channel.as_ref() == Some(channel);
        let note = if default { " (default)" } else { "" };
        format!("{}{note}", escaped(channel))
    });
    let channels: Vec<String> = channels.collect();
    let mut lines = vec![format!(
        "  {}: channels {}",
        escaped(&package.name),
        channels.join(", ")
    )];
    for bundle in &package.bundles {
        let reasons = bundle.reasons.join("; ");
        lines.push(format!("    {}  {reasons}", escaped(&bundle.name)));
    }
    lines
}
