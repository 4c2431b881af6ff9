//! OCI manifests as bytes, and the facts that are read from them.

use serde::{Deserialize, Serialize};

use super::{Digest, ManifestKind, MediaType, Platform};

/// A manifest's description of a blob or of another manifest (OCI image-spec, descriptor.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Digest of the content.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// Media type as written in the manifest.
    pub media_type: MediaType,
    /// Platform; only entries of an index have one.
    pub platform: Option<Platform>,
    /// Other places to download the content from, besides the registry (foreign layers).
    pub urls: Vec<String>,
    /// The manifest that this one is about; only entries of an index have one: buildx lists
    /// attestations this way, with the annotation `vnd.docker.reference.digest`.
    pub describes: Option<Digest>,
}

/// A manifest exactly as the registry sent it. It is never serialised again: its digest, which is
/// its name, depends on every byte.
#[derive(Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// SHA-256 of `bytes`.
    pub digest: Digest,
    /// Media type: the document's own `mediaType`, else the registry's `Content-Type`.
    pub media_type: MediaType,
    /// The manifest's bytes.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for RawManifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawManifest")
            .field("digest", &self.digest)
            .field("media_type", &self.media_type)
            .field("length", &self.bytes.len())
            .finish()
    }
}

/// The content that a manifest points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFacts {
    /// Image or index; manifests of Docker schema 1 are refused before.
    pub kind: ManifestKind,
    /// Child manifests, in the order of the index; empty for images.
    pub children: Vec<Descriptor>,
    /// Config first, then layers, in order, duplicates kept; empty for indexes.
    pub blobs: Vec<Descriptor>,
    /// The manifest that this artifact refers to (OCI image-spec, manifest.md, "subject").
    pub subject: Option<Descriptor>,
    /// `artifactType`, or else the config's media type where it serves as one.
    pub artifact_type: Option<String>,
}
