//! What an import is asked for.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::attachments::AttachmentPolicy;
use crate::bundle::trust::Trust;
use crate::cluster;
use crate::ops::cluster_files::ResourcesRequest;
use crate::ops::release::proof::ReleaseKeys;
use crate::plan::naming::{self, Target};
use crate::registry::Client;

/// What to do when a tag is there already and points elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExistingTags {
    /// Overwrite it when what it points to is known from a base; else it is an error.
    #[default]
    Forward,
    /// It is an error.
    Error,
    /// Leave it as it is.
    Skip,
    /// Overwrite it.
    Overwrite,
}

/// What to do with an index that the target refuses because children are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SparseIndex {
    /// The image fails.
    #[default]
    Fail,
    /// The one platform's manifest is tagged in its place. Its digest is another one.
    PlatformManifest,
}

/// What an import is asked for.
#[derive(Clone)]
pub struct Request {
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Whom to trust.
    pub trust: Trust,
    /// Accept that no trusted key has signed.
    pub allow_unsigned: bool,
    /// Import what is whole of an incomplete bundle.
    pub allow_incomplete: bool,
    /// Whose word counts for releases.
    pub release_keys: ReleaseKeys,
    /// Import releases for which there are no signatures, too.
    pub allow_unsigned_release: bool,
    /// Where to.
    pub target: Target,
    /// Names on the target.
    pub naming: naming::Options,
    /// What to do about tags that point elsewhere.
    pub existing_tags: ExistingTags,
    /// What to do about signatures and other attached artifacts.
    pub attachments: AttachmentPolicy,
    /// What to do about refused sparse indexes.
    pub sparse_index: SparseIndex,
    /// Read and verify everything before the first upload.
    pub verify_first: bool,
    /// Plan and check, change nothing.
    pub dry_run: bool,
    /// Read back from the target what was sent.
    pub read_back: bool,
    /// Blobs that are sent at the same time, if somebody decides that. The client asks no more of
    /// a registry than that does well with in any case.
    pub jobs: Option<NonZeroUsize>,
    /// What to say of releases at the end.
    pub instructions: cluster::Instructions,
    /// What to write for the cluster.
    pub resources: Option<ResourcesRequest>,
    /// Talks to the target.
    pub client: Client,
    /// Directory for caches that survive the process.
    pub state: PathBuf,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("bundle", &self.bundle)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
