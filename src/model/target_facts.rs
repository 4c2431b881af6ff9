//! Facts about a target registry that `airferry doctor` found on the far side, and that an export
//! plans with. They are advice: the file that carries them is not authenticated.

use std::collections::BTreeMap;

/// A property of a target registry that it has, has not, or that is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// The account may push into a new repository.
    Push,
    /// Blobs are mounted from another repository.
    Mount,
    /// A blob of 32 MiB is taken in one request.
    UploadWhole,
    /// A blob is taken in several PATCH requests.
    UploadPieces,
    /// OCI image manifests are taken.
    OciManifest,
    /// Docker schema 2 manifests are taken.
    DockerManifest,
    /// OCI indexes are taken.
    OciIndex,
    /// Docker manifest lists are taken.
    DockerList,
    /// An index is taken although some of its children are missing.
    SparseIndex,
    /// Manifests are taken whose config is not that of an image.
    Artifact,
    /// Manifests with a `subject` are taken.
    Subject,
    /// The registry lists referrers (distribution-spec 1.1).
    ReferrersApi,
    /// A tag can be moved to another manifest.
    TagsMove,
    /// A manifest stays readable by digest after its tag moved.
    KeepsUntagged,
}

impl Fact {
    /// All facts, in the order of reports and files.
    pub const ALL: [Self; 14] = [
        Self::Push,
        Self::Mount,
        Self::UploadWhole,
        Self::UploadPieces,
        Self::OciManifest,
        Self::DockerManifest,
        Self::OciIndex,
        Self::DockerList,
        Self::SparseIndex,
        Self::Artifact,
        Self::Subject,
        Self::ReferrersApi,
        Self::TagsMove,
        Self::KeepsUntagged,
    ];

    /// Returns the fact's key in a file of facts.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Mount => "mount",
            Self::UploadWhole => "upload-whole",
            Self::UploadPieces => "upload-pieces",
            Self::OciManifest => "oci-manifest",
            Self::DockerManifest => "docker-manifest",
            Self::OciIndex => "oci-index",
            Self::DockerList => "docker-list",
            Self::SparseIndex => "sparse-index",
            Self::Artifact => "artifact",
            Self::Subject => "subject",
            Self::ReferrersApi => "referrers-api",
            Self::TagsMove => "tags-move",
            Self::KeepsUntagged => "keeps-untagged",
        }
    }

    /// Returns the fact with this key.
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fact| fact.key() == key)
    }
}

/// What is known about a target registry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetFacts {
    /// The registry's software, as far as it tells.
    pub software: Option<String>,
    /// `host[:port][/namespace]`; absent unless the operator asked for names.
    pub target: Option<String>,
    /// Upper limit of path components, the namespace included.
    pub max_components: Option<u32>,
    /// Path components of the namespace in `--to`.
    pub namespace_components: Option<u32>,
    /// Largest layer in bytes that the registry, or a proxy before it, takes.
    pub max_layer_bytes: Option<u64>,
    /// The properties that are known.
    pub known: BTreeMap<Fact, bool>,
}

impl TargetFacts {
    /// Returns whether the registry has a property; `None` if that is unknown.
    pub fn get(&self, fact: Fact) -> Option<bool> {
        self.known.get(&fact).copied()
    }

    /// True if the registry is known to lack a property.
    pub fn lacks(&self, fact: Fact) -> bool {
        self.get(fact) == Some(false)
    }

    /// Records what was found about a property; `None` changes nothing.
    pub fn set(&mut self, fact: Fact, found: Option<bool>) {
        if let Some(found) = found {
            self.known.insert(fact, found);
        }
    }
}
