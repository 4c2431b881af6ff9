//! The `operators` stanzas of an oc-mirror `ImageSetConfiguration`, v2alpha1
//! (docs/oc-compatibility.md, section 5.1).
//!
//! Strict, because people write it for us: a field that is not known here would silently mean
//! nothing, and of a key twice nobody knows which one was meant. Both are errors.

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
    /// What is to be mirrored.
    pub mirror: Mirror,
}

/// What is to be mirrored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Catalogs.
    pub operators: Vec<Operators>,
}

/// A catalog and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Operators {
    /// The catalog's reference as written.
    pub catalog: String,
    /// Everything, instead of channel heads.
    #[serde(default)]
    pub full: bool,
    /// oc-mirror knows it and does nothing with it; so do we.
    #[serde(default)]
    pub skip_dependencies: Option<bool>,
    /// The packages; all when empty.
    #[serde(default)]
    pub packages: Vec<Package>,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The default channel that it is given.
    #[serde(default)]
    pub default_channel: Option<String>,
    /// The lowest version.
    #[serde(default)]
    pub min_version: Option<String>,
    /// The highest version.
    #[serde(default)]
    pub max_version: Option<String>,
    /// The channels; all when empty.
    #[serde(default)]
    pub channels: Vec<Channel>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// The lowest version.
    #[serde(default)]
    pub min_version: Option<String>,
    /// The highest version.
    #[serde(default)]
    pub max_version: Option<String>,
}

/// Why a file is no such configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageSetError {
    /// It is not YAML, or has fields that are not known, or lacks some.
    #[error("It cannot be read")]
    Yaml(#[source] YamlError),
    /// It has no document, or several.
    #[error("It has {count} documents instead of one")]
    Documents {
        /// How many.
        count: usize,
    },
    /// It is something else.
    #[error(
        "It is {} of `{}`, and not {} of `{}`",
        kind.escape_debug(), api_version.escape_debug(), ImageSet::KIND, ImageSet::API_VERSION
    )]
    Kind {
        /// Its kind.
        kind: String,
        /// Its API version.
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
    /// When it is not exactly one document of this kind with known fields only.
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
