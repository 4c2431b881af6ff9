//! The tree that `oc image mirror --from-dir` reads (reference section 1.2): below
//! `v2/<repository>`, `blobs/sha256:<hex>` and `manifests/sha256:<hex>` are regular files, a tag
//! is a symbolic link whose target is the bare name `sha256:<hex>`. The registry is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::Tree;
use super::places::Place;
use crate::model::{Digest, RepositoryPath, Tag};
use crate::ops::error::{Error, Result};
use crate::sys::files;

/// Tags of all images and attachments: path and tag, with what they point to and from where.
fn tags<'a>(
    places: &'a [Place<'_>],
) -> BTreeMap<(&'a RepositoryPath, &'a Tag), BTreeSet<(Digest, String)>> {
    let mut tags: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for Place { image, path, tag } in places {
        if let (Some(tag), Some(root)) = (tag, image.root) {
            tags.entry((path, tag))
                .or_default()
                .insert((root, image.source.to_string()));
        }
        for attachment in &image.attached {
            if let Some(tag) = &attachment.tag {
                let from = image.source.to_string();
                tags.entry((path, tag))
                    .or_default()
                    .insert((attachment.root, from));
            }
        }
    }
    tags
}

/// Since the registry is dropped, two sources may want one name for different things.
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
        return Err(Error::usage(message).hint("--as oci keeps the registries apart"));
    }
    Ok(())
}

/// Writes the tree. A blob that several repositories need is linked, not copied again.
pub(super) fn write(tree: &Tree<'_>, places: &[Place<'_>]) -> Result<()> {
    let mut first: BTreeMap<Digest, PathBuf> = BTreeMap::new();
    for Place { image, path, .. } in places {
        let base = tree.to.join("v2").join(path.as_str());
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
                let copy = blobs.join(digest.to_string());
                if !files::exists(&copy) {
                    files::link_or_copy(&path, &copy)?;
                }
            }
        }
    }
    for ((path, tag), targets) in tags(places) {
        if let Some((digest, _)) = targets.first() {
            let link = tree
                .to
                .join("v2")
                .join(path.as_str())
                .join("manifests")
                .join(tag.as_str());
            files::symlink(&digest.to_string(), &link)?;
        }
    }
    Ok(())
}
