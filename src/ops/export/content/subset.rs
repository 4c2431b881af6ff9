//! A part of catalogs' images, chosen by a mapping file.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::mapping_file::{MappingFile, mapped};
use crate::error::Result;
use crate::model::{CatalogEntry, Digest, Reference};
use crate::ops::mapping::require_known;

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
        // Texts that are no references stay behind too: no line can list them.
        let all = catalog.members.len() + catalog.malformed.len();
        catalog.malformed.clear();
        let listed = |image: &Reference| mapping.lists(image);
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
    let hint = "add them as arguments, or take them out of the mapping";
    require_known(mapping, &known, "no catalog names", hint)?;
    let named = catalogs.iter().flat_map(|catalog| {
        let members = catalog.members.iter().map(|member| &member.image);
        members.chain([&catalog.image])
    });
    let named: BTreeSet<&Reference> = named.collect();
    references.retain(|reference, _| named.contains(reference));
    Ok(())
}
