//! The artifacts attached to an image: which of them are sent, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{AttachedBy, BlobPlace, Digest, ImageEntry, Inventory, Tag, Walk};

/// Selection of the attached artifacts that are sent to the target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ArtifactSelection {
    /// All artifacts.
    #[default]
    All,
    /// All artifacts except these, given by the digests of their top manifests.
    Without(BTreeSet<Digest>),
    /// No artifacts.
    None,
}

impl ArtifactSelection {
    fn includes(&self, root: &Digest) -> bool {
        match self {
            Self::All => true,
            Self::Without(left_out) => !left_out.contains(root),
            Self::None => false,
        }
    }
}

/// An attached artifact that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Digest of its top manifest.
    pub root: Digest,
    /// Cosign's tags for the artifact, sorted.
    pub tags: Vec<Tag>,
    /// Digests of its manifests, children before their parents; the root is the last.
    pub manifests: Vec<Digest>,
    /// Digests of the blobs that it needs, without foreign blobs.
    pub blobs: Vec<Digest>,
}

/// Returns the artifacts of an image: those that are sent, each after its subject, and the
/// digests of those that are not sent.
pub(super) fn of(
    inventory: &Inventory,
    walk: &mut Walk<'_, '_>,
    image: &ImageEntry,
    sent: &ArtifactSelection,
) -> (Vec<Artifact>, Vec<Digest>) {
    let mut tags: BTreeMap<Digest, BTreeSet<Tag>> = BTreeMap::new();
    let mut subjects: BTreeMap<Digest, BTreeSet<Digest>> = BTreeMap::new();
    let mut unsent = BTreeSet::new();
    for attachment in &image.attached {
        if !sent.includes(&attachment.root) {
            unsent.insert(attachment.root);
            continue;
        }
        let own = tags.entry(attachment.root).or_default();
        if attachment.by == AttachedBy::CosignTag {
            own.extend(attachment.tag.clone());
        }
        let own = subjects.entry(attachment.root).or_default();
        own.insert(attachment.subject);
    }
    let mut waiting: Vec<Digest> = subjects.keys().copied().collect();
    let mut order = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let left: BTreeSet<Digest> = waiting.iter().copied().collect();
        let waits = |root: &Digest| {
            let own = subjects.get(root);
            own.is_some_and(|own| own.iter().any(|s| s != root && left.contains(s)))
        };
        let (later, now): (Vec<Digest>, Vec<Digest>) = waiting.iter().partition(|root| waits(root));
        if now.is_empty() {
            // They refer to each other in a cycle: no order is better than another.
            order.extend(later);
            break;
        }
        order.extend(now);
        waiting = later;
    }
    let artifacts = order.into_iter().map(|root| {
        let (manifests, blobs) = contents(inventory, walk, root);
        let tags = tags.remove(&root).unwrap_or_default();
        Artifact {
            root,
            tags: tags.into_iter().collect(),
            manifests,
            blobs,
        }
    });
    (artifacts.collect(), unsent.into_iter().collect())
}

/// Returns the manifests that a root reaches, children before their parents, and the blobs that
/// they name, without foreign blobs.
fn contents(
    inventory: &Inventory,
    walk: &mut Walk<'_, '_>,
    root: Digest,
) -> (Vec<Digest>, Vec<Digest>) {
    let mut order = super::PushOrder::new(inventory, walk, root, BTreeSet::new());
    order.visit(root);
    let is_foreign = |digest: &Digest| {
        let blob = inventory.blob(digest);
        blob.is_some_and(|blob| matches!(blob.place, BlobPlace::Foreign { .. }))
    };
    order.blobs.retain(|digest| !is_foreign(digest));
    (order.manifests, order.blobs)
}

/// Returns the digests of all manifests of artifacts.
pub(super) fn manifests(artifacts: &[Artifact]) -> BTreeSet<Digest> {
    let all = artifacts.iter().flat_map(|artifact| &artifact.manifests);
    all.copied().collect()
}
