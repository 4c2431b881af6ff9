//! What was mirrored, sorted by what it is to a cluster.

use std::collections::BTreeMap;

use super::object_name::{ObjectName, unique_names};
use super::{Mapping, Mirror, Mirrors, Warning};
use crate::model::{
    CatalogEntry, Digest, Inventory, Reference, ReleaseEntry, ReleaseVersion, Repository,
};
use crate::plan::naming::{self, Placed, Profile, Role, SharedTag};

/// An image that is on the target.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The image and its name there.
    pub placed: &'a Placed,
    /// Whether the tag points to it.
    pub is_tagged: bool,
    /// Its digest there, where that is not its own: one platform's in the place of an index.
    pub stand_in: Option<Digest>,
}

impl<'a> Told<'a> {
    /// An image under its own digest and tag.
    pub fn new(placed: &'a Placed) -> Self {
        Self {
            placed,
            is_tagged: true,
            stand_in: None,
        }
    }
}

/// Adds where one image is found.
fn add(all: &mut Mirrors, told: &Told<'_>, mirrors: &[Repository], by_digest: bool) {
    if told.stand_in.is_some() {
        return;
    }
    let mirror = Mirror {
        source: told.placed.image.source.clone(),
        mirrors: mirrors.to_vec(),
    };
    if told.is_tagged && told.placed.tag_is_own {
        all.tags.push(mirror.clone());
    }
    if by_digest {
        all.digests.push(mirror);
    }
}

/// A release that is on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its version.
    pub version: ReleaseVersion,
    /// The release image there, by tag.
    pub image: Reference,
    /// The release image's digest.
    pub digest: Digest,
    /// The repository of the components.
    pub prefix: Repository,
    /// Where its images are found.
    pub mirrors: Mirrors,
    /// What signs it, by the manifest that is signed.
    pub signatures: BTreeMap<Digest, Vec<Vec<u8>>>,
}

/// A catalog that is on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// What its objects are called.
    pub name: ObjectName,
    /// The catalog image there: by digest where that is known, else by tag.
    pub image: Reference,
    /// Where the images are found that it names.
    pub mirrors: Mirrors,
}

/// What was mirrored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Images that were asked for on their own.
    pub plain: Mirrors,
    /// Releases, in the inventory's order.
    pub releases: Vec<Release>,
    /// Catalogs, in the inventory's order.
    pub catalogs: Vec<Catalog>,
    /// Every image with its name on the target.
    pub mapping: Vec<Mapping>,
    /// Images that clusters ask for by tag, and that a mapping gave another one.
    pub retagged: Vec<Mapping>,
    /// Tags that are pinned to several digests: one has the tag, the others have tags of theirs.
    pub shared_tags: Vec<SharedTag>,
}

impl Content {
    /// Tells of the images that clusters will not find by the tag that they ask for, and of tags
    /// that several digests share.
    pub fn tell_of_tags(&self, mut tell: impl FnMut(Warning)) {
        for shared in &self.shared_tags {
            let shared = Box::new(shared.clone());
            tell(Warning::SharedTag { shared });
        }
        for mapping in &self.retagged {
            let mapping = Box::new(mapping.clone());
            tell(Warning::OtherTag { mapping });
        }
    }

    /// Sorts what is on the target. A release or catalog whose own image is not among it is
    /// left out.
    pub fn of(inventory: &Inventory, images: &[Told<'_>], naming: &naming::Options) -> Self {
        let placed: Vec<Placed> = images.iter().map(|told| told.placed.clone()).collect();
        let mut content = Self {
            shared_tags: naming::shared_tags(&placed),
            ..Self::default()
        };
        for told in images {
            if told.placed.roles.contains(&Role::Plain) {
                let there = std::slice::from_ref(&told.placed.repository);
                add(&mut content.plain, told, there, true);
            }
            if told.is_tagged && told.placed.is_retagged() {
                content.retagged.push(Mapping::of(told.placed));
            }
            if told.stand_in.is_none() {
                content.mapping.push(match told.is_tagged {
                    true => Mapping::of(told.placed),
                    false => Mapping::by_digest_alone(told.placed),
                });
            }
        }
        let groups = Groups::of(images, naming);
        let releases = inventory.releases.iter();
        content.releases = releases.filter_map(|entry| groups.release(entry)).collect();
        let catalogs = inventory.catalogs.iter();
        let catalogs = catalogs.filter_map(|entry| groups.catalog(entry));
        let (sources, catalogs): (Vec<Placed>, Vec<Catalog>) = catalogs.unzip();
        let names = unique_names(&sources);
        let named = names.into_iter().zip(catalogs);
        content.catalogs = named
            .map(|(name, catalog)| Catalog { name, ..catalog })
            .collect();
        content
    }
}

/// The signatures of a release, by the manifest that is signed.
pub fn signatures_of(release: &ReleaseEntry) -> BTreeMap<Digest, Vec<Vec<u8>>> {
    let mut signatures: BTreeMap<Digest, Vec<Vec<u8>>> = BTreeMap::new();
    for signature in &release.signatures {
        let over = signatures.entry(signature.over).or_default();
        over.push(signature.message.clone());
    }
    signatures
}

/// Images by the group that they belong to, named by its root as it was asked for.
struct Groups<'a> {
    roots: BTreeMap<&'a Reference, &'a Told<'a>>,
    members: BTreeMap<&'a Reference, Vec<(&'a Told<'a>, &'a Role)>>,
    /// Whether all of a release has one repository.
    one_place: bool,
}

impl<'a> Groups<'a> {
    fn of(images: &'a [Told<'a>], naming: &naming::Options) -> Self {
        let mut groups = Self {
            one_place: naming.content_profile() == Profile::Oc,
            roots: BTreeMap::new(),
            members: BTreeMap::new(),
        };
        for told in images {
            for role in &told.placed.roles {
                if role.is_root() {
                    groups.roots.insert(&told.placed.image.requested, told);
                }
                if let Some(root) = role.member_of() {
                    groups.members.entry(root).or_default().push((told, role));
                }
            }
        }
        groups
    }

    fn members(&self, root: &Reference) -> &[(&'a Told<'a>, &'a Role)] {
        self.members.get(root).map_or(&[], Vec::as_slice)
    }

    /// Under the profile `oc`, everything that a release is made of is looked for in the
    /// components' repository and in that of the release image (docs/oc-compatibility.md, section
    /// 2.3).
    fn release(&self, entry: &ReleaseEntry) -> Option<Release> {
        let root = self.roots.get(&entry.image)?;
        let members = self.members(&entry.image);
        let own = &root.placed.repository;
        let prefix = members
            .first()
            .map_or(own, |(told, _)| &told.placed.repository);
        let mut both = vec![prefix.clone(), own.clone()];
        both.dedup();
        let mut mirrors = Mirrors::default();
        for told in members.iter().map(|(told, _)| told).chain([root]) {
            let places = match self.one_place {
                true => &both[..],
                false => std::slice::from_ref(&told.placed.repository),
            };
            add(&mut mirrors, told, places, true);
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

    /// Members are found by digest where the catalog names them so.
    fn catalog(&self, entry: &CatalogEntry) -> Option<(Placed, Catalog)> {
        let root = self.roots.get(&entry.image)?;
        let placed = root.placed;
        let mut mirrors = Mirrors::default();
        for (told, role) in self.members(&entry.image) {
            let by_digest = match role {
                Role::Member { written, .. } => written.contains('@'),
                _ => true,
            };
            let there = std::slice::from_ref(&told.placed.repository);
            add(&mut mirrors, told, there, by_digest);
        }
        let there = std::slice::from_ref(&placed.repository);
        // What the exporter made has another digest than the source knows.
        let by_digest = entry.image.digest.is_some() && entry.original.is_none();
        add(&mut mirrors, root, there, by_digest);
        let digest = root.stand_in.unwrap_or(placed.image.root);
        let catalog = Catalog {
            name: ObjectName::of(placed),
            image: placed.repository.pinned(digest),
            mirrors,
        };
        Some((placed.clone(), catalog))
    }
}
