//! Decides which digest gets a tag on the target when one tag of a source is pinned to several.
//!
//! Catalogs name `repo:tag@A` and `repo:tag@B` when the tag moved between two releases of an
//! operator. Clusters pull both by digest, so both go to the target. One of them gets the tag;
//! each other one gets the tag that an image without a tag would get.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{ImageToName, NamingError, Options, Placed, SourceImage, rules};
use crate::model::{Count, Digest, Reference, Repository, Tag};

/// The name of an image by mapping and rules, before it is compared with those of other images.
pub(super) struct Named<'w> {
    pub(super) wanted: &'w ImageToName,
    pub(super) repository: Repository,
    pub(super) tag: Tag,
    /// True if the tag is the one under which the image was requested.
    pub(super) tag_is_own: bool,
    /// True if a mapping chose the tag.
    pub(super) is_listed: bool,
    /// Digest of the image that got this image's tag, if another one got it.
    pub(super) kept_by: Option<Digest>,
}

/// The name that images of one source may have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Claim<'w> {
    source: &'w Repository,
    repository: Repository,
    tag: Tag,
}

impl<'w> Named<'w> {
    fn image(&self) -> &'w SourceImage {
        &self.wanted.image
    }

    /// Returns the claim to the image's own tag; `None` if its tag was made for it.
    fn claim(&self) -> Option<Claim<'w>> {
        self.tag_is_own.then(|| Claim {
            source: &self.image().source,
            repository: self.repository.clone(),
            tag: self.tag.clone(),
        })
    }

    /// Returns the rank for the tag, the lowest first: images that a mapping chose, then the image
    /// to which the tag itself was resolved, then the others, each by ascending digest.
    fn rank(&self, moving: &BTreeMap<(&Repository, &Tag), &Digest>) -> (u8, Digest) {
        let image = self.image();
        let meant = image.tag.as_ref().map(|tag| (&image.source, tag));
        let is_meant = meant.and_then(|key| moving.get(&key)) == Some(&&image.root);
        let class = match (self.is_listed, is_meant) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        };
        (class, image.root)
    }
}

/// Gives each claimed tag to one image, and to all others that were requested by digest a tag
/// made from their digest. `moving` has the digests to which tags were resolved, for images that
/// were requested by tag without a digest.
pub(super) fn assign_tags(
    named: &mut [Named<'_>],
    moving: &BTreeMap<(&Repository, &Tag), &Digest>,
    options: &Options,
) -> Result<(), NamingError> {
    let mut first: BTreeMap<Claim<'_>, (u8, Digest)> = BTreeMap::new();
    for one in named.iter() {
        if let Some(claim) = one.claim() {
            let rank = one.rank(moving);
            let known = first.entry(claim).or_insert(rank);
            *known = (*known).min(rank);
        }
    }
    for one in named {
        let keeper = one.claim().and_then(|claim| first.get(&claim));
        let Some((_, keeper)) = keeper else {
            continue;
        };
        let image = one.image();
        // An image requested by tag without a digest must keep its tag. A listed image need not:
        // the mapping that `oc` writes gives one tag to several digests.
        if image.root == *keeper || image.requested.digest.is_none() {
            continue;
        }
        let tag = rules::tag_of_digest(one.wanted, options);
        one.tag = tag.map_err(|source| NamingError::Name {
            image: Box::new(image.reference()),
            source,
        })?;
        one.tag_is_own = false;
        one.kept_by = Some(*keeper);
    }
    Ok(())
}

/// A source's tag that is pinned to several digests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharedTag {
    /// The tag under its source's name.
    pub source: Reference,
    /// Digest of the image that has the tag on the target.
    pub kept_by: Digest,
    /// The other digests, each with its image's name on the target; sorted, at least one.
    pub others: BTreeSet<(Digest, Reference)>,
}

impl SharedTag {
    /// Describes which digest has the tag, without the names on a target.
    pub fn summary(&self) -> String {
        let digests: BTreeSet<String> = self.others.iter().map(|(d, _)| d.to_string()).collect();
        let others: Vec<String> = digests.into_iter().collect();
        format!(
            "`{}` names {}: on the target {} gets the tag, {} a tag made from the digest",
            self.source,
            Count::of(others.len() + 1, "digest"),
            self.kept_by,
            others.join(" and "),
        )
    }
}

impl fmt::Display for SharedTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is pinned to several digests: {} has the tag on the target",
            self.source, self.kept_by
        )?;
        for (digest, name) in &self.others {
            write!(f, ", {digest} is `{name}`")?;
        }
        Ok(())
    }
}

/// Returns the tags that several digests of one source share, sorted.
pub fn shared_tags(placed: &[Placed]) -> Vec<SharedTag> {
    let mut shared: BTreeMap<(Reference, Digest), BTreeSet<(Digest, Reference)>> = BTreeMap::new();
    for one in placed {
        let (Some(kept_by), Some(tag)) = (one.kept_by, &one.image.tag) else {
            continue;
        };
        let source = one.image.source.tagged(tag.clone());
        let others = shared.entry((source, kept_by)).or_default();
        others.insert((one.image.root, one.target()));
    }
    let shared = shared.into_iter();
    shared
        .map(|((source, kept_by), others)| SharedTag {
            source,
            kept_by,
            others,
        })
        .collect()
}
