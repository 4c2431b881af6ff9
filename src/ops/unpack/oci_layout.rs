//! Writes an OCI image layout (OCI image-spec, image-layout.md): `oci-layout`, `index.json`, and
//! all content below `blobs/sha256/`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Tree;
use crate::error::{Error, Result};
use crate::model::{Digest, MediaType};
use crate::sys::files;

/// Writes the layout.
pub(super) fn write(tree: &Tree<'_>) -> Result<()> {
    let blobs = tree.to.join("blobs/sha256");
    files::make_dirs(&blobs)?;
    let mut written = BTreeSet::new();
    let mut entries = Vec::new();
    for image in &tree.images {
        let reached = tree.reached(image);
        for digest in &reached.blobs {
            if written.insert(*digest) {
                tree.copy_blob(digest, &blobs.join(digest.hex()))?;
            }
        }
        for digest in &reached.manifests {
            if written.insert(*digest) {
                tree.copy_manifest(digest, &blobs.join(digest.hex()))?;
            }
        }
        if let Some(root) = &image.root {
            entries.extend(entry(tree, root, &image.requested.to_string()));
        }
        for attachment in &image.attached {
            let name = attachment
                .tag
                .as_ref()
                .map(|tag| image.source.tagged(tag.clone()));
            let name = name.unwrap_or_else(|| image.source.pinned(attachment.root));
            entries.extend(entry(tree, &attachment.root, &name.to_string()));
        }
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": entries,
    });
    let text = |value: &Value| {
        serde_json::to_string_pretty(value)
            .map_err(|error| Error::internal("The index cannot be written", error))
    };
    let layout = json!({ "imageLayoutVersion": "1.0.0" });
    files::write_atomically(&tree.to.join("index.json"), text(&index)?.as_bytes(), 0o644)?;
    files::write_atomically(
        &tree.to.join("oci-layout"),
        text(&layout)?.as_bytes(),
        0o644,
    )?;
    Ok(())
}

/// Returns the entry of a root in `index.json`, named by its full reference, by which skopeo and
/// podman look it up.
fn entry(tree: &Tree<'_>, digest: &Digest, name: &str) -> Option<Value> {
    let manifest = tree.manifests.get(digest)?;
    Some(json!({
        "mediaType": manifest.media_type,
        "digest": digest,
        "size": manifest.bytes.len(),
        "annotations": { "org.opencontainers.image.ref.name": name },
    }))
}
