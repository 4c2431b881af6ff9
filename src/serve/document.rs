//! Parses a manifest as far as the registry needs it: its references.
//!
//! `oci` parses it; this module adds what a registry needs: that request and document agree,
//! which content must be in the repository, and the fields for the list of referrers.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::model::{Descriptor, Digest, ManifestKind, MediaType};
use crate::oci::{self, OciError};

/// Reason for which the registry refuses a document as a manifest.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    /// There is no media type, or it is not a manifest's.
    #[error("`{media_type}` is not a media type of manifests that this registry accepts")]
    MediaType {
        /// The media type given, shortened.
        media_type: String,
    },
    /// Header and document disagree about the media type.
    #[error("The document says that it is `{document}`, the request says `{header}`")]
    Disagree {
        /// The document's `mediaType`, shortened.
        document: String,
        /// The request's `Content-Type`.
        header: String,
    },
    /// The document is not a valid manifest.
    #[error(transparent)]
    Manifest(#[from] OciError),
}

impl DocumentError {
    /// True if the error concerns the media type.
    pub(super) fn is_about_media_type(&self) -> bool {
        matches!(
            self,
            Self::MediaType { .. } | Self::Manifest(OciError::MediaType { .. } | OciError::Schema1)
        )
    }
}

/// The references of a manifest.
#[derive(Debug)]
pub(super) struct Document {
    /// The media type that document and request agree on.
    pub(super) media_type: MediaType,
    /// Config and layers that must be in the repository (foreign layers need not be).
    pub(super) blobs: BTreeSet<Digest>,
    /// Manifests that must be in the repository.
    pub(super) children: BTreeSet<Digest>,
    /// Entries of an index with a media type that is not a manifest's: they may be blobs or
    /// manifests.
    pub(super) others: BTreeSet<Digest>,
    /// The manifest that this one refers to; it may be missing.
    pub(super) subject: Option<Digest>,
    /// `artifactType`, or the config's media type for an image without one.
    pub(super) artifact_type: Option<String>,
    /// The manifest's annotations, for the referrers list.
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

/// The fields that `oci` does not return.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rest {
    media_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

fn shown(text: &str) -> String {
    text.chars()
        .take(120)
        .flat_map(char::escape_debug)
        .collect()
}

impl Document {
    /// Parses a manifest that was sent with `content_type`.
    pub(super) fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, DocumentError> {
        let header = content_type
            .and_then(|text| text.split(';').next())
            .map(str::trim);
        let rest: Rest = serde_json::from_slice(bytes).map_err(OciError::Json)?;
        match (&rest.media_type, header) {
            (Some(document), Some(header)) if document != header => {
                return Err(DocumentError::Disagree {
                    document: shown(document),
                    header: shown(header),
                });
            }
            (Some(_), _) => {}
            // The media type is not guessed: the client has to declare it.
            (None, header) => {
                let header = header.unwrap_or_default();
                match MediaType::new(header).manifest_kind() {
                    Some(ManifestKind::Image | ManifestKind::Index) => {}
                    Some(ManifestKind::Schema1) | None => {
                        return Err(DocumentError::MediaType {
                            media_type: shown(header),
                        });
                    }
                }
            }
        }
        let header = header.map(MediaType::new);
        let document = oci::parse(bytes, header.as_ref())?;
        let facts = document.facts;
        let needed = facts.blobs.iter();
        let needed = needed.filter(|blob| !blob.media_type.is_foreign_layer());
        let (children, others) = facts
            .children
            .iter()
            .partition::<Vec<_>, _>(|child| child.media_type.manifest_kind().is_some());
        let digests =
            |entries: Vec<&Descriptor>| entries.into_iter().map(|entry| entry.digest).collect();
        Ok(Self {
            media_type: document.media_type,
            blobs: needed.map(|blob| blob.digest).collect(),
            children: digests(children),
            others: digests(others),
            subject: facts.subject.map(|subject| subject.digest),
            artifact_type: facts.artifact_type,
            annotations: rest.annotations,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    fn descriptor(media_type: &str, byte: u8) -> serde_json::Value {
        serde_json::json!({"mediaType": media_type, "digest": digest(byte), "size": 1})
    }

    fn parse(
        document: &serde_json::Value,
        header: Option<&str>,
    ) -> Result<Document, DocumentError> {
        Document::parse(document.to_string().as_bytes(), header)
    }

    #[test]
    fn reads_images_and_indexes() {
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        let image = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": descriptor("application/x.config", 1),
            "layers": [descriptor("a/layer", 2), descriptor(foreign, 3), descriptor("a/layer", 2)],
            "subject": descriptor(MediaType::OCI_MANIFEST, 9),
        });
        let read = parse(
            &image,
            Some("application/vnd.oci.image.manifest.v1+json; charset=x"),
        )
        .unwrap();
        assert_eq!(read.blobs, BTreeSet::from([digest(1), digest(2)]));
        assert_eq!(read.subject, Some(digest(9)));
        assert_eq!(read.artifact_type.as_deref(), Some("application/x.config"));

        let index = serde_json::json!({
            "schemaVersion": 2,
            "manifests": [descriptor(MediaType::OCI_MANIFEST, 4), descriptor("a/layer", 5)],
        });
        let read = parse(&index, Some(MediaType::OCI_INDEX)).unwrap();
        assert_eq!(read.children, BTreeSet::from([digest(4)]));
        assert_eq!(read.others, BTreeSet::from([digest(5)]));
        assert_eq!(read.media_type.as_str(), MediaType::OCI_INDEX);
    }

    #[test]
    fn refuses_what_is_not_one_kind_of_manifest() {
        let both = serde_json::json!({
            "schemaVersion": 2,
            "config": descriptor("a/b", 1),
            "layers": [],
            "manifests": [],
        });
        for media_type in [MediaType::OCI_MANIFEST, MediaType::OCI_INDEX] {
            let refused = parse(&both, Some(media_type));
            assert!(
                matches!(
                    refused,
                    Err(DocumentError::Manifest(OciError::Ambiguous { .. }))
                ),
                "{media_type}"
            );
        }
        let index = serde_json::json!({"schemaVersion": 2, "manifests": []});
        for media_type in [
            None,
            Some(""),
            Some("application/json"),
            Some(MediaType::DOCKER_SCHEMA1),
        ] {
            let refused = parse(&index, media_type);
            assert!(
                matches!(refused, Err(DocumentError::MediaType { .. })),
                "{media_type:?}"
            );
        }
        let named = serde_json::json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [],
        });
        let refused = parse(&named, Some(MediaType::DOCKER_LIST));
        assert!(matches!(refused, Err(DocumentError::Disagree { .. })));
        for text in [
            "",
            "[]",
            "{}",
            "{\"schemaVersion\":1}",
            "{\"schemaVersion\":2,\"schemaVersion\":2}",
            "{\"schemaVersion\":2,\"manifests\":[],\"Manifests\":[]}",
        ] {
            assert!(
                Document::parse(text.as_bytes(), Some(MediaType::OCI_INDEX)).is_err(),
                "{text}"
            );
        }
    }
}
