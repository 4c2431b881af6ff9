//! `mapping.txt`: the source and target of each image, in the format of
//! `oc image mirror --filename` (docs/oc-compatibility.md, sections 1.3 and 4.3).

use std::collections::BTreeSet;

use crate::model::Reference;
use crate::plan::naming::Placed;

/// An image, and its name on the target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// The image's name at its source: by digest if it was requested by digest.
    pub source: Reference,
    /// The image's name on the target, with a tag, since registries garbage-collect untagged
    /// manifests; without one if the tag points to another image.
    pub target: Reference,
}

impl Mapping {
    /// The mapping of a placed image.
    pub fn of(placed: &Placed) -> Self {
        let image = &placed.image;
        let source = match (&image.requested.digest, &image.tag) {
            (Some(digest), _) => image.source.pinned(*digest),
            (None, Some(tag)) => image.source.tagged(tag.clone()),
            (None, None) => Reference {
                repository: image.source.clone(),
                tag: None,
                digest: None,
            },
        };
        Self {
            source,
            target: placed.target(),
        }
    }

    /// The mapping of an image that has no tag on the target.
    pub fn by_digest_alone(placed: &Placed) -> Self {
        let image = &placed.image;
        let mut target = placed.target();
        target.tag = None;
        Self {
            source: image.source.pinned(image.root),
            target,
        }
    }
}

/// One line `SOURCE=TARGET` for each mapping, sorted, without repetitions.
pub(super) fn render(mappings: &[Mapping]) -> String {
    let lines: BTreeSet<String> = mappings
        .iter()
        .map(|mapping| format!("{}={}\n", mapping.source, mapping.target))
        .collect();
    lines.into_iter().collect()
}
