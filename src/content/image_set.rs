//! Reads the `operators` stanzas of an oc-mirror `ImageSetConfiguration`, v2alpha1
//! (docs/oc-compatibility.md, section 5.1).
//!
//! Strict, because people write this file for us: an unknown field would silently have no effect,
//! and with a duplicate key it is unclear which one was meant. Both are errors.

use serde::Deserialize;

use crate::encoding::yaml::{self, Duplicates, YamlError, YamlLimits};

/// An `ImageSetConfiguration` that names catalogs and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ImageSet {
    /// Always [`ImageSet::API_VERSION`].
    pub api_version: String,
    /// Always [`ImageSet::KIND`].
    pub kind: String,
    /// The `mirror` section.
    pub mirror: Mirror,
}

/// The content to mirror.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Catalogs.
    pub operators: Vec<Operators>,
}

/// A catalog and the part of it to mirror.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Operators {
    /// The catalog's reference as written.
    pub catalog: String,
    /// True to mirror all bundles, not only the heads of channels.
    #[serde(default)]
    pub full: bool,
    /// Ignored, as oc-mirror ignores it.
    #[serde(default)]
    pub skip_dependencies: Option<bool>,
    /// The packages to mirror; all when empty.
    #[serde(default)]
    pub packages: Vec<Package>,
}

/// A package to mirror.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Package {
    /// Name of the package.
    pub name: String,
    /// The default channel that the package gets.
    #[serde(default)]
    pub default_channel: Option<String>,
    /// The lowest version to mirror.
    #[serde(default)]
    pub min_version: Option<String>,
    /// The highest version to mirror.
    #[serde(default)]
    pub max_version: Option<String>,
    /// The channels to mirror; all when empty.
    #[serde(default)]
    pub channels: Vec<Channel>,
}

/// A channel to mirror.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Channel {
    /// Name of the channel.
    pub name: String,
    /// The lowest version to mirror.
    #[serde(default)]
    pub min_version: Option<String>,
    /// The highest version to mirror.
    #[serde(default)]
    pub max_version: Option<String>,
}

/// Error from reading an `ImageSetConfiguration`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageSetError {
    /// The file is not YAML, or has unknown fields, or lacks required ones.
    #[error("The image set configuration cannot be read")]
    Yaml(#[source] YamlError),
    /// The file has no document, or several.
    #[error("It has {count} documents instead of one")]
    Documents {
        /// Number of documents.
        count: usize,
    },
    /// The document is of another kind or API version.
    #[error(
        "It is a `{}` of `{}`, not an `{}` of `{}`",
        kind.escape_debug(), api_version.escape_debug(), ImageSet::KIND, ImageSet::API_VERSION
    )]
    Kind {
        /// The `kind` of the document.
        kind: String,
        /// The `apiVersion` of the document.
        api_version: String,
    },
}

impl ImageSet {
    /// The value of `apiVersion`.
    pub const API_VERSION: &'static str = "mirror.openshift.io/v2alpha1";
    /// The value of `kind`.
    pub const KIND: &'static str = "ImageSetConfiguration";

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When the file is not exactly one document of this kind, or has unknown fields.
    pub fn read(bytes: &[u8]) -> Result<Self, ImageSetError> {
        let documents: Vec<Self> =
            yaml::documents(bytes, &YamlLimits::MANIFEST, Duplicates::Refuse)
                .map_err(ImageSetError::Yaml)?;
        let count = documents.len();
        let mut documents = documents.into_iter();
        let (Some(set), None) = (documents.next(), documents.next()) else {
            return Err(ImageSetError::Documents { count });
        };
        if set.api_version != Self::API_VERSION || set.kind != Self::KIND {
            return Err(ImageSetError::Kind {
                kind: set.kind.chars().take(80).collect(),
                api_version: set.api_version.chars().take(80).collect(),
            });
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: mirror.openshift.io/v2alpha1\nkind: ImageSetConfiguration\n";

    #[test]
    fn unknown_fields_and_other_kinds_are_refused() {
        let read = |text: &str| ImageSet::read(format!("{HEAD}{text}").as_bytes());
        assert!(read("mirror: {operators: [{catalog: a}]}\n").is_ok());
        for bad in [
            "mirror: {operators: [{catalog: a, targetTag: x}]}\n",
            "mirror: {operators: [], platform: {graph: true}}\n",
            "mirror: {operators: [{catalog: a, packages: [{name: b, full: true}]}]}\n",
            "archiveSize: 4\nmirror: {operators: []}\n",
            "mirror: {operators: [{catalog: a, catalog: b}]}\n",
            "mirror: {operators: [{}]}\n",
        ] {
            assert!(matches!(read(bad), Err(ImageSetError::Yaml(_))), "{bad}");
        }
        let v1 = "apiVersion: mirror.openshift.io/v1alpha2\nkind: ImageSetConfiguration\nmirror: {operators: []}\n";
        assert!(matches!(
            ImageSet::read(v1.as_bytes()),
            Err(ImageSetError::Kind { .. })
        ));
        assert!(matches!(
            ImageSet::read(b""),
            Err(ImageSetError::Documents { count: 0 })
        ));
    }
}
