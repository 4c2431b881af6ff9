//! Where each image goes on the target: repository and tag.
//!
//! Knows names and digests only; what a registry holds already is somebody else's question.
//! Rules: docs/oc-compatibility.md, sections 2.2 and 4.2 (`oc`) and 5.4 (oc-mirror).

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

/// Longest repository path in bytes, registry not counted (distribution's reference grammar).
const MAX_PATH: usize = 255;

/// What must be known of an image to name it on the target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceImage {
    /// What clusters call the repository.
    pub source: Repository,
    /// The tag under which it was asked for.
    pub tag: Option<Tag>,
    /// Digest of the top manifest.
    pub root: Digest,
    /// The reference as asked for. One with neither tag nor digest means `latest`.
    pub requested: Reference,
}

impl SourceImage {
    /// What was asked for, under its source's name.
    pub fn asked(&self) -> Reference {
        Reference {
            repository: self.source.clone(),
            tag: self.tag.clone(),
            digest: self.requested.digest,
        }
    }

    /// The image under its source's name: with its tag, else with its digest.
    pub fn reference(&self) -> Reference {
        match &self.tag {
            Some(tag) => self.source.tagged(tag.clone()),
            None => self.source.pinned(self.root),
        }
    }
}

/// An image that needs a name on the target, for one of its roles.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// The image.
    pub image: SourceImage,
    /// What it is to the bundle.
    pub role: Role,
}

/// Whose naming habits to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The source path at any depth; an image without a tag is given `sha256-<hex>`.
    Plain,
    /// As `oc adm release mirror` and `oc adm catalog mirror`: a release in one repository,
    /// catalog content with two components and FNV tags.
    Oc,
    /// As oc-mirror v2: releases below `openshift/`; for all else the rules are the plain ones.
    OcMirror,
}

impl Profile {
    /// The limit that holds when the person gave none.
    pub const fn default_components(self) -> MaxComponents {
        match self {
            Self::Plain | Self::OcMirror => MaxComponents::UNLIMITED,
            Self::Oc => MaxComponents::OC_DEFAULT,
        }
    }
}

/// How release content is named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReleaseOptions {
    /// The repository for it, under the profile `oc`; the target's namespace when absent.
    pub repository: Option<RepositoryPath>,
    /// The repository of release images, apart from the components'.
    pub image: Option<Repository>,
    /// The tag of release images.
    pub tag: Option<Tag>,
    /// The form of tags, under the profile `oc`.
    pub tags: ReleaseTags,
}

/// How to name images on the target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Whose habits, for everything; when absent, those of `oc` for releases and catalogs, and
    /// the plain ones for all else.
    pub profile: Option<Profile>,
    /// `--max-components`; the profile's own limit when absent.
    pub max_components: Option<MaxComponents>,
    /// Names of release content.
    pub release: ReleaseOptions,
    /// Names that somebody has chosen one by one; they are above all rules.
    pub listed: MappingFile,
}

impl Options {
    /// Whose habits are followed for images of a role.
    pub fn profile_of(&self, role: &Role) -> Profile {
        match role {
            Role::Plain => self.profile.unwrap_or(Profile::Plain),
            _ => self.content_profile(),
        }
    }

    /// Whose habits are followed for releases and catalogs.
    pub fn content_profile(&self) -> Profile {
        self.profile.unwrap_or(Profile::Oc)
    }

    /// The limit that is in force for images of a role.
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
    /// What it is to the bundle, sorted: at least one role.
    pub roles: Vec<Role>,
    /// Its repository on the target.
    pub repository: Repository,
    /// Its tag there: its own, or one made for it.
    pub tag: Tag,
    /// Whether somebody who asks the source for this tag means this image. False for tags
    /// that were made from a digest.
    pub tag_is_own: bool,
    /// The digest that has the tag which this image was asked for by, when its source's tag is
    /// pinned to several digests and another one has it.
    pub kept_by: Option<Digest>,
    /// Whether another of the image's names, which a mapping gave it, has its own tag.
    pub has_own_tag_elsewhere: bool,
}

impl Placed {
    /// Whether a mapping gave another tag to an image that clusters ask for by tag: no mirror
    /// policy can express that. What releases and catalogs are reached by follows other ways.
    pub fn is_retagged(&self) -> bool {
        let by_name = |role: &Role| matches!(role, Role::Plain | Role::Member { .. });
        let is_found = self.tag_is_own || self.has_own_tag_elsewhere;
        self.image.requested.digest.is_none() && !is_found && self.roles.iter().any(by_name)
    }

    /// `repository:tag` on the target.
    pub fn target(&self) -> Reference {
        self.repository.tagged(self.tag.clone())
    }
}

/// The names of all images, free of collisions. Only [`place`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    placed: Vec<Placed>,
}

impl Placement {
    /// The images, in the order in which they were first given. One that gets the same name for
    /// several roles is there once.
    pub fn images(&self) -> &[Placed] {
        &self.placed
    }
}

/// Names every image on the target.
///
/// Several sources may share a repository, and images with the same digest may share a tag.
/// Where one source's tag is pinned to several digests, one of them has it: the one that a
/// mapping says, else the one that the tag itself means, else the least digest.
///
/// # Errors
///
/// [`NamingError::TooLong`] with every name that is too long for a registry, else
/// [`NamingError::Collisions`] with every repository and tag that images of different digest
/// would have to share.
pub fn place(
    images: &[Wanted],
    target: &Target,
    options: &Options,
) -> Result<Placement, NamingError> {
    let mut named = names(images, target, options)?;
    let moving = by_tag_alone(images);
    shared::share_out(&mut named, &moving, options)?;
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
        // Somebody who asks for the tag means the image that was asked for by tag alone.
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

/// The names of all images as the mapping and the rules give them, whatever the others are called.
fn names<'w>(
    images: &'w [Wanted],
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

/// The names of an image for one of its roles: those that a mapping lists, else the one that the
/// rules give. A name that is too long is told apart, so that all of them can be reported.
fn names_of<'w>(
    wanted: &'w Wanted,
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

/// Tags under which one digest of a repository was asked for.
type Siblings<'a> = BTreeMap<(&'a Repository, &'a Digest), BTreeSet<&'a Tag>>;

/// Images that a mapping cannot tell apart: it writes what was asked for by digest without a tag.
fn siblings(images: &[Wanted]) -> Siblings<'_> {
    let mut siblings = Siblings::new();
    for image in images.iter().map(|wanted| &wanted.image) {
        if let (Some(digest), Some(tag)) = (&image.requested.digest, &image.tag) {
            let tags = siblings.entry((&image.source, digest)).or_default();
            tags.insert(tag);
        }
    }
    siblings
}

/// Leaves out the listed names whose tags are those of siblings: `repo:1@d` and `repo:2@d` both
/// have the line `repo@d=...:1` and the line `repo@d=...:2`, and each of them is the one it names.
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

/// What tags mean, of the images that were asked for by tag alone.
fn by_tag_alone(images: &[Wanted]) -> BTreeMap<(&Repository, &Tag), &Digest> {
    let images = images.iter().map(|wanted| &wanted.image);
    let images = images.filter(|image| image.requested.digest.is_none());
    let mut meant: BTreeMap<(&Repository, &Tag), &Digest> = BTreeMap::new();
    for image in images {
        if let Some(tag) = &image.tag {
            // A tag means one thing; should it be said to mean two, the order must not decide.
            let known = meant.entry((&image.source, tag)).or_insert(&image.root);
            *known = (*known).min(&image.root);
        }
    }
    meant
}

/// Finds the names that images of different digest share, sorted by name.
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
