//! The roles of images in a bundle: an image gets a name on the target for each of its roles.

use std::fmt;
use std::str::FromStr;

use crate::model::{Reference, ReleaseEntry, ReleaseVersion};

/// The parts of a release from which names are made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReleaseName {
    /// The release image: equals `requested` of one of the bundle's images.
    pub image: Reference,
    /// Version of the release.
    pub version: ReleaseVersion,
    /// Architecture as in an OCI image config, or `multi`.
    pub architecture: String,
}

impl ReleaseName {
    /// Takes the parts from a release of the inventory.
    pub fn of(release: &ReleaseEntry) -> Self {
        Self {
            image: release.image.clone(),
            version: release.version.clone(),
            architecture: release.architecture.clone(),
        }
    }

    /// Returns the prefix that `oc adm release mirror` gives to its tags: `4.18.1-x86_64`
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

/// The form of a release's tags (docs/oc-compatibility.md, section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReleaseTags {
    /// `<version>-<architecture>[-<component>]`.
    #[default]
    Current,
    /// `<version>[-<component>]`, as `oc` up to 4.6 did.
    Pre47,
}

/// The error for a text that does not name a form of tags.
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

/// The role of an image in the bundle. An image can have several roles: a component of two
/// releases, or a member of a catalog that was also requested by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Requested by itself.
    Plain,
    /// The release image of a release.
    Release(ReleaseName),
    /// A component of a release.
    Component {
        /// The release.
        release: ReleaseName,
        /// The component's name in the release: `cli`.
        name: String,
    },
    /// The image of an operator catalog.
    Catalog,
    /// An image that a catalog names.
    Member {
        /// The catalog image: equals `requested` of one of the bundle's images.
        catalog: Reference,
        /// The reference as the catalog writes it.
        written: String,
    },
}

impl Role {
    /// True for the root of a release or a catalog, which becomes visible after all other images.
    pub fn is_root(&self) -> bool {
        matches!(self, Self::Release(_) | Self::Catalog)
    }

    /// Returns the release image or catalog image of the group to which a member belongs.
    pub fn member_of(&self) -> Option<&Reference> {
        match self {
            Self::Component { release, .. } => Some(&release.image),
            Self::Member { catalog, .. } => Some(catalog),
            Self::Plain | Self::Release(_) | Self::Catalog => None,
        }
    }
}
