//! The little that the registry must know of a manifest: what it refers to.
//!
//! Reads the JSON of OCI manifests and indexes and of Docker's schema 2 (image-spec,
//! manifest.md and image-index.md). The bytes themselves are stored as they came.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::model::{Digest, ManifestKind, MediaType};

/// Why a document is no manifest that the registry takes.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    /// No media type, or none that is a manifest's.
    #[error("`{media_type}` is no media type of a manifest that this registry takes")]
    MediaType {
        /// What was given, shortened.
        media_type: String,
    },
    /// Header and document disagree.
    #[error("The document says that it is `{document}`, the request says `{header}`")]
    Disagree {
        /// The document's `mediaType`, shortened.
        document: String,
        /// The request's `Content-Type`.
        header: String,
    },
    /// It is not the JSON that it should be.
    #[error("The manifest is malformed: {reason}")]
    Json {
        /// What the parser says.
        reason: String,
    },
    /// A member is missing, or belongs to the other kind of manifest.
    #[error("The manifest is malformed: {reason}")]
    Shape {
        /// What is wrong.
        reason: &'static str,
    },
}

/// A manifest's references.
#[derive(Debug)]
pub(super) struct Document {
    /// The media type that document and request agree on.
    pub(super) media_type: MediaType,
    /// Config and layers that must be in the repository (foreign layers need not).
    pub(super) blobs: BTreeSet<Digest>,
    /// Manifests that must be there.
    pub(super) children: BTreeSet<Digest>,
    /// Entries of an index that may be blobs or manifests: their media type is unknown.
    pub(super) others: BTreeSet<Digest>,
    /// The manifest that this one refers to; it may be absent.
    pub(super) subject: Option<Digest>,
    /// `artifactType`, or the config's media type for images without one.
    pub(super) artifact_type: Option<String>,
    /// The manifest's annotations, for the referrers list.
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
    subject: Option<RawDescriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: MediaType,
    digest: Digest,
    #[serde(rename = "size")]
    _size: u64,
}

fn shown(text: &str) -> String {
    text.chars()
        .take(120)
        .flat_map(char::escape_debug)
        .collect()
}

impl Document {
    /// Reads a manifest that was sent with `content_type`.
    pub(super) fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, DocumentError> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| DocumentError::Json {
            reason: error.to_string().escape_debug().take(200).collect(),
        })?;
        let header = content_type
            .and_then(|text| text.split(';').next())
            .map(str::trim);
        let media_type = match (&raw.media_type, header) {
            (Some(document), Some(header)) if document != header => {
                return Err(DocumentError::Disagree {
                    document: shown(document),
                    header: shown(header),
                });
            }
            (Some(text), _) => text.as_str(),
            (None, header) => header.unwrap_or_default(),
        };
        let media_type = MediaType::new(media_type);
        let shape = |reason| Err(DocumentError::Shape { reason });
        if raw.schema_version != 2 {
            return shape("`schemaVersion` is not 2");
        }
        let (mut blobs, mut children, mut others) =
            <(BTreeSet<_>, BTreeSet<_>, BTreeSet<_>)>::default();
        let mut config_type = None;
        match media_type.manifest_kind() {
            Some(ManifestKind::Image) => {
                // A document that could be read as either kind would mean two things
                // under one digest.
                if raw.manifests.is_some() {
                    return shape("an image has no `manifests`");
                }
                let (Some(config), Some(layers)) = (raw.config, raw.layers) else {
                    return shape("an image has `config` and `layers`");
                };
                blobs.insert(config.digest);
                blobs.extend(
                    layers
                        .iter()
                        .filter(|layer| !layer.media_type.is_foreign_layer())
                        .map(|layer| layer.digest),
                );
                config_type = Some(config.media_type.as_str().to_owned());
            }
            Some(ManifestKind::Index) => {
                if raw.layers.is_some() || raw.config.is_some() {
                    return shape("an index has neither `config` nor `layers`");
                }
                let Some(manifests) = raw.manifests else {
                    return shape("an index has `manifests`");
                };
                for child in manifests {
                    match child.media_type.manifest_kind() {
                        Some(_) => children.insert(child.digest),
                        None => others.insert(child.digest),
                    };
                }
            }
            Some(ManifestKind::Schema1) | None => {
                return Err(DocumentError::MediaType {
                    media_type: shown(media_type.as_str()),
                });
            }
        }
        Ok(Self {
            media_type,
            blobs,
            children,
            others,
            subject: raw.subject.map(|subject| subject.digest),
            artifact_type: raw
                .artifact_type
                .filter(|text| !text.is_empty())
                .or(config_type),
            annotations: raw.annotations,
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
                matches!(refused, Err(DocumentError::Shape { .. })),
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
        ] {
            assert!(
                Document::parse(text.as_bytes(), Some(MediaType::OCI_INDEX)).is_err(),
                "{text}"
            );
        }
    }
}
