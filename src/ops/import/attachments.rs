//! Signatures and other artifacts attached to images: selects those to send, and records those
//! that the target refuses.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::failure::Failure;
use crate::bundle::read::Manifests;
use crate::model::{Digest, Inventory, Tag};
use crate::plan::import::{Artifact, ArtifactSelection};

/// Artifact types of signatures only, by cosign and by notation.
const SIGNATURES: [&str; 2] = [
    "application/vnd.dev.cosign.artifact.sig.v1+json",
    "application/vnd.cncf.notary.signature",
];

/// Prefix of the types of sigstore bundles. Such a bundle holds a signature or an attestation.
const SIGSTORE_BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

/// Annotation with the kind of content of a sigstore bundle, and its value for a signature.
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";
const PREDICATE_OF_SIGNATURES: &str = "https://sigstore.dev/cosign/sign/v1";

/// Part of the warning for a release without its signatures.
pub(super) const RELEASES_MAY_NEED_THEM: &str =
    "clusters since 4.21 may require the sigstore signatures of releases";

/// Policy for artifacts that are attached to images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttachmentRule {
    /// Send them; a refused one is reported, and its image still counts as imported.
    #[default]
    BestEffort,
    /// Send them; a refused one makes its image fail.
    Required,
    /// Do not send them.
    None,
}

/// Options of an import for attached artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttachmentPolicy {
    /// Rule for all attached artifacts.
    pub attachments: AttachmentRule,
    /// True if the operator chose the rule explicitly: then refused artifacts are no failure.
    pub is_explicit: bool,
    /// True to leave out signatures.
    pub remove_signatures: bool,
}

impl AttachmentPolicy {
    /// Selects the artifacts of a bundle to send.
    pub(super) fn sent(&self, inventory: &Inventory, manifests: &Manifests) -> ArtifactSelection {
        match (self.attachments, self.remove_signatures) {
            (AttachmentRule::None, _) => ArtifactSelection::None,
            (_, true) => ArtifactSelection::Without(signatures(inventory, manifests)),
            (_, false) => ArtifactSelection::All,
        }
    }
}

/// Returns all signatures of a bundle, and the artifacts attached to them.
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

/// An attached artifact that the target refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedAttachment {
    /// Digest of its top manifest.
    pub digest: Digest,
    /// Cosign's tags of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// Reason of the refusal.
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

    /// Returns the failure of an image that requires its attachments.
    pub(super) fn as_failure(&self) -> Failure {
        Failure {
            reason: format!("attached artifact {}: {}", self.name(), self.reason()),
            ..self.failure.clone()
        }
    }

    /// Returns the reason of the refusal.
    pub fn reason(&self) -> &str {
        &self.failure.reason
    }

    /// Returns its first tag, or else its digest.
    pub fn name(&self) -> String {
        let tag = self.tags.first().map(ToString::to_string);
        tag.unwrap_or_else(|| self.digest.to_string())
    }
}
