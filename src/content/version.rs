//! Release versions that can be compared.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Maximum length of a version in bytes: a tag must also have room for architecture and component.
const MAX_VERSION: usize = 80;

/// Error from parsing a release version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// The text is longer than any version may be.
    #[error("A version of {length} bytes is longer than the {MAX_VERSION} that are allowed")]
    TooLong {
        /// Length of the text in bytes.
        length: usize,
    },
    /// The text is not a semantic version.
    #[error("`{}` is not a semantic version", text.escape_debug())]
    Semver {
        /// The text.
        text: String,
        /// The parser's error.
        #[source]
        source: semver::Error,
    },
    /// The version has build metadata (`+...`), which a tag cannot hold.
    #[error("`{}` has build metadata, and no tag can hold a `+`", text.escape_debug())]
    BuildMetadata {
        /// The text.
        text: String,
    },
}

/// A release version, for example `4.18.0-okd-scos.1`: a semantic version without build metadata,
/// so that its text fits into a tag.
///
/// Ordered by precedence (semver.org, section 11), which is total here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SemanticVersion(semver::Version);

impl FromStr for SemanticVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        if text.len() > MAX_VERSION {
            return Err(VersionError::TooLong { length: text.len() });
        }
        let version = semver::Version::parse(text).map_err(|source| VersionError::Semver {
            text: text.to_owned(),
            source,
        })?;
        if !version.build.is_empty() {
            let text = text.to_owned();
            return Err(VersionError::BuildMetadata { text });
        }
        Ok(Self(version))
    }
}

impl fmt::Display for SemanticVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for SemanticVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SemanticVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SemanticVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::model::from_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_projects_use_keep_their_text_and_are_ordered() {
        let ascending = [
            "4.5.4",
            "4.7.0-0.okd-2021-02-25-144700",
            "4.16.0-ec.1",
            "4.16.0-rc.10",
            "4.16.0",
            "4.18.0-okd-scos.1",
            "4.18.0-okd-scos.10",
            "4.18.0-okd-scos.ec.1",
            "4.18.0",
        ];
        let versions: Vec<SemanticVersion> =
            ascending.iter().map(|text| text.parse().unwrap()).collect();
        assert!(versions.is_sorted());
        for (version, text) in versions.iter().zip(ascending) {
            assert_eq!(version.to_string(), text);
            assert!(text.parse::<crate::model::Tag>().is_ok());
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let long = format!("4.18.0-{}", "a".repeat(MAX_VERSION));
        for bad in [
            "",
            "4",
            "4.18",
            "v4.18.0",
            "4.18.00",
            "4.18.0 ",
            "4.18.0-",
            "4.18.0-a..b",
            "4.18.0+amd64",
            "4.18.0/..",
            "4.18.0\n",
            "latest",
            &long,
        ] {
            assert!(bad.parse::<SemanticVersion>().is_err(), "{bad:?}");
        }
    }
}
