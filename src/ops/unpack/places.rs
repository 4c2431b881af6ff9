//! Decides paths and tags of images in a directory tree, which has no registry hosts.

use std::collections::{BTreeMap, BTreeSet};

use super::{Layout, Tree};
use crate::error::{Error, Result};
use crate::model::{Digest, ImageEntry, NameError, Reference, Repository, RepositoryPath, Tag};
use crate::plan::import::wanted;
use crate::plan::naming::{ReleaseTags, Role};

/// Path at which `oc adm release mirror --to-dir` writes a release with its components
/// (docs/oc-compatibility.md, section 1.4).
const RELEASE: &str = "openshift/release";

/// Path and tag of an image in the tree.
pub(super) struct Place<'a> {
    pub(super) image: &'a ImageEntry,
    pub(super) path: RepositoryPath,
    pub(super) tag: Option<Tag>,
}

/// The digest that keeps a tag which one source pins to several digests. As on a registry, it is
/// the one requested by tag alone, or else the lowest. The others are found by digest only.
struct TagOwners<'a>(BTreeMap<(&'a Repository, &'a Tag), (bool, Digest)>);

impl<'a> TagOwners<'a> {
    fn of(images: &[&'a ImageEntry]) -> Self {
        let mut owners = BTreeMap::new();
        for image in images {
            if let (Some(tag), Some(root)) = (&image.tag, image.root) {
                // False sorts first, so an image requested by tag alone wins.
                let rank = (image.requested.digest.is_some(), root);
                let known = owners.entry((&image.source, tag)).or_insert(rank);
                *known = rank.min(*known);
            }
        }
        Self(owners)
    }

    fn tag(&self, image: &ImageEntry) -> Option<Tag> {
        let tag = image.tag.as_ref()?;
        let keeper = self.0.get(&(&image.source, tag)).map(|(_, root)| *root);
        (keeper == image.root).then(|| tag.clone())
    }
}

/// Returns the places of all images that can be written completely. The layout `oc-release` has
/// own places for releases; a release image that lacks a component is left out.
pub(super) fn places<'a>(tree: &mut Tree<'a>, layout: Layout) -> Result<Vec<Place<'a>>> {
    if layout != Layout::OcRelease {
        let owners = TagOwners::of(&tree.images);
        let places = tree.images.iter().map(|image| Place {
            image,
            path: image.source.path.clone(),
            tag: owners.tag(image),
        });
        return Ok(places.collect());
    }
    let inventory = &tree.bundle.inventory;
    if inventory.releases.is_empty() {
        return Err(Error::usage("This bundle contains no release")
            .hint("use `--as v2` to write images under their own names"));
    }
    let whole: BTreeSet<&Reference> = tree.images.iter().map(|image| &image.requested).collect();
    let mut broken = BTreeSet::new();
    for release in &inventory.releases {
        let components = release.components.iter();
        let missing = components.filter(|component| !whole.contains(&component.image));
        let missing = missing.count();
        if missing > 0 && whole.contains(&release.image) {
            let line = format!("{}: {missing} of its images are left out", release.image);
            tree.context.warn(format!("left out: {line}"));
            tree.left_out.push(line);
            broken.insert(&release.image);
        }
    }
    let unnamed =
        |error: NameError| Error::usage("A release has no valid name in the tree").caused_by(error);
    let release: RepositoryPath = RELEASE.parse().map_err(unnamed)?;
    let owners = TagOwners::of(&tree.images);
    let mut places = Vec::new();
    for wanted in wanted(inventory) {
        let requested = &wanted.image.requested;
        let Some(image) = inventory
            .image(requested)
            .filter(|_| whole.contains(requested))
        else {
            continue;
        };
        let tag = match &wanted.role {
            Role::Release(_) if broken.contains(requested) => continue,
            Role::Release(name) => Some(name.tag(ReleaseTags::Current)),
            Role::Component { release, name } => {
                Some(format!("{}-{name}", release.tag(ReleaseTags::Current)))
            }
            Role::Plain | Role::Catalog | Role::Member { .. } => None,
        };
        places.push(match tag {
            Some(tag) => Place {
                image,
                path: release.clone(),
                tag: Some(tag.parse().map_err(unnamed)?),
            },
            None => Place {
                image,
                path: image.source.path.clone(),
                tag: owners.tag(image),
            },
        });
    }
    let placed: BTreeSet<&Reference> = places.iter().map(|place| &place.image.requested).collect();
    tree.images
        .retain(|image| placed.contains(&image.requested));
    Ok(places)
}
