//! Errors of a bundle's documents.

use super::Rule;
use super::cbor::CborError;
use crate::model::FORMAT_VERSION;

/// Name of `manifest.cbor` in error messages.
pub(super) const MANIFEST: &str = "bundle manifest";
/// Name of `inventory.cbor` in error messages.
pub(super) const INVENTORY: &str = "inventory";

/// The reason why a document of a bundle is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The encoding breaks a rule, or the content does not fit the tables.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// The document has the wrong type.
    #[error("The {document} breaks R-13: its type is `{}` and not `{expected}`", found.escape_debug())]
    Type {
        /// Name of the document, for messages.
        document: &'static str,
        /// The `type` found, shortened.
        found: String,
        /// The `type` expected.
        expected: &'static str,
    },
    /// The document has a format version that this program does not read.
    #[error(
        "The {document} has format version {found}; this version of airferry reads version {FORMAT_VERSION}"
    )]
    Version {
        /// Name of the document, for messages.
        document: &'static str,
        /// The format version found.
        found: u64,
    },
    /// The bundle requires a feature that this version does not support.
    #[error(
        "The bundle needs the feature `{}`, which this version of airferry does not know",
        feature.escape_debug()
    )]
    Feature {
        /// Name of the feature, shortened.
        feature: String,
    },
    /// The bytes of the inventory are not those that the manifest names.
    #[error("The inventory is not the one that the bundle manifest names: its {what} differs")]
    NotNamed {
        /// The property that differs: the length or a hash.
        what: &'static str,
    },
    /// The content contradicts itself or the other document.
    #[error("The {document} breaks {rule}: {fault}")]
    Content {
        /// Name of the document, for messages.
        document: &'static str,
        /// The rule that is broken.
        rule: Rule,
        /// Description of the fault.
        fault: String,
    },
}

impl DocumentError {
    /// The rule that is broken.
    pub fn rule(&self) -> Rule {
        match self {
            Self::Cbor(error) => error.rule(),
            Self::Type { .. } | Self::Version { .. } | Self::Feature { .. } => Rule(13),
            Self::NotNamed { .. } => Rule(20),
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
