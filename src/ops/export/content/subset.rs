//! A part of catalogs' images, chosen by a mapping file.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::mapping_file::{MappingFile, mapped};
use crate::model::{CatalogEntry, Digest, Reference};
use crate::ops::error::{Error, Result};

/// Unknown sources that an error names.
const NAMED: usize = 10;

/// Leaves out members that the mapping does not list. The catalogs' own images stay.
///
/// # Errors
///
/// When the mapping lists images that no catalog names: they were meant for something.
pub(super) fn choose(
    mapping: &MappingFile,
    catalogs: &mut [CatalogEntry],
    references: &mut BTreeMap<Reference, Option<Digest>>,
) -> Result<()> {
    let mut known = BTreeSet::new();
    for catalog in catalogs.iter_mut() {
        known.insert(mapped(&catalog.image));
        known.extend(catalog.members.iter().map(|member| mapped(&member.image)));
        let all = catalog.members.len();
        let listed = |image: &Reference| mapping.target(image).is_some();
        catalog.members.retain(|member| listed(&member.image));
        let kept = catalog.members.len();
        if kept < all {
            let images = format!("{kept} of {all} images, as listed in a mapping");
            catalog.filter = Some(match catalog.filter.take() {
                Some(filter) => format!("{filter}; {images}"),
                None => images,
            });
        }
    }
    let unknown: Vec<&Reference> = mapping.sources().filter(|s| !known.contains(*s)).collect();
    if !unknown.is_empty() {
        let mut message = "The mapping lists images that no catalog names:".to_owned();
        for image in unknown.iter().take(NAMED) {
            message.push_str(&format!("\n  - {image}"));
        }
        if let Some(more) = unknown.len().checked_sub(NAMED).filter(|more| *more > 0) {
            message.push_str(&format!("\n  - and {more} more"));
        }
        return Err(
            Error::usage(message).hint("add them as arguments, or take them out of the mapping")
        );
    }
    let named = catalogs.iter().flat_map(|catalog| {
        let members = catalog.members.iter().map(|member| &member.image);
        members.chain([&catalog.image])
    });
    let named: BTreeSet<&Reference> = named.collect();
    references.retain(|reference, _| named.contains(reference));
    Ok(())
}
