//! Stores, lists and removes manifests, tags and referrers.

use std::path::Path;

use fs_err as fs;
use sha2::{Digest as _, Sha256};

use super::blobs::not_found_as_none;
use super::error::{IoContext, Result};
use super::{Store, StoreError, durable, entries, layout};
use crate::model::{Digest, MediaType, RawManifest, RepositoryPath, Tag};

/// The properties of a manifest that a HEAD request returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestInfo {
    /// Media type with which it was pushed.
    pub media_type: MediaType,
    /// Length in bytes.
    pub size: u64,
}

/// The reference from one manifest to another, its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// The subject; it need not exist.
    pub subject: Digest,
    /// The referring manifest's descriptor as JSON, returned unchanged.
    pub descriptor: Vec<u8>,
}

impl Store {
    /// Stores a manifest unchanged, then its entry among the referrers, then its link and the
    /// tag.
    ///
    /// # Errors
    ///
    /// [`StoreError::DigestMismatch`] if the bytes do not have the manifest's digest.
    pub fn put_manifest(
        &self,
        repository: &RepositoryPath,
        manifest: &RawManifest,
        tag: Option<&Tag>,
        referrer: Option<&Referrer>,
    ) -> Result<()> {
        const WHAT: &str = "store the manifest";
        let actual = Digest::from_bytes(Sha256::digest(&manifest.bytes).into());
        if actual != manifest.digest {
            return Err(StoreError::DigestMismatch {
                expected: manifest.digest,
                actual,
            });
        }
        let _names = self
            .names
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let temporary = self.layout.temporary();
        let write =
            |path: &Path, bytes: &[u8]| durable::replace(&temporary, path, bytes).doing(WHAT);
        write(&self.layout.data(&actual), &manifest.bytes)?;
        let mut link = format!("{}\n", manifest.media_type);
        if let Some(referrer) = referrer {
            let directory = self.layout.referrers(repository, &referrer.subject);
            write(&directory.join(actual.hex()), &referrer.descriptor)?;
            link.push_str(&format!("{}\n", referrer.subject));
        }
        write(
            &self.layout.manifest_link(repository, &actual),
            link.as_bytes(),
        )?;
        if let Some(tag) = tag {
            let line = format!("{actual}\n");
            write(&self.layout.tag(repository, tag), line.as_bytes())?;
        }
        Ok(())
    }

    /// Returns media type and subject from the repository's link file.
    fn link(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<(MediaType, Option<Digest>)>> {
        let path = self.layout.manifest_link(repository, digest);
        let Some(text) =
            not_found_as_none(fs::read_to_string(path)).doing("look for a manifest")?
        else {
            return Ok(None);
        };
        let mut lines = text.lines();
        let media_type = MediaType::new(lines.next().unwrap_or_default());
        let subject = lines.next().and_then(|line| line.parse().ok());
        Ok(Some((media_type, subject)))
    }

    /// Returns media type and size of a manifest in the repository, or `None`.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    pub fn manifest_info(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<ManifestInfo>> {
        let Some((media_type, _)) = self.link(repository, digest)? else {
            return Ok(None);
        };
        let facts = not_found_as_none(fs::metadata(self.layout.data(digest)))
            .doing("look for a manifest")?;
        Ok(facts.map(|facts| ManifestInfo {
            media_type,
            size: facts.len(),
        }))
    }

    /// Returns a manifest in the repository, or `None`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if the bytes on the disk no longer have the digest.
    pub fn manifest(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<RawManifest>> {
        let Some((media_type, _)) = self.link(repository, digest)? else {
            return Ok(None);
        };
        let Some(bytes) =
            not_found_as_none(fs::read(self.layout.data(digest))).doing("read a manifest")?
        else {
            return Ok(None);
        };
        if Digest::from_bytes(Sha256::digest(&bytes).into()) != *digest {
            return Err(StoreError::Damaged { digest: *digest });
        }
        Ok(Some(RawManifest {
            digest: *digest,
            media_type,
            bytes,
        }))
    }

    /// Returns the digest that a tag points to, or `None`.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    pub fn resolve_tag(&self, repository: &RepositoryPath, tag: &Tag) -> Result<Option<Digest>> {
        let path = self.layout.tag(repository, tag);
        let text = not_found_as_none(fs::read_to_string(path)).doing("look for a tag")?;
        Ok(text.and_then(|text| text.trim_end().parse().ok()))
    }

    /// Returns the repository's tags in ascending order.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    pub fn tags(&self, repository: &RepositoryPath) -> Result<Vec<Tag>> {
        names(&self.layout.tags(repository), |name| name.parse().ok())
    }

    /// Removes a tag. Returns true if it existed.
    ///
    /// # Errors
    ///
    /// If the disk cannot be written.
    pub fn delete_tag(&self, repository: &RepositoryPath, tag: &Tag) -> Result<bool> {
        let _names = self
            .names
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        durable::remove(&self.layout.tag(repository, tag)).doing("remove a tag")
    }

    /// Removes a manifest, and the tags that point to it, from a repository; the data stays.
    /// Returns true if the repository had it.
    ///
    /// # Errors
    ///
    /// If the disk cannot be written.
    pub fn delete_manifest(&self, repository: &RepositoryPath, digest: &Digest) -> Result<bool> {
        const WHAT: &str = "remove a manifest";
        let _names = self
            .names
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some((_, subject)) = self.link(repository, digest)? else {
            return Ok(false);
        };
        for tag in self.tags(repository)? {
            if self.resolve_tag(repository, &tag)? == Some(*digest) {
                durable::remove(&self.layout.tag(repository, &tag)).doing(WHAT)?;
            }
        }
        let removed =
            durable::remove(&self.layout.manifest_link(repository, digest)).doing(WHAT)?;
        if let Some(subject) = subject {
            let directory = self.layout.referrers(repository, &subject);
            durable::remove(&directory.join(digest.hex())).doing(WHAT)?;
        }
        Ok(removed)
    }

    /// Returns the digests of the repository's manifests with this `subject`, in ascending order.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    pub fn referrers(&self, repository: &RepositoryPath, subject: &Digest) -> Result<Vec<Digest>> {
        names(&self.layout.referrers(repository, subject), |name| {
            Digest::from_hex(name).ok()
        })
    }

    /// Returns the descriptor with which a referrer was stored, or `None` if it was removed.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    pub fn referrer(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<Option<Vec<u8>>> {
        // The entry is written before the manifest's link and removed after it, so it may be
        // stale.
        if self.link(repository, digest)?.is_none() {
            return Ok(None);
        }
        let directory = self.layout.referrers(repository, subject);
        not_found_as_none(fs::read(directory.join(digest.hex()))).doing("read a referrer")
    }

    /// Returns all repositories that have held a manifest, in ascending order.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    pub fn repositories(&self) -> Result<Vec<RepositoryPath>> {
        self.walk(layout::has_manifests)
    }

    /// Returns the repositories whose directory `wanted` accepts, in ascending order.
    pub(super) fn walk(&self, wanted: impl Fn(&Path) -> bool) -> Result<Vec<RepositoryPath>> {
        const WHAT: &str = "list the repositories";
        let root = self.layout.repositories();
        let mut found = Vec::new();
        let mut waiting = vec![root.clone()];
        while let Some(directory) = waiting.pop() {
            let inside = not_found_as_none(entries(&directory)).doing(WHAT)?;
            for path in inside.unwrap_or_default() {
                let name = path
                    .strip_prefix(&root)
                    .ok()
                    .and_then(Path::to_str)
                    .and_then(|name| name.parse::<RepositoryPath>().ok());
                // The `_` names are no repository paths, so they are not entered.
                if let Some(name) = name {
                    if wanted(&path) {
                        found.push(name);
                    }
                    waiting.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Returns the names in a directory that `parse` accepts, in order; none if there is no
/// directory.
fn names<T: Ord>(directory: &Path, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
    let paths = not_found_as_none(entries(directory)).doing("list a directory")?;
    let mut found: Vec<T> = paths
        .unwrap_or_default()
        .iter()
        .filter_map(|path| path.file_name()?.to_str())
        .filter_map(parse)
        .collect();
    found.sort();
    Ok(found)
}
