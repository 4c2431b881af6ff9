//! Parses `release-manifests/release-metadata` of a release payload, which lists the versions that
//! may be updated to the release.
//!
//! A JSON object of kind `cincinnati-metadata-v0`, from which the update service builds its graph.
//! It is read as `oc` reads it, with the rules of Go's `encoding/json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::content::go_json;
use crate::content::version::{SemanticVersion, VersionError};

/// Path of the document in a payload.
pub const PATH: &str = "release-manifests/release-metadata";

/// Maximum length of the document in bytes.
pub const LIMIT: u64 = 1 << 20;

/// The supported `kind`.
const KIND: &str = "cincinnati-metadata-v0";

/// Error from reading a release's metadata.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The document is longer than [`LIMIT`].
    #[error("release-metadata has {length} bytes, more than the {LIMIT} that are allowed")]
    TooLong {
        /// Length in bytes.
        length: usize,
    },
    /// The document is not JSON of the expected shape.
    #[error("release-metadata cannot be read")]
    Json(#[source] serde_json::Error),
    /// The document is of another kind.
    #[error("release-metadata is a `{}`, not a `{KIND}`", kind.escape_debug())]
    Kind {
        /// The `kind` of the document.
        kind: String,
    },
    /// A version in the document is invalid.
    #[error("release-metadata names an invalid version")]
    Version(#[source] VersionError),
}

/// A release's metadata for the update service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseMetadata {
    /// The version of the release.
    pub version: SemanticVersion,
    /// Versions that may be updated to this release, sorted.
    pub previous: Vec<SemanticVersion>,
    /// Versions that this release may be updated to, sorted. Real payloads name none.
    pub next: Vec<SemanticVersion>,
    /// All other metadata, for example `url`: strings as they are, other values as JSON. For
    /// display: escape it.
    pub metadata: BTreeMap<String, String>,
}

impl ReleaseMetadata {
    /// Reads the document.
    ///
    /// # Errors
    ///
    /// When the document is of another kind, or names an invalid version.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
        if bytes.len() as u64 > LIMIT {
            let length = bytes.len();
            return Err(MetadataError::TooLong { length });
        }
        let document: Document = go_json::read(bytes, &FIELDS).map_err(MetadataError::Json)?;
        if document.kind != KIND {
            let kind = document.kind.chars().take(100).collect();
            return Err(MetadataError::Kind { kind });
        }
        let version = |text: &String| text.parse().map_err(MetadataError::Version);
        let versions = |texts: Option<Vec<String>>| {
            let versions = texts.unwrap_or_default();
            let mut versions: Vec<SemanticVersion> =
                versions.iter().map(version).collect::<Result<_, _>>()?;
            versions.sort();
            versions.dedup();
            Ok(versions)
        };
        let metadata = document.metadata.unwrap_or_default();
        Ok(Self {
            version: version(&document.version)?,
            previous: versions(document.previous)?,
            next: versions(document.next)?,
            metadata: metadata.into_iter().map(|(k, v)| (k, text(v))).collect(),
        })
    }
}

fn text(value: serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The names of all fields of [`Document`].
const FIELDS: [&str; 5] = ["kind", "version", "previous", "next", "metadata"];

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    previous: Option<Vec<String>>,
    #[serde(default)]
    next: Option<Vec<String>>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, serde_json::Value>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_sorted_and_the_rest_is_kept() {
        let document = br#"{"kind":"cincinnati-metadata-v0","version":"4.17.3",
            "previous":["4.17.0","4.16.10","4.16.9","4.17.0"],
            "metadata":{"url":"https://example.com/","n":1}}"#;
        let metadata = ReleaseMetadata::parse(document).unwrap();
        let previous: Vec<String> = metadata.previous.iter().map(ToString::to_string).collect();
        assert_eq!(previous, ["4.16.9", "4.16.10", "4.17.0"]);
        assert!(metadata.next.is_empty());
        assert_eq!(metadata.metadata["url"], "https://example.com/");
        assert_eq!(metadata.metadata["n"], "1");
    }

    #[test]
    fn it_is_read_as_go_reads_it() {
        let document = br#"{"Kind":"x","kind":"cincinnati-metadata-v0","version":"4.17.2",
            "version":"4.17.3","previous":["4.16.0"],"Previous":["4.17.0"],"previous":null,
            "metadata":{"url":"a","url":"b","note":null},"unknown":{"x":1}}"#;
        let metadata = ReleaseMetadata::parse(document).unwrap();
        assert_eq!(metadata.version.to_string(), "4.17.3");
        assert_eq!(metadata.previous[0].to_string(), "4.17.0");
        assert_eq!(metadata.previous.len(), 1);
        assert_eq!(metadata.metadata["url"], "b");
    }

    #[test]
    fn other_documents_are_refused() {
        let parse = |text: &str| ReleaseMetadata::parse(text.as_bytes()).unwrap_err();
        let kind = r#"{"kind":"cincinnati-metadata-v1","version":"4.17.3"}"#;
        assert!(matches!(parse(kind), MetadataError::Kind { .. }));
        let version = r#"{"kind":"cincinnati-metadata-v0","version":"x"}"#;
        assert!(matches!(parse(version), MetadataError::Version(_)));
        let previous = r#"{"kind":"cincinnati-metadata-v0","version":"4.1.0","previous":["4"]}"#;
        assert!(matches!(parse(previous), MetadataError::Version(_)));
        assert!(matches!(parse("[]"), MetadataError::Json(_)));
        let long = " ".repeat(LIMIT as usize + 1);
        assert!(matches!(parse(&long), MetadataError::TooLong { .. }));
    }
}
