//! Errors of naming images on the target.

use std::fmt;

use super::{MAX_PATH, MaxComponents};
use crate::model::{Host, NameError, Reference};

/// The error for images that cannot be named on the target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamingError {
    /// Repository paths are longer than any registry accepts.
    #[error(
        "Names on the target are longer than {MAX_PATH} bytes: {}",
        List(names)
    )]
    TooLong {
        /// All such names, sorted by image.
        names: Vec<LongName>,
    },
    /// Several images would get the same name, and would overwrite each other.
    #[error(
        "Different images would get the same name on the target: {}",
        List(collisions)
    )]
    Collisions {
        /// All such names, sorted by name on the target.
        collisions: Vec<Collision>,
        /// The limit of path components that was in force.
        limit: MaxComponents,
    },
    /// A release needs exactly one repository, and the target does not name one.
    #[error("No repository is given for the release: `{target}` is only a registry")]
    NoReleaseRepository {
        /// The target registry.
        target: Host,
    },
    /// The option for release images names another registry than the target.
    #[error("--to-release-image names the registry `{host}`, but the target is `{target}`")]
    OtherRegistry {
        /// The target registry.
        target: Host,
        /// The other registry.
        host: Host,
    },
    /// A mapping gives an image a name on another registry than the target.
    #[error("The mapping file gives `{image}` a name on `{host}`, but the target is `{target}`")]
    ListedElsewhere {
        /// The image.
        image: Box<Reference>,
        /// The registry in the mapping.
        host: Host,
        /// The target registry.
        target: Host,
    },
    /// The name of an image would break the grammar of names.
    #[error("`{image}` has no valid name on the target")]
    Name {
        /// The image.
        image: Box<Reference>,
        /// The error in the name.
        source: NameError,
    },
}

impl NamingError {
    /// Returns what the operator can do about it, as options of the command line.
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
                 other images go elsewhere; or use `--profile oc-mirror`, which names it itself"
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
    /// The image, under its name at the source.
    pub image: Reference,
    /// The path that it would get, the registry not included.
    pub path: String,
}

impl fmt::Display for LongName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({} bytes)", self.image, self.path.len())
    }
}

/// A name on the target that several images with different digests would get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// The name on the target.
    pub target: Reference,
    /// The images as requested, under their names at the source, sorted; at least two.
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

/// Displays items separated by semicolons.
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
