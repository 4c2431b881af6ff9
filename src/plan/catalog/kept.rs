//! The part of a catalog that is kept, with the reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use semver::Version;

use super::VersionBounds;
use crate::content::catalog::Gvk;
use crate::model::Count;

/// The part of a catalog that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// The packages by name.
    pub packages: BTreeMap<String, KeptPackage>,
    /// Warnings for the operator, sorted.
    pub warnings: Vec<FilterWarning>,
}

/// The part of a package that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptPackage {
    /// The default channel; one of `channels`, unless the catalog names none.
    pub default_channel: Option<String>,
    /// Names of the entries that are kept, by channel; no channel is empty.
    pub channels: BTreeMap<String, BTreeSet<String>>,
    /// All bundles of these channels, by name.
    pub bundles: BTreeMap<String, KeptBundle>,
}

/// A bundle that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptBundle {
    /// Version of the bundle, if it has one.
    pub version: Option<Version>,
    /// Reasons for keeping it; at least one.
    pub reasons: BTreeSet<Reason>,
}

/// A reason for keeping a bundle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// The bundle is the head of a channel.
    Head {
        /// Name of the channel.
        channel: String,
    },
    /// The bundle's version was requested.
    Versions {
        /// Name of the channel.
        channel: String,
        /// The requested versions, as text.
        versions: String,
    },
    /// The whole channel was requested.
    Whole {
        /// Name of the channel.
        channel: String,
    },
    /// Another bundle requires the bundle.
    Required {
        /// Name of the other bundle.
        by: String,
        /// The requirement.
        requirement: Requirement,
    },
    /// The bundle is the head of the default channel of a package that another bundle requires.
    DefaultHead {
        /// Name of the channel.
        channel: String,
    },
    /// The bundle connects other kept bundles of the channel: without it, the channel's upgrade
    /// graph would be divided.
    Connects {
        /// Name of the channel.
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

/// A requirement of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Requirement {
    /// A package with a version in a range.
    Package {
        /// Name of the package.
        name: String,
        /// The version range as written.
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

/// A warning about the result of the filter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum FilterWarning {
    /// A channel was removed because no bundle of it is kept.
    #[error(
        "The channel `{}` of package `{}` is left out: it has no version in {versions}",
        channel.escape_debug(), package.escape_debug()
    )]
    EmptyChannel {
        /// Name of the package.
        package: String,
        /// Name of the channel.
        channel: String,
        /// The requested versions, as text.
        versions: String,
    },
    /// Pre-releases lie between the bounds but were not requested.
    #[error(
        "Channel `{}` of package `{}`: {count} pre-releases in {versions} are left out, for example \
         {example}; to include pre-releases, use one as a bound",
        channel.escape_debug(), package.escape_debug()
    )]
    PreReleases {
        /// Name of the package.
        package: String,
        /// Name of the channel.
        channel: String,
        /// The requested versions, as text.
        versions: String,
        /// Number of the pre-releases.
        count: usize,
        /// The highest of them.
        example: Version,
    },
    /// Bundles without a semantic version are in no range.
    #[error(
        "Channel `{}` of package `{}`: {count} without a semantic version (`{}`) cannot be compared \
         with {versions} and fell out, for example `{}`; a channel without a range keeps them",
        channel.escape_debug(), package.escape_debug(), text.escape_debug(), example.escape_debug()
    )]
    NoVersion {
        /// Name of the package.
        package: String,
        /// Name of the channel.
        channel: String,
        /// The requested versions, as text.
        versions: String,
        /// Number of the bundles.
        count: Count,
        /// Name of the first of them.
        example: String,
        /// Its version as written.
        text: String,
    },
    /// Kept bundles require what the filter leaves out, and dependencies were not asked for.
    #[error(
        "{} of package {} requires what the filter leaves out: {requirement} ({count} not \
         met); `--resolve-dependencies` keeps what is required",
        bundle.escape_debug(), package.escape_debug()
    )]
    Unmet {
        /// Name of the first bundle's package.
        package: String,
        /// Name of the first bundle.
        bundle: String,
        /// Its requirement.
        requirement: Requirement,
        /// Number of all requirements that are not met.
        count: Count,
    },
    /// Nothing in the catalog meets a requirement of a bundle.
    #[error(
        "No bundle of the catalog meets a requirement of {} of package {}: {requirement}",
        bundle.escape_debug(), package.escape_debug()
    )]
    Unsatisfied {
        /// Name of the bundle's package.
        package: String,
        /// Name of the bundle.
        bundle: String,
        /// The requirement.
        requirement: Requirement,
    },
    /// Several packages provide what a bundle requires; one of them is kept.
    #[error("Several packages provide {requirement}; {taken} was kept, not {}", others.join(", "))]
    SeveralProviders {
        /// The requirement.
        requirement: Requirement,
        /// Name of the package that is kept.
        taken: String,
        /// Names of the other packages, sorted.
        others: Vec<String>,
    },
    /// A bundle has compound constraints, which are not evaluated.
    #[error(
        "{} of package {} has compound constraints (olm.constraint), which are not evaluated: check its \
         dependencies yourself",
        bundle.escape_debug(), package.escape_debug()
    )]
    Constraints {
        /// Name of the bundle's package.
        package: String,
        /// Name of the bundle.
        bundle: String,
    },
}

impl Kept {
    /// True if the bundle is kept.
    pub fn has(&self, package: &str, bundle: &str) -> bool {
        let package = self.packages.get(package);
        package.is_some_and(|package| package.bundles.contains_key(bundle))
    }
}
