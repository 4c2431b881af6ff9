//! The mirrored images, grouped by their role in a cluster: releases, catalogs, other images.

use std::collections::BTreeMap;

use super::object_name::ObjectName;
use super::{Mapping, Mirror, Mirrors, NameStyle, Warning};
use crate::model::{
    CatalogEntry, Digest, Inventory, Reference, ReleaseEntry, ReleaseVersion, Repository,
};
use crate::plan::naming::{self, Placed, Profile, Role, SharedTag};

/// An image that is on the target.
#[derive(Debug, Clone, Copy)]
pub struct ClusterImage<'a> {
    /// The image and its name on the target.
    pub placed: &'a Placed,
    /// True if the tag on the target points to the image.
    pub is_tagged: bool,
    /// The digest on the target if it differs from the image's: that of one platform's manifest
    /// which was tagged instead of an index.
    pub platform_substitute: Option<Digest>,
}

impl<'a> ClusterImage<'a> {
    /// An image under its own digest and tag.
    pub fn new(placed: &'a Placed) -> Self {
        Self {
            placed,
            is_tagged: true,
            platform_substitute: None,
        }
    }
}

/// Adds the mirrors of one image.
fn add(all: &mut Mirrors, image: &ClusterImage<'_>, mirrors: &[Repository], by_digest: bool) {
    if image.platform_substitute.is_some() {
        return;
    }
    let mirror = Mirror {
        source: image.placed.image.source.clone(),
        mirrors: mirrors.to_vec(),
    };
    if image.is_tagged && image.placed.tag_is_own {
        all.tags.push(mirror.clone());
    }
    if by_digest {
        all.digests.push(mirror);
    }
}

/// A release that is on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The release's version.
    pub version: ReleaseVersion,
    /// The release image on the target, by tag.
    pub image: Reference,
    /// The release image's digest.
    pub digest: Digest,
    /// The repository of the release's components on the target.
    pub prefix: Repository,
    /// The mirrors of the release's images.
    pub mirrors: Mirrors,
    /// The signatures of the release: whole signature files, by the manifest that they sign.
    pub signatures: BTreeMap<Digest, Vec<Vec<u8>>>,
}

/// A catalog that is on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// The catalog image as it was requested.
    pub requested: Reference,
    /// Default name of the catalog's objects.
    pub name: ObjectName,
    /// The catalog image on the target: by digest if it is known, else by tag.
    pub image: Reference,
    /// The mirrors of the catalog image and of the images that it names.
    pub mirrors: Mirrors,
}

/// The mirrored images of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Mirrors of the images that were requested individually.
    pub plain: Mirrors,
    /// Releases, in the inventory's order.
    pub releases: Vec<Release>,
    /// Catalogs, in the inventory's order.
    pub catalogs: Vec<Catalog>,
    /// Every image with its name on the target.
    pub mapping: Vec<Mapping>,
    /// Images that clusters pull by tag, and that have another tag on the target.
    pub retagged: Vec<Mapping>,
    /// Tags that are pinned to several digests: one image has the tag, the others have tags of
    /// their own.
    pub shared_tags: Vec<SharedTag>,
    /// Whose names the objects get.
    pub style: NameStyle,
}

impl Content {
    /// Warnings about the tags that several digests share, and about the images that clusters
    /// cannot find by the tag that they use.
    pub fn tag_warnings(&self) -> impl Iterator<Item = Warning> {
        let shared = self.shared_tags.iter().map(|shared| Warning::SharedTag {
            shared: Box::new(shared.clone()),
        });
        let retagged = self.retagged.iter().map(|mapping| Warning::OtherTag {
            mapping: Box::new(mapping.clone()),
        });
        shared.chain(retagged)
    }

    /// Groups the images that are on the target. A release or catalog whose own image is not among
    /// them is left out.
    pub fn of(
        inventory: &Inventory,
        images: &[ClusterImage<'_>],
        naming: &naming::Options,
    ) -> Self {
        let placed: Vec<Placed> = images.iter().map(|image| image.placed.clone()).collect();
        let mut content = Self {
            shared_tags: naming::shared_tags(&placed),
            style: NameStyle::of(naming),
            ..Self::default()
        };
        for image in images {
            if image.placed.roles.contains(&Role::Plain) {
                let there = std::slice::from_ref(&image.placed.repository);
                add(&mut content.plain, image, there, true);
            }
            if image.is_tagged && image.placed.is_retagged() {
                content.retagged.push(Mapping::of(image.placed));
            }
            if image.platform_substitute.is_none() {
                content.mapping.push(match image.is_tagged {
                    true => Mapping::of(image.placed),
                    false => Mapping::by_digest_alone(image.placed),
                });
            }
        }
        let groups = Groups::of(images, naming);
        let releases = inventory.releases.iter();
        content.releases = releases.filter_map(|entry| groups.release(entry)).collect();
        let catalogs = inventory.catalogs.iter();
        content.catalogs = catalogs.filter_map(|entry| groups.catalog(entry)).collect();
        content
    }
}

/// The signatures of a release, by the manifest that they sign.
pub fn signatures_of(release: &ReleaseEntry) -> BTreeMap<Digest, Vec<Vec<u8>>> {
    let mut signatures: BTreeMap<Digest, Vec<Vec<u8>>> = BTreeMap::new();
    for signature in &release.signatures {
        let over = signatures.entry(signature.over).or_default();
        over.push(signature.message.clone());
    }
    signatures
}

/// The images of releases and catalogs. The key is the release or catalog image as requested.
struct Groups<'a> {
    roots: BTreeMap<&'a Reference, &'a ClusterImage<'a>>,
    members: BTreeMap<&'a Reference, Vec<(&'a ClusterImage<'a>, &'a Role)>>,
    /// True if the profile `oc` puts all images of a release into one repository.
    shares_repository: bool,
    style: NameStyle,
}

impl<'a> Groups<'a> {
    fn of(images: &'a [ClusterImage<'a>], naming: &naming::Options) -> Self {
        let mut groups = Self {
            shares_repository: naming.content_profile() == Profile::Oc,
            style: NameStyle::of(naming),
            roots: BTreeMap::new(),
            members: BTreeMap::new(),
        };
        for image in images {
            for role in &image.placed.roles {
                if role.is_root() {
                    groups.roots.insert(&image.placed.image.requested, image);
                }
                if let Some(root) = role.member_of() {
                    groups.members.entry(root).or_default().push((image, role));
                }
            }
        }
        groups
    }

    fn members(&self, root: &Reference) -> &[(&'a ClusterImage<'a>, &'a Role)] {
        self.members.get(root).map_or(&[], Vec::as_slice)
    }

    /// The release of an inventory entry; `None` if its image is not on the target. Under the
    /// profile `oc`, every image of the release gets two mirrors: the components' repository and
    /// that of the release image (docs/oc-compatibility.md, section 2.3).
    fn release(&self, entry: &ReleaseEntry) -> Option<Release> {
        let root = self.roots.get(&entry.image)?;
        let members = self.members(&entry.image);
        let own = &root.placed.repository;
        let prefix = members
            .first()
            .map_or(own, |(image, _)| &image.placed.repository);
        let mut both = vec![prefix.clone(), own.clone()];
        both.dedup();
        let mut mirrors = Mirrors::default();
        for image in members.iter().map(|(image, _)| image).chain([root]) {
            let places = match self.shares_repository {
                true => &both[..],
                false => std::slice::from_ref(&image.placed.repository),
            };
            add(&mut mirrors, image, places, true);
        }
        Some(Release {
            version: entry.version.clone(),
            image: root.placed.target(),
            digest: root.placed.image.root,
            prefix: prefix.clone(),
            mirrors,
            signatures: signatures_of(entry),
        })
    }

    /// The catalog of an inventory entry; `None` if its image is not on the target. A member gets
    /// an entry by digest only if the catalog names it by digest.
    fn catalog(&self, entry: &CatalogEntry) -> Option<Catalog> {
        let root = self.roots.get(&entry.image)?;
        let placed = root.placed;
        let mut mirrors = Mirrors::default();
        for (image, role) in self.members(&entry.image) {
            let by_digest = match role {
                Role::Member { written, .. } => written.contains('@'),
                _ => true,
            };
            let there = std::slice::from_ref(&image.placed.repository);
            add(&mut mirrors, image, there, by_digest);
        }
        let there = std::slice::from_ref(&placed.repository);
        // A catalog that the exporter filtered has a digest that does not exist at the source.
        let by_digest = entry.image.digest.is_some() && entry.original.is_none();
        add(&mut mirrors, root, there, by_digest);
        let digest = root.platform_substitute.unwrap_or(placed.image.root);
        Some(Catalog {
            requested: entry.image.clone(),
            name: ObjectName::of(placed, self.style),
            image: placed.repository.pinned(digest),
            mirrors,
        })
    }
}
