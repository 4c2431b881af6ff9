//! OCI manifests as bytes, and the few facts that we take from them.

use serde::{Deserialize, Serialize};

use super::{Digest, ManifestKind, MediaType, Platform};

/// What a manifest says of a blob or of another manifest (OCI image-spec, descriptor.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Digest of the content.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// Media type as written.
    pub media_type: MediaType,
    /// Platform, in an index's entries.
    pub platform: Option<Platform>,
    /// Where the content may be had besides the registry (foreign layers).
    pub urls: Vec<String>,
    /// The manifest that this one describes, in an index's entries: buildx lists attestations so,
    /// with the annotation `vnd.docker.reference.digest`.
    pub describes: Option<Digest>,
}

/// A manifest exactly as the registry sent it. Never serialised again: its digest is its name.
#[derive(Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// SHA-256 of `bytes`.
    pub digest: Digest,
    /// Media type: the document's own `mediaType`, else the registry's `Content-Type`.
    pub media_type: MediaType,
    /// The bytes.
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

/// What a manifest points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFacts {
    /// Image or index; schema 1 never gets this far.
    pub kind: ManifestKind,
    /// Child manifests, in the order of the index; empty for images.
    pub children: Vec<Descriptor>,
    /// Config first, then layers, in order, duplicates kept; empty for indexes.
    pub blobs: Vec<Descriptor>,
    /// The manifest that this artifact refers to (OCI image-spec, manifest.md, "subject").
    pub subject: Option<Descriptor>,
    /// `artifactType`, or the config's media type where that stands in for it.
    pub artifact_type: Option<String>,
}
