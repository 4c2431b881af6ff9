//! Paths of the store. The only module that turns names into paths; it takes parsed names only.
//!
//! ```text
//! airferry-registry                       marker, version and lock
//! tmp/                                    files being written
//! blobs/sha256/<xx>/<hex>                 data of blobs and manifests
//! repositories/<path>/_blobs/<hex>        empty: the blob is visible here
//! repositories/<path>/_manifests/<hex>    media type, and the subject's digest if there is one
//! repositories/<path>/_tags/<tag>         digest
//! repositories/<path>/_referrers/<hex>/<hex>   descriptor of a manifest with that subject
//! repositories/<path>/_uploads/<id>       the bytes of an upload session
//! ```
//!
//! A repository's component starts with a letter or digit, so it is never one of the `_` names,
//! `.` or `..`.

use std::path::{Path, PathBuf};

use super::UploadId;
use crate::model::{Digest, RepositoryPath, Tag};

const MARKER: &str = "airferry-registry";
const BLOBS: &str = "_blobs";
const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";
const REFERRERS: &str = "_referrers";
const UPLOADS: &str = "_uploads";

/// The paths below a store's root.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.into() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn marker(&self) -> PathBuf {
        self.root.join(MARKER)
    }

    /// Returns a path that exists only if the file system ignores case.
    pub(super) fn marker_in_capitals(&self) -> PathBuf {
        self.root.join(MARKER.to_ascii_uppercase())
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(super) fn data(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let shard: String = hex.chars().take(2).collect();
        self.root.join("blobs/sha256").join(shard).join(hex)
    }

    pub(super) fn repositories(&self) -> PathBuf {
        self.root.join("repositories")
    }

    pub(super) fn repository(&self, repository: &RepositoryPath) -> PathBuf {
        let mut path = self.repositories();
        path.extend(repository.components());
        path
    }

    pub(super) fn blob_link(&self, repository: &RepositoryPath, digest: &Digest) -> PathBuf {
        self.repository(repository).join(BLOBS).join(digest.hex())
    }

    pub(super) fn manifest_link(&self, repository: &RepositoryPath, digest: &Digest) -> PathBuf {
        self.repository(repository)
            .join(MANIFESTS)
            .join(digest.hex())
    }

    pub(super) fn tags(&self, repository: &RepositoryPath) -> PathBuf {
        self.repository(repository).join(TAGS)
    }

    pub(super) fn tag(&self, repository: &RepositoryPath, tag: &Tag) -> PathBuf {
        self.tags(repository).join(tag.as_str())
    }

    pub(super) fn referrers(&self, repository: &RepositoryPath, subject: &Digest) -> PathBuf {
        self.repository(repository)
            .join(REFERRERS)
            .join(subject.hex())
    }

    pub(super) fn uploads(&self, repository: &RepositoryPath) -> PathBuf {
        self.repository(repository).join(UPLOADS)
    }

    pub(super) fn upload(&self, repository: &RepositoryPath, id: &UploadId) -> PathBuf {
        self.uploads(repository).join(id.to_string())
    }
}

/// Returns true if a repository's directory has ever held a manifest.
pub(super) fn has_manifests(directory: &Path) -> bool {
    directory.join(MANIFESTS).is_dir()
}

/// Returns true if a repository's directory has ever held a blob or a manifest.
pub(super) fn has_content(directory: &Path) -> bool {
    directory.join(BLOBS).is_dir() || has_manifests(directory)
}

/// Returns true if a repository's directory has ever held an upload session.
pub(super) fn has_uploads(directory: &Path) -> bool {
    directory.join(UPLOADS).is_dir()
}
