//! Where each image goes on the target: repository and tag.
//!
//! Knows names and digests only; what a registry holds already is somebody else's question.
//! Rules: reference section 4.2 (`oc`), section 5.10 (`oc-mirror`).

mod components;
mod error;
mod tags;
mod target;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use components::{MaxComponents, MaxComponentsError};
pub use error::{Collision, LongName, NamingError};
pub use tags::{digest_tag, fnv_tag, root_tag};
pub use target::{Target, TargetError};

use crate::model::{Digest, Reference, Repository, RepositoryPath, Tag};

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
    /// The image under its source's name: with its tag, else with its digest.
    pub fn reference(&self) -> Reference {
        match &self.tag {
            Some(tag) => self.source.tagged(tag.clone()),
            None => self.source.pinned(self.root),
        }
    }
}

/// Whose naming habits to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// The source path at any depth; an image without a tag is given `sha256-<hex>`.
    #[default]
    Plain,
    /// As `oc adm catalog mirror` names catalog content: two components, FNV tags.
    Oc,
    /// As oc-mirror v2 names operator, additional and helm images; for these the rules are
    /// the plain ones.
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

/// How to name images on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Whose habits.
    pub profile: Profile,
    /// `--max-components`; the profile's own limit when absent.
    pub max_components: Option<MaxComponents>,
}

impl Options {
    /// The limit that is in force.
    pub fn components(&self) -> MaxComponents {
        self.max_components
            .unwrap_or_else(|| self.profile.default_components())
    }
}

/// An image with its name on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The image.
    pub image: SourceImage,
    /// Its repository on the target.
    pub repository: Repository,
    /// Its tag there: its own, or one made for it.
    pub tag: Tag,
    /// Whether somebody who asks the source for this tag means this image. False for tags
    /// that were made from a digest.
    pub tag_is_own: bool,
}

impl Placed {
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
    /// The images, in the order in which they were given.
    pub fn images(&self) -> &[Placed] {
        &self.placed
    }
}

/// Names every image on the target.
///
/// Several sources may share a repository, and images with the same digest may share a tag.
///
/// # Errors
///
/// [`NamingError::TooLong`] with every name that is too long for a registry, else
/// [`NamingError::Collisions`] with every repository and tag that images of different digest
/// would have to share.
pub fn place(
    images: &[SourceImage],
    target: &Target,
    options: &Options,
) -> Result<Placement, NamingError> {
    let limit = options.components();
    let mut placed = Vec::with_capacity(images.len());
    let mut too_long = BTreeSet::new();
    for image in images {
        let path = limit.join(target.components().chain(image.source.path.components()));
        if path.len() > MAX_PATH {
            let image = image.reference();
            too_long.insert(LongName { image, path });
            continue;
        }
        let refused = |source| NamingError::Name {
            image: Box::new(image.reference()),
            source,
        };
        let path: RepositoryPath = path.parse().map_err(refused)?;
        let (tag, tag_is_own) = tags::target_tag(image, options.profile).map_err(refused)?;
        placed.push(Placed {
            image: image.clone(),
            repository: Repository::new(target.host.clone(), path),
            tag,
            tag_is_own,
        });
    }
    if !too_long.is_empty() {
        let names = too_long.into_iter().collect();
        return Err(NamingError::TooLong { names });
    }
    let collisions = collisions(&placed);
    if !collisions.is_empty() {
        return Err(NamingError::Collisions { collisions, limit });
    }
    Ok(Placement { placed })
}

/// Finds the names that images of different digest share, sorted by name.
fn collisions(placed: &[Placed]) -> Vec<Collision> {
    let mut claims: BTreeMap<Reference, BTreeSet<(Reference, Digest)>> = BTreeMap::new();
    for one in placed {
        let claim = (one.image.reference(), one.image.root);
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
            sources: sources.into_iter().collect(),
        })
        .collect()
}
