//! Media types of manifests and layers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A media type as written in a descriptor; compared as text, never interpreted further.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(String);

/// What a manifest's media type means for its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestKind {
    /// One image or artifact: config and layers.
    Image,
    /// A list of manifests: OCI index or Docker manifest list.
    Index,
    /// Docker schema 1, which this version refuses.
    Schema1,
}

impl MediaType {
    /// OCI image manifest.
    pub const OCI_MANIFEST: &'static str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    pub const OCI_INDEX: &'static str = "application/vnd.oci.image.index.v1+json";
    /// Docker image manifest, version 2, schema 2.
    pub const DOCKER_MANIFEST: &'static str =
        "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &'static str =
        "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker schema 1, signed.
    pub const DOCKER_SCHEMA1: &'static str =
        "application/vnd.docker.distribution.manifest.v1+prettyjws";
    /// Docker schema 1, unsigned.
    pub const DOCKER_SCHEMA1_UNSIGNED: &'static str =
        "application/vnd.docker.distribution.manifest.v1+json";

    /// Wraps a media type that a registry or a manifest named.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What kind of manifest this is, or `None` when it is no manifest type that we know.
    pub fn manifest_kind(&self) -> Option<ManifestKind> {
        match self.0.as_str() {
            Self::OCI_MANIFEST | Self::DOCKER_MANIFEST => Some(ManifestKind::Image),
            Self::OCI_INDEX | Self::DOCKER_LIST => Some(ManifestKind::Index),
            Self::DOCKER_SCHEMA1 | Self::DOCKER_SCHEMA1_UNSIGNED => Some(ManifestKind::Schema1),
            _ => None,
        }
    }

    /// Whether the manifest is of Docker's own types.
    pub fn is_docker(&self) -> bool {
        self.0.starts_with("application/vnd.docker.")
    }

    /// Whether the layer may not be distributed with the image: Docker's foreign layers and
    /// OCI's non-distributable ones (image-spec, layer.md, "Non-Distributable Layers").
    pub fn is_foreign_layer(&self) -> bool {
        self.0
            .starts_with("application/vnd.docker.image.rootfs.foreign.")
            || self
                .0
                .starts_with("application/vnd.oci.image.layer.nondistributable.")
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
