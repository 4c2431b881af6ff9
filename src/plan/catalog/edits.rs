//! The edit of each document of a catalog that is filtered.

use std::collections::{BTreeMap, BTreeSet};

use super::Kept;
use crate::content::catalog::{Catalog, Deprecations, Edit, Place};

/// Returns the documents that stay, each with its edit; all others are removed.
///
/// Documents of other schemas stay if their package stays, or if they name no package.
pub fn edits(catalog: &Catalog, kept: &Kept) -> BTreeMap<Place, Edit> {
    let mut edits = BTreeMap::new();
    for package in &catalog.packages {
        if let Some(known) = kept.packages.get(&package.name) {
            let edit = match &known.default_channel {
                default if *default == package.default_channel => Edit::Keep,
                Some(default) => Edit::DefaultChannel(default.clone()),
                None => Edit::Keep,
            };
            edits.insert(package.place.clone(), edit);
        }
    }
    for channel in &catalog.channels {
        let known = kept.packages.get(&channel.package);
        if let Some(entries) = known.and_then(|known| known.channels.get(&channel.name)) {
            let whole = channel
                .entries
                .iter()
                .all(|entry| entries.contains(&entry.name));
            let edit = if whole {
                Edit::Keep
            } else {
                Edit::Entries(entries.clone())
            };
            edits.insert(channel.place.clone(), edit);
        }
    }
    for bundle in &catalog.bundles {
        if kept.has(&bundle.package, &bundle.name) {
            edits.insert(bundle.place.clone(), Edit::Keep);
        }
    }
    for deprecations in &catalog.deprecations {
        if let Some(edit) = deprecation_edit(deprecations, kept) {
            edits.insert(deprecations.place.clone(), edit);
        }
    }
    for other in &catalog.others {
        let package = other.package.as_ref();
        if package.is_none_or(|package| kept.packages.contains_key(package)) {
            edits.insert(other.place.clone(), Edit::Keep);
        }
    }
    edits
}

/// Returns the edit of a deprecations document; `None` if no entry of it stays.
fn deprecation_edit(deprecations: &Deprecations, kept: &Kept) -> Option<Edit> {
    let known = kept.packages.get(&deprecations.package)?;
    let mut gone = BTreeSet::new();
    for entry in &deprecations.entries {
        let name = entry.name.clone().unwrap_or_default();
        let stays = match entry.schema.as_str() {
            "olm.bundle" => known.bundles.contains_key(&name),
            "olm.channel" => known.channels.contains_key(&name),
            _ => true,
        };
        if !stays {
            gone.insert((entry.schema.clone(), name));
        }
    }
    let stay = |entry: &&crate::content::catalog::DeprecatedEntry| {
        !gone.contains(&(entry.schema.clone(), entry.name.clone().unwrap_or_default()))
    };
    match deprecations.entries.iter().filter(stay).count() {
        0 => None,
        count if count == deprecations.entries.len() => Some(Edit::Keep),
        _ => Some(Edit::Deprecated { gone }),
    }
}
