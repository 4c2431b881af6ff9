//! The request of an import.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::attachments::AttachmentPolicy;
use crate::bundle::trust::Trust;
use crate::cluster;
use crate::ops::cluster_files::ResourcesRequest;
use crate::ops::release::proof::ReleaseKeys;
use crate::plan::naming::{self, Target};
use crate::registry::Client;

/// Policy for tags on the target that point to another digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExistingTags {
    /// Overwrite it if a base or the bundle has that digest under this tag, or if an earlier run
    /// put it there in place of a sparse index; else fail.
    #[default]
    Forward,
    /// Fail.
    Error,
    /// Keep the tag.
    Skip,
    /// Overwrite it.
    Overwrite,
}

/// Policy for images from which this import moves a tag away. Some registries (Quay, zot) delete a
/// manifest with its last tag, others at their next garbage collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepReplaced {
    /// Give an image a tag made of its digest first, if a base bundle set the tag: the cluster
    /// objects of that bundle name the image by its digest.
    #[default]
    OfBases,
    /// Give every such image a tag made of its digest.
    Always,
    /// Only move the tag.
    Never,
}

/// Policy for indexes that the target refuses because children were left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SparseIndex {
    /// The image fails.
    #[default]
    Fail,
    /// Tag the manifest of the only platform instead, which has another digest.
    PlatformManifest,
}

/// The request of an import.
#[derive(Clone)]
pub struct Request {
    /// Directory of the bundle.
    pub bundle: PathBuf,
    /// Keys that are trusted for bundles.
    pub trust: Trust,
    /// True to accept a bundle that no trusted key signed.
    pub allow_unsigned: bool,
    /// True to import the complete images of an incomplete bundle.
    pub allow_incomplete: bool,
    /// Keys that are trusted for releases.
    pub release_keys: ReleaseKeys,
    /// True to import releases without signatures too.
    pub allow_unsigned_release: bool,
    /// Target registry and repositories.
    pub target: Target,
    /// Rules for names on the target.
    pub naming: naming::Options,
    /// Policy for tags that point to another digest.
    pub existing_tags: ExistingTags,
    /// Policy for images from which a tag is moved away.
    pub keep_replaced: KeepReplaced,
    /// Policy for signatures and other attached artifacts.
    pub attachments: AttachmentPolicy,
    /// Policy for refused sparse indexes.
    pub sparse_index: SparseIndex,
    /// True to read and verify all chunks before the first upload.
    pub verify_first: bool,
    /// True to plan and check only, without changing anything.
    pub dry_run: bool,
    /// True to read back from the target what was sent.
    pub read_back: bool,
    /// Limit of blobs that are sent at the same time; a default when absent. The client also
    /// limits its requests by what the registry can handle.
    pub jobs: Option<NonZeroUsize>,
    /// Kind of instructions for releases at the end.
    pub instructions: cluster::Instructions,
    /// Directory and options of the cluster's files; `None` to write none.
    pub resources: Option<ResourcesRequest>,
    /// Client of the target.
    pub client: Client,
    /// Directory for caches that outlive the process; `None` if there is none.
    pub state: Option<PathBuf>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("bundle", &self.bundle)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
