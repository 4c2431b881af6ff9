//! Gives each image its repository and tag on the target.
//!
//! Depends on names and digests only, not on what a registry already holds. Rules:
//! docs/oc-compatibility.md, sections 2.2 and 4.2 (`oc`) and 5.4 (oc-mirror).

mod components;
mod error;
mod role;
mod rules;
mod shared;
mod tags;
mod target;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use components::{MaxComponents, MaxComponentsError};
pub use error::{Collision, LongName, NamingError};
pub use role::{ReleaseName, ReleaseTags, ReleaseTagsError, Role};
pub use shared::{SharedTag, shared_tags};
pub use tags::{digest_tag, fnv_tag, root_tag};
pub use target::{Target, TargetError};

use crate::content::mapping_file::MappingFile;
use crate::model::{Digest, Reference, Repository, RepositoryPath, Tag};
use shared::Named;

/// Upper limit of a repository path in bytes, the registry not included (distribution's reference
/// grammar).
const MAX_PATH: usize = 255;

/// The facts about an image that naming needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceImage {
    /// The repository's name in clusters.
    pub source: Repository,
    /// The tag under which it was requested.
    pub tag: Option<Tag>,
    /// Digest of the top manifest.
    pub root: Digest,
    /// The reference as requested. One with neither tag nor digest means `latest`.
    pub requested: Reference,
}

impl SourceImage {
    /// Returns the reference as requested, under the source's name.
    pub fn asked(&self) -> Reference {
        Reference {
            repository: self.source.clone(),
            tag: self.tag.clone(),
            digest: self.requested.digest,
        }
    }

    /// Returns the image's name at the source: with its tag, or else with its digest.
    pub fn reference(&self) -> Reference {
        match &self.tag {
            Some(tag) => self.source.tagged(tag.clone()),
            None => self.source.pinned(self.root),
        }
    }
}

/// An image that needs a name on the target, for one of its roles.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageToName {
    /// The image.
    pub image: SourceImage,
    /// The image's role in the bundle.
    pub role: Role,
}

/// A set of naming rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Keeps the source path at any depth; an image without a tag gets `sha256-<hex>`.
    Plain,
    /// As `oc adm release mirror` and `oc adm catalog mirror`: a release in one repository,
    /// images of catalogs in paths of two components, with FNV tags.
    Oc,
    /// As oc-mirror v2: releases below `openshift/`, everything else as [`Self::Plain`].
    OcMirror,
}

impl Profile {
    /// Returns the limit of path components that applies if the operator gives none.
    pub const fn default_components(self) -> MaxComponents {
        match self {
            Self::Plain | Self::OcMirror => MaxComponents::UNLIMITED,
            Self::Oc => MaxComponents::OC_DEFAULT,
        }
    }
}

/// Options for the names of release images and components.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReleaseOptions {
    /// The repository for releases under the profile `oc`; the target's namespace if absent.
    pub repository: Option<RepositoryPath>,
    /// A repository for release images, apart from that of the components.
    pub image: Option<Repository>,
    /// A tag for release images.
    pub tag: Option<Tag>,
    /// The form of tags under the profile `oc`.
    pub tags: ReleaseTags,
}

/// Options for naming images on the target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// The profile for all images. If absent, `oc` for releases and catalogs, and `plain` for all
    /// other images.
    pub profile: Option<Profile>,
    /// The limit of path components (`--max-components`); the profile's default if absent.
    pub max_components: Option<MaxComponents>,
    /// Options for releases.
    pub release: ReleaseOptions,
    /// Names listed one by one in a mapping file; they take precedence over all rules.
    pub listed: MappingFile,
}

impl Options {
    /// Returns the profile for images of a role.
    pub fn profile_of(&self, role: &Role) -> Profile {
        match role {
            Role::Plain => self.profile.unwrap_or(Profile::Plain),
            _ => self.content_profile(),
        }
    }

    /// Returns the profile for releases and catalogs.
    pub fn content_profile(&self) -> Profile {
        self.profile.unwrap_or(Profile::Oc)
    }

    /// Returns the limit of path components for images of a role.
    pub fn components(&self, role: &Role) -> MaxComponents {
        self.max_components
            .unwrap_or_else(|| self.profile_of(role).default_components())
    }
}

/// An image with its name on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The image.
    pub image: SourceImage,
    /// The image's roles in the bundle, sorted; at least one.
    pub roles: Vec<Role>,
    /// Repository on the target.
    pub repository: Repository,
    /// Tag on the target: the image's own, or one made for it.
    pub tag: Tag,
    /// True if a client that pulls this tag from the source gets this image. False for tags that
    /// were made from a digest.
    pub tag_is_own: bool,
    /// Digest of the image that got this image's tag. Present if the source's tag is pinned to
    /// several digests and another one got the tag.
    pub kept_by: Option<Digest>,
    /// True if a mapping gave the image several names, and another one of them has its own tag.
    pub has_own_tag_elsewhere: bool,
}

impl Placed {
    /// True if clusters pull the image by tag, and a mapping gave it another tag: no mirror
    /// policy can express that. Images that are only roots or components are reached in other
    /// ways.
    pub fn is_retagged(&self) -> bool {
        let by_name = |role: &Role| matches!(role, Role::Plain | Role::Member { .. });
        let is_found = self.tag_is_own || self.has_own_tag_elsewhere;
        self.image.requested.digest.is_none() && !is_found && self.roles.iter().any(by_name)
    }

    /// Returns `repository:tag` on the target.
    pub fn target(&self) -> Reference {
        self.repository.tagged(self.tag.clone())
    }
}

/// The names of all images, without collisions. Only [`place`] creates one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    placed: Vec<Placed>,
}

impl Placement {
    /// Returns the images in the order in which they were first given. An image that has the same
    /// name in several roles is listed once.
    pub fn images(&self) -> &[Placed] {
        &self.placed
    }
}

/// Names every image on the target.
///
/// Several sources may share a repository, and images with the same digest may share a tag. If a
/// source's tag is pinned to several digests, one of them gets the tag: the one that a mapping
/// chooses, else the one to which the tag itself was resolved, else the lowest digest.
///
/// # Errors
///
/// [`NamingError::TooLong`] with every name that is too long for a registry, else
/// [`NamingError::Collisions`] with every repository and tag that images of different digests
/// would have to share.
pub fn place(
    images: &[ImageToName],
    target: &Target,
    options: &Options,
) -> Result<Placement, NamingError> {
    let mut named = names(images, target, options)?;
    let moving = resolved_tags(images);
    shared::assign_tags(&mut named, &moving, options)?;
    let mut placed: Vec<Placed> = Vec::with_capacity(named.len());
    let mut known: BTreeMap<(&SourceImage, Reference), usize> = BTreeMap::new();
    for one in named {
        let (image, role) = (&one.wanted.image, &one.wanted.role);
        let key = (image, one.repository.tagged(one.tag.clone()));
        let index = *known.entry(key).or_insert(placed.len());
        match placed.get_mut(index) {
            Some(same) => same.roles.push(role.clone()),
            None => placed.push(Placed {
                image: image.clone(),
                roles: vec![role.clone()],
                repository: one.repository,
                tag: one.tag,
                tag_is_own: one.tag_is_own,
                kept_by: one.kept_by,
                has_own_tag_elsewhere: false,
            }),
        }
    }
    for one in &mut placed {
        // A client that pulls the tag gets the image that was requested by this tag without a
        // digest.
        let asked = one.image.tag.as_ref().map(|tag| (&one.image.source, tag));
        if let Some(root) = asked.and_then(|asked| moving.get(&asked)) {
            one.tag_is_own &= *root == &one.image.root;
        }
        one.roles.sort();
        one.roles.dedup();
    }
    let found: BTreeSet<SourceImage> = placed
        .iter()
        .filter(|one| one.tag_is_own)
        .map(|one| one.image.clone())
        .collect();
    for one in &mut placed {
        one.has_own_tag_elsewhere = !one.tag_is_own && found.contains(&one.image);
    }
    let collisions = collisions(&placed);
    if !collisions.is_empty() {
        let limits = images.iter().map(|wanted| options.components(&wanted.role));
        let limit = limits.min_by_key(|limit| limit.rank());
        return Err(NamingError::Collisions {
            collisions,
            limit: limit.unwrap_or(MaxComponents::UNLIMITED),
        });
    }
    Ok(Placement { placed })
}

/// Returns the names of all images by mapping and rules, before they are compared with each
/// other.
fn names<'w>(
    images: &'w [ImageToName],
    target: &Target,
    options: &Options,
) -> Result<Vec<Named<'w>>, NamingError> {
    let mut named = Vec::with_capacity(images.len());
    let mut too_long = BTreeSet::new();
    let siblings = siblings(images);
    for wanted in images {
        for name in names_of(wanted, &siblings, target, options)? {
            match name {
                Ok(name) => named.push(name),
                Err(long) => {
                    too_long.insert(long);
                }
            }
        }
    }
    if too_long.is_empty() {
        return Ok(named);
    }
    let names = too_long.into_iter().collect();
    Err(NamingError::TooLong { names })
}

/// Returns the names of an image in one of its roles: those that a mapping lists, or else the one
/// that the rules give. A name that is too long is returned as an error, so that all of them can
/// be reported.
fn names_of<'w>(
    wanted: &'w ImageToName,
    siblings: &Siblings<'_>,
    target: &Target,
    options: &Options,
) -> Result<Vec<Result<Named<'w>, LongName>>, NamingError> {
    let image = &wanted.image;
    let listed = rules::listed(image, target, options)?;
    let listed = without_those_of_siblings(listed, image, siblings);
    let mut paths: Vec<(String, Option<Tag>)> = listed
        .into_iter()
        .map(|name| (name.repository.path.to_string(), name.tag.clone()))
        .collect();
    if paths.is_empty() {
        paths.push((rules::path(wanted, target, options)?, None));
    }
    let refused = |source| NamingError::Name {
        image: Box::new(image.reference()),
        source,
    };
    let mut names = Vec::with_capacity(paths.len());
    for (path, tag) in paths {
        if path.len() > MAX_PATH {
            let image = image.reference();
            names.push(Err(LongName { image, path }));
            continue;
        }
        let repository = rules::repository(&target.host, &path).map_err(refused)?;
        let is_listed = tag.is_some();
        let (tag, tag_is_own) = match tag {
            Some(tag) => (tag.clone(), image.tag.as_ref() == Some(&tag)),
            None => rules::tag(wanted, options).map_err(refused)?,
        };
        names.push(Ok(Named {
            wanted,
            repository,
            tag,
            tag_is_own,
            is_listed,
            kept_by: None,
        }));
    }
    Ok(names)
}

/// The tags under which one digest of a repository was requested.
type Siblings<'a> = BTreeMap<(&'a Repository, &'a Digest), BTreeSet<&'a Tag>>;

/// Collects the tags of images that a mapping cannot distinguish: for an image that was requested
/// by digest, a mapping's line has no tag.
fn siblings(images: &[ImageToName]) -> Siblings<'_> {
    let mut siblings = Siblings::new();
    for image in images.iter().map(|wanted| &wanted.image) {
        if let (Some(digest), Some(tag)) = (&image.requested.digest, &image.tag) {
            let tags = siblings.entry((&image.source, digest)).or_default();
            tags.insert(tag);
        }
    }
    siblings
}

/// Removes the listed names that have the tags of siblings: `repo:1@d` and `repo:2@d` both match
/// the lines `repo@d=...:1` and `repo@d=...:2`, and each gets the name with its own tag. Keeps
/// all names if none would be left.
fn without_those_of_siblings<'a>(
    listed: Vec<&'a Reference>,
    image: &SourceImage,
    siblings: &Siblings<'_>,
) -> Vec<&'a Reference> {
    let digest = image.requested.digest.as_ref();
    let tags = digest.and_then(|digest| siblings.get(&(&image.source, digest)));
    let Some(tags) = tags else {
        return listed;
    };
    let is_own = |name: &&Reference| {
        let tag = name.tag.as_ref();
        tag == image.tag.as_ref() || tag.is_none_or(|tag| !tags.contains(tag))
    };
    let own: Vec<&Reference> = listed.iter().copied().filter(is_own).collect();
    if own.is_empty() { listed } else { own }
}

/// Returns the digests to which tags were resolved, for images that were requested by tag without
/// a digest.
fn resolved_tags(images: &[ImageToName]) -> BTreeMap<(&Repository, &Tag), &Digest> {
    let images = images.iter().map(|wanted| &wanted.image);
    let images = images.filter(|image| image.requested.digest.is_none());
    let mut meant: BTreeMap<(&Repository, &Tag), &Digest> = BTreeMap::new();
    for image in images {
        if let Some(tag) = &image.tag {
            // A tag should have one digest. If it has two, the order of the images must not
            // decide.
            let known = meant.entry((&image.source, tag)).or_insert(&image.root);
            *known = (*known).min(&image.root);
        }
    }
    meant
}

/// Finds the names that images of different digests share, sorted by name.
fn collisions(placed: &[Placed]) -> Vec<Collision> {
    let mut claims: BTreeMap<Reference, BTreeSet<(Reference, Digest)>> = BTreeMap::new();
    for one in placed {
        let claim = (one.image.asked(), one.image.root);
        claims.entry(one.target()).or_default().insert(claim);
    }
    let differ = |sources: &BTreeSet<(Reference, Digest)>| {
        let digests: BTreeSet<&Digest> = sources.iter().map(|(_, digest)| digest).collect();
        digests.len() > 1
    };
    claims
        .into_iter()
        .filter(|(_, sources)| differ(sources))
        .map(|(target, sources)| Collision {
            target,
            sources: sources.into_iter().map(|(source, _)| source).collect(),
        })
        .collect()
}
