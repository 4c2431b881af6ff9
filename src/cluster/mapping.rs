//! `mapping.txt`: which image went where, as `oc image mirror --filename` reads it
//! (docs/oc-compatibility.md, sections 1.3 and 4.3).

use std::collections::BTreeSet;

use crate::model::Reference;
use crate::plan::naming::Placed;

/// An image and its name on the target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// The image under its source's name: by digest when it was asked for by digest.
    pub source: Reference,
    /// Its name on the target, with a tag, since registries collect what has none; without one
    /// where the tag points elsewhere.
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
