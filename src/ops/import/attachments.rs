//! Signatures and other artifacts that are attached to images: which are sent, and what it means
//! when the target refuses one.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::failure::Failure;
use crate::bundle::read::Manifests;
use crate::model::{Digest, Inventory, Tag};
use crate::plan::import::{Artifact, Sent};

/// Types of artifacts that are signatures and nothing else: of cosign, and of notation.
const SIGNATURES: [&str; 2] = [
    "application/vnd.dev.cosign.artifact.sig.v1+json",
    "application/vnd.cncf.notary.signature",
];

/// What the types of sigstore's bundles begin with. A bundle holds a signature or an attestation.
const SIGSTORE_BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

/// The annotation by which a sigstore bundle says what an attestation is about, and its value for
/// a signature.
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";
const PREDICATE_OF_SIGNATURES: &str = "https://sigstore.dev/cosign/sign/v1";

/// Said where a release lacks signatures.
pub(super) const RELEASES_MAY_NEED_THEM: &str =
    "clusters from 4.21 on may demand the sigstore signatures of releases";

/// What to do about attached artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttachmentRule {
    /// They are sent; one that is refused costs itself.
    #[default]
    BestEffort,
    /// They are sent; one that is refused costs its image.
    Required,
    /// They are not sent.
    None,
}

/// What an import is asked to do about attached artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttachmentPolicy {
    /// In general.
    pub attachments: AttachmentRule,
    /// Whether somebody asked for that: then what is refused is no failure.
    pub is_asked_for: bool,
    /// Whether signatures stay behind.
    pub remove_signatures: bool,
}

impl AttachmentPolicy {
    /// Which artifacts of a bundle are sent.
    pub(super) fn sent(&self, inventory: &Inventory, manifests: &Manifests) -> Sent {
        match (self.attachments, self.remove_signatures) {
            (AttachmentRule::None, _) => Sent::None,
            (_, true) => Sent::Without(signatures(inventory, manifests)),
            (_, false) => Sent::All,
        }
    }
}

/// All signatures of a bundle, and what is attached to them.
fn signatures(inventory: &Inventory, manifests: &Manifests) -> BTreeSet<Digest> {
    let all = || inventory.images.iter().flat_map(|image| &image.attached);
    let is_sig = |tag: &Tag| tag.as_str().ends_with(".sig");
    let mut found: BTreeSet<Digest> = all()
        .filter(|a| a.tag.as_ref().is_some_and(is_sig) || is_signature(manifests, &a.root))
        .map(|attachment| attachment.root)
        .collect();
    loop {
        let of_those = all().filter(|a| found.contains(&a.subject) && !found.contains(&a.root));
        let more: Vec<Digest> = of_those.map(|attachment| attachment.root).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

fn is_signature(manifests: &Manifests, digest: &Digest) -> bool {
    let document = manifests
        .get(digest)
        .and_then(|manifest| serde_json::from_slice::<Value>(&manifest.bytes).ok());
    let Some(document) = document else {
        return false;
    };
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
    let own = text("/artifactType").filter(|kind| !kind.is_empty());
    let kind = own
        .or_else(|| text("/config/mediaType"))
        .unwrap_or_default();
    let predicate = document
        .get("annotations")
        .and_then(|all| all.get(PREDICATE));
    let predicate = predicate.and_then(Value::as_str);
    SIGNATURES.contains(&kind)
        || (kind.starts_with(SIGSTORE_BUNDLE)
            && predicate.is_none_or(|predicate| predicate == PREDICATE_OF_SIGNATURES))
}

/// An attached artifact that the target did not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedAttachment {
    /// Its top manifest.
    pub digest: Digest,
    /// Cosign's tags for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// Why.
    #[serde(flatten)]
    pub(super) failure: Failure,
}

impl RefusedAttachment {
    pub(super) fn new(artifact: &Artifact, failure: Failure) -> Self {
        Self {
            digest: artifact.root,
            tags: artifact.tags.clone(),
            failure,
        }
    }

    /// The image's failure, where it needs its attachments.
    pub(super) fn as_failure(&self) -> Failure {
        Failure {
            reason: format!("attached artifact {}: {}", self.name(), self.reason()),
            ..self.failure.clone()
        }
    }

    /// Why the target did not take it.
    pub fn reason(&self) -> &str {
        &self.failure.reason
    }

    /// Its tag, else its digest.
    pub fn name(&self) -> String {
        let tag = self.tags.first().map(ToString::to_string);
        tag.unwrap_or_else(|| self.digest.to_string())
    }
}
