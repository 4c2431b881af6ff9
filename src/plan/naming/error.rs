//! Why images cannot be named on the target.

use std::fmt;

use super::{MAX_PATH, MaxComponents};
use crate::model::{Host, NameError, Reference};

/// Why images cannot be named on the target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamingError {
    /// Repository paths that no registry accepts.
    #[error(
        "Names on the target are longer than {MAX_PATH} bytes: {}",
        List(names)
    )]
    TooLong {
        /// All of them, sorted by image.
        names: Vec<LongName>,
    },
    /// Images that would overwrite each other.
    #[error(
        "Different images would get the same name on the target: {}",
        List(collisions)
    )]
    Collisions {
        /// All of them, sorted by name on the target.
        collisions: Vec<Collision>,
        /// The limit that was in force.
        limit: MaxComponents,
    },
    /// Release content goes into exactly one repository, and none is named.
    #[error("A release needs a repository on `{target}` to go to, and the target names none")]
    NoReleaseRepository {
        /// The target registry.
        target: Host,
    },
    /// The release image was to go to another registry.
    #[error("The release image would go to `{host}`, and everything else to `{target}`")]
    OtherRegistry {
        /// The target registry.
        target: Host,
        /// The other one.
        host: Host,
    },
    /// A mapping puts an image on another registry.
    #[error("The mapping puts `{image}` on `{host}`, and the target is `{target}`")]
    ListedElsewhere {
        /// The image.
        image: Box<Reference>,
        /// The registry in the mapping.
        host: Host,
        /// The target registry.
        target: Host,
    },
    /// A name that breaks the grammar.
    #[error("`{image}` has no valid name on the target")]
    Name {
        /// The image.
        image: Box<Reference>,
        /// What is wrong with its name.
        source: NameError,
    },
}

impl NamingError {
    /// What the person can do about it, in the words of the command line.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TooLong { .. } => Some("Give a shorter namespace with `--to`".to_owned()),
            Self::Collisions { limit, .. } if limit.is_unlimited() => Some(
                "Give one of them another name: `--mapping FILE` with a line `SOURCE=TARGET`"
                    .to_owned(),
            ),
            Self::Collisions { limit, .. } => Some(format!(
                "Give one of them another name: `--mapping FILE` with a line `SOURCE=TARGET`; or, \
                 where the paths differ at their sources, allow deeper ones: `--max-components` \
                 greater than {limit}, or 0 for any depth. Releases of one version need their \
                 architecture in the tag: without `--release-tags pre-4.7`"
            )),
            Self::NoReleaseRepository { target } => Some(format!(
                "Name it with `--to {target}/PATH`, or with `--to-release-repository PATH` when \
                 other images go elsewhere; `--profile oc-mirror` has names of its own"
            )),
            Self::OtherRegistry { target, .. } => Some(format!(
                "Name a repository on {target} with `--to-release-image`"
            )),
            Self::ListedElsewhere { host, .. } => Some(format!(
                "Write `--to {host}`, or change the right-hand sides of the mapping"
            )),
            Self::Name { .. } => None,
        }
    }
}

/// An image whose path on the target is too long.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LongName {
    /// The image, under its source's name.
    pub image: Reference,
    /// The path that it would get, registry not counted.
    pub path: String,
}

impl fmt::Display for LongName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({} bytes)", self.image, self.path.len())
    }
}

/// A name on the target that several images of different digest would get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// The name.
    pub target: Reference,
    /// The images as they were asked for, under their sources' names, sorted; two or more.
    pub sources: Vec<Reference>,
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, reference) in self.sources.iter().enumerate() {
            let before = if index == 0 { "" } else { " and " };
            write!(f, "{before}`{reference}`")?;
        }
        write!(f, " as `{}`", self.target)
    }
}

/// Items joined with semicolons.
struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            let before = if index == 0 { "" } else { "; " };
            write!(f, "{before}{item}")?;
        }
        Ok(())
    }
}
