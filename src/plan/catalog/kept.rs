//! What is kept of a catalog, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use semver::Version;

use super::VersionBounds;
use crate::content::catalog::Gvk;

/// What is kept of a catalog.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// The packages by name.
    pub packages: BTreeMap<String, KeptPackage>,
    /// What a person should know, in order.
    pub warnings: Vec<FilterWarning>,
}

/// What is kept of a package.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptPackage {
    /// The default channel; one of `channels`, unless the catalog names none.
    pub default_channel: Option<String>,
    /// The names of the entries kept, by channel; none is empty.
    pub channels: BTreeMap<String, BTreeSet<String>>,
    /// All bundles of these channels, by name.
    pub bundles: BTreeMap<String, KeptBundle>,
}

/// A bundle that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptBundle {
    /// Its version, where it has one.
    pub version: Option<Version>,
    /// Why it is kept; not empty.
    pub reasons: BTreeSet<Reason>,
}

/// Why a bundle is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// It is the head of a channel.
    Head {
        /// The channel.
        channel: String,
    },
    /// Its version was asked for.
    Versions {
        /// The channel.
        channel: String,
        /// The versions, as text.
        versions: String,
    },
    /// The whole channel was asked for.
    Whole {
        /// The channel.
        channel: String,
    },
    /// Another bundle requires it.
    Required {
        /// That bundle.
        by: String,
        /// What it requires.
        requirement: Requirement,
    },
    /// It is the head of the default channel of a package that another bundle requires.
    DefaultHead {
        /// The channel.
        channel: String,
    },
    /// Without it the upgrades of a channel would fall apart.
    Connects {
        /// The channel.
        channel: String,
    },
}

impl Reason {
    pub(super) fn versions(channel: &str, versions: &VersionBounds) -> Self {
        Self::Versions {
            channel: channel.to_owned(),
            versions: versions.to_string(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head { channel } => write!(f, "head of {}", channel.escape_debug()),
            Self::Versions { channel, versions } => {
                write!(f, "in {versions} of {}", channel.escape_debug())
            }
            Self::Whole { channel } => write!(f, "in {}", channel.escape_debug()),
            Self::Required { by, requirement } => {
                write!(f, "required by {} ({requirement})", by.escape_debug())
            }
            Self::DefaultHead { channel } => {
                write!(f, "head of {}, the default channel", channel.escape_debug())
            }
            Self::Connects { channel } => {
                write!(f, "connects the upgrades of {}", channel.escape_debug())
            }
        }
    }
}

/// What a bundle requires.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Requirement {
    /// A package in certain versions.
    Package {
        /// The package.
        name: String,
        /// The range as written.
        range: String,
    },
    /// An API.
    Api(Gvk),
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package { name, range } => {
                let (name, range) = (name.escape_debug(), range.escape_debug());
                write!(f, "olm.package.required {name} {range}")
            }
            Self::Api(Gvk {
                group,
                version,
                kind,
            }) => {
                let (group, version) = (group.escape_debug(), version.escape_debug());
                write!(
                    f,
                    "olm.gvk.required {group}/{version} {}",
                    kind.escape_debug()
                )
            }
        }
    }
}

/// Something that a person should know of the result.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum FilterWarning {
    /// A channel of which nothing is left was taken out.
    #[error(
        "Nothing of the channel `{}` of package `{}` is left: it has no version in {versions}",
        channel.escape_debug(), package.escape_debug()
    )]
    EmptyChannel {
        /// The package.
        package: String,
        /// The channel.
        channel: String,
        /// The versions asked for, as text.
        versions: String,
    },
    /// Pre-releases lie between the bounds and were not asked for.
    #[error(
        "In the channel `{}` of package `{}`, {count} pre-releases between {versions} do not \
         count, among them {example}: give a bound that is a pre-release to mean them too",
        channel.escape_debug(), package.escape_debug()
    )]
    PreReleases {
        /// The package.
        package: String,
        /// The channel.
        channel: String,
        /// The versions asked for, as text.
        versions: String,
        /// How many.
        count: usize,
        /// The greatest of them.
        example: Version,
    },
    /// Nothing in the catalog gives what a bundle requires.
    #[error(
        "Nothing in the catalog gives what {} of package {} requires: {requirement}",
        bundle.escape_debug(), package.escape_debug()
    )]
    Unsatisfied {
        /// The bundle's package.
        package: String,
        /// The bundle.
        bundle: String,
        /// What it requires.
        requirement: Requirement,
    },
    /// Several packages provide an API; the first one was taken.
    #[error("{requirement} is provided by several packages; taken is {taken}, others are {}", others.join(", "))]
    SeveralProviders {
        /// What is required.
        requirement: Requirement,
        /// The package that is kept.
        taken: String,
        /// The others, sorted.
        others: Vec<String>,
    },
    /// A bundle has requirements of a kind that is not followed.
    #[error(
        "{} of package {} has compound constraints (olm.constraint), which are not followed",
        bundle.escape_debug(), package.escape_debug()
    )]
    Constraints {
        /// The package.
        package: String,
        /// The bundle.
        bundle: String,
    },
}

impl Kept {
    /// Whether a bundle is kept.
    pub fn has(&self, package: &str, bundle: &str) -> bool {
        let package = self.packages.get(package);
        package.is_some_and(|package| package.bundles.contains_key(bundle))
    }
}
