//! Writes the tree that `oc image mirror --from-dir` reads (docs/oc-compatibility.md, section
//! 1.2). Below `v2/<repository>`, `blobs/sha256:<hex>` and `manifests/sha256:<hex>` are regular
//! files; a tag is a symbolic link whose target is the bare name `sha256:<hex>`. The registry host
//! is dropped.
//!
//! A directory has no referrers API, so referrers are listed as on a registry without one: in an
//! index with the tag `sha256-<hex of the subject>` (OCI distribution-spec, "Referrers Tag
//! Schema").

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::places::Place;
use super::{Tree, write_document};
use crate::error::{Error, Result};
use crate::format::hash::sha256;
use crate::model::{Digest, MediaType, RepositoryPath, Tag};
use crate::plan::naming::digest_tag;
use crate::sys::files;

/// Tags with their digests and the source repositories of these.
type Tags<'a> = BTreeMap<(&'a RepositoryPath, Tag), BTreeSet<(Digest, String)>>;

/// Returns the tags of all images and attachments.
fn tags<'a>(places: &'a [Place<'_>]) -> Tags<'a> {
    let mut tags = Tags::new();
    for Place { image, path, tag } in places {
        let mut point = |tag: &Tag, root: Digest| {
            let from = image.source.to_string();
            let name = (path, tag.clone());
            tags.entry(name).or_default().insert((root, from));
        };
        if let (Some(tag), Some(root)) = (tag, image.root) {
            point(tag, root);
        }
        for attachment in &image.attached {
            if let Some(tag) = &attachment.tag {
                point(tag, attachment.root);
            }
        }
    }
    tags
}

/// Fails if two sources have different images under one name: the registry host, which
/// distinguishes them, is dropped.
pub(super) fn refuse_collisions(places: &[Place<'_>]) -> Result<()> {
    let mut message = String::from("Several images would have the same name without registry:");
    let mut found = false;
    for ((path, tag), targets) in tags(places) {
        let digests: BTreeSet<&Digest> = targets.iter().map(|(digest, _)| digest).collect();
        if digests.len() > 1 {
            found = true;
            let from: Vec<&str> = targets.iter().map(|(_, from)| from.as_str()).collect();
            message.push_str(&format!("\n  - {path}:{tag} from {}", from.join(" and ")));
        }
    }
    if found {
        return Err(
            Error::usage(message).hint("use `--as oci`, which keeps the registry's host in names")
        );
    }
    Ok(())
}

/// Writes the tree. A blob in several repositories is hard-linked if possible, else copied.
pub(super) fn write(tree: &Tree<'_>, places: &[Place<'_>]) -> Result<()> {
    let mut first: BTreeMap<Digest, PathBuf> = BTreeMap::new();
    for Place { image, path, .. } in places {
        let base = repository(tree, path);
        let (blobs, manifests) = (base.join("blobs"), base.join("manifests"));
        files::make_dirs(&blobs)?;
        files::make_dirs(&manifests)?;
        let reached = tree.reached(image);
        for digest in &reached.blobs {
            let path = blobs.join(digest.to_string());
            if files::exists(&path) {
                continue;
            }
            match first.get(digest) {
                Some(there) => files::link_or_copy(there, &path)?,
                None => {
                    if tree.copy_blob(digest, &path)? {
                        first.insert(*digest, path);
                    }
                }
            }
        }
        for digest in &reached.manifests {
            let path = manifests.join(digest.to_string());
            if !files::exists(&path) {
                tree.copy_manifest(digest, &path)?;
                link_among_blobs(&path, &base, digest)?;
            }
        }
    }
    let mut tags = tags(places);
    list_referrers(tree, places, &mut tags)?;
    for ((path, tag), targets) in tags {
        if let Some((digest, _)) = targets.first() {
            let link = repository(tree, path).join("manifests").join(tag.as_str());
            files::symlink(&digest.to_string(), &link)?;
        }
    }
    Ok(())
}

fn repository(tree: &Tree<'_>, path: &RepositoryPath) -> PathBuf {
    tree.to.join("v2").join(path.as_str())
}

/// Links a manifest among the blobs too, where `oc` also looks for manifests.
fn link_among_blobs(manifest: &Path, repository: &Path, digest: &Digest) -> Result<()> {
    let copy = repository.join("blobs").join(digest.to_string());
    if !files::exists(&copy) {
        files::link_or_copy(manifest, &copy)?;
    }
    Ok(())
}

/// Writes an index of referrers for each manifest that has some, and adds its tag, unless the
/// bundle has content with that tag.
fn list_referrers<'a>(tree: &Tree<'_>, places: &'a [Place<'_>], tags: &mut Tags<'a>) -> Result<()> {
    let mut referrers: BTreeMap<(&RepositoryPath, Digest), BTreeSet<Digest>> = BTreeMap::new();
    for Place { image, path, .. } in places {
        for attachment in &image.attached {
            // Artifacts found by cosign's tags do not need this, but may have a subject too.
            let entry = tree.bundle.inventory.manifest(&attachment.root);
            if let Some(subject) = entry.and_then(|entry| entry.subject) {
                let subject = (path, subject);
                let known = referrers.entry(subject).or_default();
                known.insert(attachment.root);
            }
        }
    }
    for ((path, subject), artifacts) in referrers {
        let tag = digest_tag(&subject)
            .map_err(|error| Error::internal("A digest makes no tag", error))?;
        let name = (path, tag);
        if tags.contains_key(&name) {
            continue;
        }
        let entries = artifacts
            .iter()
            .filter_map(|artifact| tree.manifests.as_referrer(artifact));
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_INDEX,
            "manifests": entries.collect::<Vec<_>>(),
        });
        let bytes = index.to_string().into_bytes();
        let digest = sha256(&bytes);
        let base = repository(tree, path);
        let file = base.join("manifests").join(digest.to_string());
        if !files::exists(&file) {
            write_document(&bytes, &file)?;
            link_among_blobs(&file, &base, &digest)?;
        }
        tags.insert(name, BTreeSet::from([(digest, path.to_string())]));
    }
    Ok(())
}
