//! Why a document of a bundle is refused.

use super::Rule;
use super::cbor::CborError;
use crate::model::FORMAT_VERSION;

/// How errors call `manifest.cbor`.
pub(super) const MANIFEST: &str = "bundle manifest";
/// How errors call `inventory.cbor`.
pub(super) const INVENTORY: &str = "inventory";

/// Why a document of a bundle is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Its encoding is wrong, or its tables are.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// It is not the kind of document that belongs here.
    #[error("The {document} breaks R-15: its type is `{}` and not `{expected}`", found.escape_debug())]
    Type {
        /// Which document, for people.
        document: &'static str,
        /// The `type` that it has, shortened.
        found: String,
        /// The `type` that it should have.
        expected: &'static str,
    },
    /// It was written for a newer reader.
    #[error(
        "The {document} has format version {found}; this version of airferry reads version {FORMAT_VERSION}"
    )]
    Version {
        /// Which document, for people.
        document: &'static str,
        /// The version that it has.
        found: u64,
    },
    /// It needs something that this version cannot do.
    #[error(
        "The bundle needs the feature `{}`, which this version of airferry does not know",
        feature.escape_debug()
    )]
    Feature {
        /// The feature's name, shortened.
        feature: String,
    },
    /// The bytes are not those that the manifest names.
    #[error("The inventory is not the one that the bundle manifest names: its {what} differs")]
    NotNamed {
        /// What differs: the length or a hash.
        what: &'static str,
    },
    /// What it says contradicts itself or the other document.
    #[error("The {document} breaks {rule}: {fault}")]
    Content {
        /// Which document, for people.
        document: &'static str,
        /// The rule that is broken.
        rule: Rule,
        /// What is wrong with what.
        fault: String,
    },
}

impl DocumentError {
    /// The requirement that is broken.
    pub fn rule(&self) -> Rule {
        match self {
            Self::Cbor(error) => error.rule(),
            Self::Type { .. } | Self::Version { .. } | Self::Feature { .. } => Rule(15),
            Self::NotNamed { .. } => Rule(28),
            Self::Content { rule, .. } => *rule,
        }
    }

    pub(super) fn inventory(rule: u8, fault: String) -> Self {
        Self::Content {
            document: INVENTORY,
            rule: Rule(rule),
            fault,
        }
    }

    pub(super) fn manifest(rule: u8, fault: String) -> Self {
        Self::Content {
            document: MANIFEST,
            rule: Rule(rule),
            fault,
        }
    }
}
