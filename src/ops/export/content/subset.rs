//! Reduces catalogs to the images that a mapping file lists.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::mapping_file::{MappingFile, mapped};
use crate::error::Result;
use crate::model::{CatalogEntry, Digest, Reference};
use crate::ops::mapping::require_known;

/// Removes members that the mapping does not list. The catalogs' own images stay, and so do
/// `others`, which are requested outside catalogs: an import's mapping lists all of them.
///
/// # Errors
///
/// When the mapping lists images that neither a catalog nor `others` contain: such a line is a
/// mistake.
pub(super) fn choose<'a>(
    mapping: &MappingFile,
    others: impl Iterator<Item = &'a Reference>,
    catalogs: &mut [CatalogEntry],
    references: &mut BTreeMap<Reference, Option<Digest>>,
) -> Result<()> {
    let mut known: BTreeSet<Reference> = others.map(mapped).collect();
    for catalog in catalogs.iter_mut() {
        known.insert(mapped(&catalog.image));
        known.extend(catalog.members.iter().map(|member| mapped(&member.image)));
        // Strings that are no references are removed too: no line of a mapping can list them.
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
    let hint = "add them as arguments, or remove them from the mapping";
    require_known(mapping, &known, "nothing here names", hint)?;
    let named = catalogs.iter().flat_map(|catalog| {
        let members = catalog.members.iter().map(|member| &member.image);
        members.chain([&catalog.image])
    });
    let named: BTreeSet<&Reference> = named.collect();
    references.retain(|reference, _| named.contains(reference));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_beside_a_catalog_may_be_listed() {
        let reference = |text: &str| text.parse::<Reference>().unwrap();
        let mapping = MappingFile::parse("q.io/a/b:1=m.lan/a/b:1\n").unwrap();
        let plain = reference("q.io/a/b:1");
        let choose =
            |others: &[Reference]| choose(&mapping, others.iter(), &mut [], &mut BTreeMap::new());
        assert!(choose(&[plain]).is_ok());
        let error = choose(&[reference("q.io/a/c:1")]).unwrap_err();
        assert!(error.to_string().contains("nothing here names"), "{error}");
    }
}
