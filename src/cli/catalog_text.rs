//! Text about the catalogs of a bundle.

use crate::model::Digest;
use crate::ops::export::{CatalogLine, PackageSelection};

/// Returns the lines that describe a catalog.
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
    let malformed = catalog.malformed.iter();
    lines.extend(malformed.map(|malformed| format!("  missing: {malformed}")));
    let provenance = provenance(catalog.filter.as_deref(), catalog.original.as_ref());
    lines.extend(provenance.lines().map(|line| format!("  {line}")));
    for package in &catalog.packages {
        lines.extend(package_lines(package));
    }
    lines
}

/// Describes how a filtered catalog differs from its original; empty for an original catalog.
pub(crate) fn provenance(filter: Option<&str>, original: Option<&Digest>) -> String {
    let filter = filter.map(|filter| format!("filtered: {}\n", filter.escape_debug()));
    let original = original
        .map(|original| format!("filtered from {original}, whose signatures do not cover it\n"));
    filter.into_iter().chain(original).collect()
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
