//! One tag of a source that is pinned to several digests: which of them has it on the target.
//!
//! Catalogs name `repo:tag@A` and `repo:tag@B` when the tag moved between two releases of an
//! operator. Clusters ask for both by digest, so both go to the target; one of them has the tag,
//! and each other one is given the tag that it would have without one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{NamingError, Options, Placed, SourceImage, Wanted, rules};
use crate::model::{Count, Digest, Reference, Repository, Tag};

/// The name of an image as the rules give it, before it is compared with those of others.
pub(super) struct Named<'w> {
    pub(super) wanted: &'w Wanted,
    pub(super) repository: Repository,
    pub(super) tag: Tag,
    /// Whether the tag is the one that the image was asked for by.
    pub(super) tag_is_own: bool,
    /// Whether a mapping chose the tag.
    pub(super) is_listed: bool,
    /// The digest that has the tag which this image was asked for by, when that is another one.
    pub(super) kept_by: Option<Digest>,
}

/// Images of one source that would have the same name on the target.
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

    /// What it claims; nothing when its tag was made for it.
    fn claim(&self) -> Option<Claim<'w>> {
        self.tag_is_own.then(|| Claim {
            source: &self.image().source,
            repository: self.repository.clone(),
            tag: self.tag.clone(),
        })
    }

    /// Who comes first: what a mapping says, what the tag itself means, then the least digest.
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

/// Gives one image of each source's tag the tag, and all others that were asked for by digest a
/// tag of their digest. `moving` is what tags mean, of the images that were asked for by tag
/// alone.
pub(super) fn share_out(
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
        // Who asks by tag alone needs the tag. A mapping gives it to several, too: that of `oc`.
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

/// A tag that is pinned to several digests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharedTag {
    /// The tag under its source's name.
    pub source: Reference,
    /// The digest that has it on the target.
    pub kept_by: Digest,
    /// The other digests, with the names that they have there. Sorted, at least one.
    pub others: BTreeSet<(Digest, Reference)>,
}

impl SharedTag {
    /// Which digest has the tag, without the names on a target.
    pub fn in_short(&self) -> String {
        let digests: BTreeSet<String> = self.others.iter().map(|(d, _)| d.to_string()).collect();
        let others: Vec<String> = digests.into_iter().collect();
        format!(
            "`{}` is pinned to {}: {} has the tag on the target, {} a tag made of the digest",
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

/// The tags that several digests of one source share, sorted.
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
