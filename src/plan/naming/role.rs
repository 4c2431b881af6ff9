//! What an image is to its bundle: a name of its own on the target for each role.

use std::fmt;
use std::str::FromStr;

use crate::model::{Reference, ReleaseEntry, ReleaseVersion};

/// A release, as names are made of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReleaseName {
    /// The release image: `requested` of one of the bundle's images.
    pub image: Reference,
    /// Its version.
    pub version: ReleaseVersion,
    /// Architecture as in an OCI image config, or `multi`.
    pub architecture: String,
}

impl ReleaseName {
    /// The name of a release of the inventory.
    pub fn of(release: &ReleaseEntry) -> Self {
        Self {
            image: release.image.clone(),
            version: release.version.clone(),
            architecture: release.architecture.clone(),
        }
    }

    /// What `oc adm release mirror` begins its tags with: `4.18.1-x86_64`
    /// (docs/oc-compatibility.md, section 2.2).
    pub fn tag(&self, tags: ReleaseTags) -> String {
        let architecture = match self.architecture.as_str() {
            "amd64" => "x86_64",
            "arm64" => "aarch64",
            other => other,
        };
        match tags {
            ReleaseTags::Current => format!("{}-{architecture}", self.version),
            ReleaseTags::Pre47 => self.version.to_string(),
        }
    }
}

/// How tags of release content are made (docs/oc-compatibility.md, section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReleaseTags {
    /// `<version>-<architecture>[-<component>]`.
    #[default]
    Current,
    /// `<version>[-<component>]`, as `oc` up to 4.6 did.
    Pre47,
}

/// Why a text names no form of tags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no form of release tags: write current or pre-4.7", .0.escape_debug())]
pub struct ReleaseTagsError(String);

impl FromStr for ReleaseTags {
    type Err = ReleaseTagsError;

    fn from_str(text: &str) -> Result<Self, ReleaseTagsError> {
        match text {
            "current" => Ok(Self::Current),
            "pre-4.7" => Ok(Self::Pre47),
            other => Err(ReleaseTagsError(other.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for ReleaseTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Current => "current",
            Self::Pre47 => "pre-4.7",
        })
    }
}

/// What an image is to its bundle. An image may have several roles: a component of two
/// releases, a member of a catalog that was also asked for on its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Asked for on its own.
    Plain,
    /// The release image of a release.
    Release(ReleaseName),
    /// An image that a release is made of.
    Component {
        /// The release.
        release: ReleaseName,
        /// Its name in the release: `cli`.
        name: String,
    },
    /// The image of an operator catalog.
    Catalog,
    /// An image that a catalog names.
    Member {
        /// The catalog image: `requested` of one of the bundle's images.
        catalog: Reference,
        /// The reference as the catalog writes it.
        written: String,
    },
}

impl Role {
    /// Whether it stands for a whole release or catalog: becomes visible after all others.
    pub fn is_root(&self) -> bool {
        matches!(self, Self::Release(_) | Self::Catalog)
    }

    /// The release image or catalog image of the group that it is a member of.
    pub fn member_of(&self) -> Option<&Reference> {
        match self {
            Self::Component { release, .. } => Some(&release.image),
            Self::Member { catalog, .. } => Some(catalog),
            Self::Plain | Self::Release(_) | Self::Catalog => None,
        }
    }
}
