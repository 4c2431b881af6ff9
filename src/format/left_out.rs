//! Checks which children an index may leave out (bundle-format.md, R-26 and R-27).
//!
//! An image with a filter of platforms leaves out those children of its indexes that the filter
//! does not select. Without this check a bundle could call any missing part of an image left out.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest_row::RowError;
use crate::model::{
    Descriptor, Digest, Graph, ImageEntry, Inventory, Limits, ManifestEntry, ManifestFacts,
    Platform, Walk,
};

/// For each index that leaves children out: the platform filters of the images that reach it.
#[derive(Debug, Default)]
pub struct Filters<'a>(BTreeMap<Digest, Vec<&'a [Platform]>>);

/// The reason why children must not be left out, whatever their descriptors say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlatformFilterError {
    /// More different filters than are allowed (section 11).
    TooMany,
    /// An image without a filter reaches this index, which leaves children out.
    Index(Digest),
    /// This index leaves all its children out.
    Empty(Digest),
}

impl<'a> Filters<'a> {
    /// Finds the filters, with one walk through the images' manifests for each different filter.
    ///
    /// # Errors
    ///
    /// If the inventory's rows alone show that a child must not be left out.
    pub fn new(inventory: &'a Inventory) -> Result<Self, PlatformFilterError> {
        let mut by_filter: BTreeMap<&[Platform], Vec<&ImageEntry>> = BTreeMap::new();
        for image in &inventory.images {
            by_filter.entry(&image.platforms).or_default().push(image);
            if by_filter.len() > Limits::FILTERS {
                return Err(PlatformFilterError::TooMany);
            }
        }
        let is_sparse = |row: &&ManifestEntry| !row.omitted.is_empty();
        let mut sparse = inventory.manifests.iter().filter(is_sparse).peekable();
        if sparse.peek().is_none() {
            return Ok(Self::default());
        }
        if let Some(empty) = sparse.find(|row| row.children.is_empty()) {
            return Err(PlatformFilterError::Empty(empty.digest));
        }
        let graph = Graph::new(inventory);
        let mut walk = Walk::new(&graph);
        let mut filters: BTreeMap<Digest, Vec<&[Platform]>> = BTreeMap::new();
        for (filter, images) in by_filter {
            let roots: Vec<u32> = images.iter().flat_map(|image| graph.roots(image)).collect();
            for row in walk.reach(&roots).manifests {
                let row = inventory.manifests.get(row as usize);
                let Some(row) = row.filter(is_sparse) else {
                    continue;
                };
                if filter.is_empty() {
                    return Err(PlatformFilterError::Index(row.digest));
                }
                filters.entry(row.digest).or_default().push(filter);
            }
        }
        Ok(Self(filters))
    }

    /// Compares the children that an index leaves out with their descriptors in its document.
    ///
    /// # Errors
    ///
    /// Names a child that one of the filters selects, or that has no platform, so that no filter
    /// can leave it out.
    pub fn check(&self, entry: &ManifestEntry, facts: &ManifestFacts) -> Result<(), RowError> {
        let omitted: BTreeSet<&Digest> = entry.omitted.iter().collect();
        let filters = self.0.get(&entry.digest).map_or(&[][..], Vec::as_slice);
        let is_selected = |child: &&Descriptor| {
            child.platform.as_ref().is_none_or(|platform| {
                let mut filters = filters.iter().flat_map(|filter| filter.iter());
                filters.any(|filter| filter.selects(platform))
            })
        };
        let digests = |children: &mut dyn Iterator<Item = &Descriptor>| -> BTreeSet<Digest> {
            children.map(|child| child.digest).collect()
        };
        let all = digests(&mut facts.children.iter());
        let selected = digests(&mut facts.children.iter().filter(is_selected));
        // A child that describes another one, such as an attestation, is selected or left out
        // with it.
        let meant = |child: &Descriptor| match child.describes {
            Some(described) if all.contains(&described) => described,
            _ => child.digest,
        };
        let mut children = facts.children.iter();
        match children.find(|c| omitted.contains(&c.digest) && selected.contains(&meant(c))) {
            Some(child) => Err(RowError::Child {
                digest: entry.digest,
                child: child.digest,
                fault: "it is left out, but no platform filter excludes it",
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::sample;
    use super::*;
    use crate::oci;

    fn sparse(inventory: &Inventory) -> &ManifestEntry {
        inventory
            .manifests
            .iter()
            .find(|row| row.is_sparse())
            .unwrap()
    }

    #[test]
    fn every_image_that_reaches_a_sparse_index_has_a_filter() {
        let inventory = sample().inventory;
        assert!(Filters::new(&inventory).is_ok());
        let index = sparse(&inventory).digest;
        let mut unfiltered = inventory.clone();
        for image in &mut unfiltered.images {
            image.platforms.clear();
        }
        assert_eq!(
            Filters::new(&unfiltered).unwrap_err(),
            PlatformFilterError::Index(index)
        );
        let mut empty = inventory.clone();
        let row = empty
            .manifests
            .iter_mut()
            .find(|row| row.is_sparse())
            .unwrap();
        row.omitted.append(&mut row.children);
        assert_eq!(
            Filters::new(&empty).unwrap_err(),
            PlatformFilterError::Empty(index)
        );
        let mut many = inventory;
        let image = many.images[0].clone();
        for number in 0..Limits::FILTERS {
            let mut image = image.clone();
            image.platforms = vec![format!("linux/a{number}").parse().unwrap()];
            many.images.push(image);
        }
        assert_eq!(
            Filters::new(&many).unwrap_err(),
            PlatformFilterError::TooMany
        );
    }

    #[test]
    fn a_filter_leaves_out_what_it_does_not_select() {
        let sample = sample();
        let check = |platforms: &[&str]| {
            let mut inventory = sample.inventory.clone();
            for image in inventory
                .images
                .iter_mut()
                .filter(|i| !i.platforms.is_empty())
            {
                image.platforms = platforms.iter().map(|text| text.parse().unwrap()).collect();
            }
            let row = sparse(&inventory);
            let facts = oci::parse(&sample.content[&row.digest], None)
                .unwrap()
                .facts;
            let filters = Filters::new(&inventory).unwrap();
            filters.check(row, &facts).is_ok()
        };
        let row = sparse(&sample.inventory);
        let facts = oci::parse(&sample.content[&row.digest], None)
            .unwrap()
            .facts;
        let left_out = facts
            .children
            .iter()
            .find(|c| row.omitted.contains(&c.digest))
            .unwrap();
        let platform = left_out.platform.clone().unwrap().to_string();
        assert!(check(&["other/other"]));
        assert!(!check(&[&platform]));
        assert!(!check(&["other/other", &platform]));
    }
}
