//! Whether the releases of a bundle are genuine: their signatures verified again, from the bundle
//! alone, with keys that whoever asks has chosen.

use serde::Serialize;

use crate::content::release::Keyring;
use crate::content::release::signature::{SignatureError, Verified, verify};
use crate::content::release::trust::ReleaseTrust;
use crate::content::release::verification_config::{NamedKeyring, VerificationConfig};
use crate::format::statement::render_time;
use crate::model::{Digest, Inventory, Reference, ReleaseEntry, ReleaseVersion, Timestamp};
use crate::ops::error::{Class, Error, Result, chain};
use crate::ops::finding::{Finding, FindingKind};

/// Whose word counts for releases.
#[derive(Debug, Clone)]
pub struct ReleaseKeys {
    /// The pinned keys.
    pub trust: ReleaseTrust,
    /// Whether somebody chose them, or they are the built-in ones.
    pub chosen: bool,
}

impl Default for ReleaseKeys {
    fn default() -> Self {
        Self {
            trust: ReleaseTrust::built_in(),
            chosen: false,
        }
    }
}

/// What is known of who made a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseState {
    /// Pinned keys have signed it.
    Genuine,
    /// It has no signatures, and its exporter was told to accept that.
    Unsigned,
    /// Its signatures are by keys of which none is pinned.
    KeysUnknown,
    /// It has signatures that are not good.
    NotGenuine,
}

/// A release, and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseProof {
    /// The release image, as asked for at export.
    pub image: Reference,
    /// The release's version.
    pub version: ReleaseVersion,
    /// What is known.
    pub state: ReleaseState,
    /// Who vouches for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<ReleaseSigner>,
    /// Why it is not genuine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A pinned key that has signed a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ReleaseSigner {
    /// Fingerprint of the primary key.
    pub key: String,
    /// What people call it, where the program knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'static str>,
    /// When, by its own word.
    pub signed_at: String,
    /// Under which name, by its own word.
    pub reference: String,
}

/// Judges every release of a bundle whose image the bundle holds.
pub(in crate::ops) fn judge(
    inventory: &Inventory,
    keys: &ReleaseKeys,
    now: Timestamp,
) -> Vec<ReleaseProof> {
    let releases = inventory.releases.iter();
    releases
        .filter_map(|release| {
            let root = inventory.image(&release.image)?.root?;
            let judged = Judge {
                inventory,
                release,
                trust: &keys.trust,
                now,
            };
            Some(judged.proof(root))
        })
        .collect()
}

/// What importing these releases would mean; an error when it must not be.
pub(in crate::ops) fn require(proofs: &[ReleaseProof], allow_unsigned: bool) -> Result<()> {
    let refused = |proof: &&ReleaseProof| match proof.state {
        ReleaseState::Genuine => false,
        ReleaseState::Unsigned => !allow_unsigned,
        ReleaseState::KeysUnknown | ReleaseState::NotGenuine => true,
    };
    let refused: Vec<&ReleaseProof> = proofs.iter().filter(refused).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let mut message = String::from("Nobody who is trusted vouches for releases of this bundle:");
    for proof in &refused {
        let reason = proof.reason.as_deref().unwrap_or("it is unsigned");
        message.push_str(&format!(
            "\n  - {} ({}): {reason}",
            proof.version, proof.image
        ));
    }
    let has = |state| refused.iter().any(|proof| proof.state == state);
    let mut error = Error::new(Class::NotAuthenticated, message);
    if has(ReleaseState::Unsigned) {
        error = error.hint("--allow-unsigned-release accepts releases without signatures");
    }
    if has(ReleaseState::KeysUnknown) {
        error = error.hint("--release-keys FILE names other keys that may vouch for releases");
    }
    Err(error)
}

/// What a reviewer is told. Without chosen keys it is no failure that others have signed: the
/// exporter vouches for the bundle.
pub(in crate::ops) fn findings(proofs: &[ReleaseProof], keys: &ReleaseKeys) -> Vec<Finding> {
    let finding = |proof: &ReleaseProof| {
        let kind = match proof.state {
            ReleaseState::Genuine => return None,
            ReleaseState::Unsigned => FindingKind::UnsignedRelease,
            ReleaseState::KeysUnknown if !keys.chosen => FindingKind::ReleaseKeysUnknown,
            ReleaseState::KeysUnknown | ReleaseState::NotGenuine => FindingKind::ReleaseNotGenuine,
        };
        let reason = proof.reason.as_deref().unwrap_or("it is unsigned");
        let message = format!("release {}: {reason}", proof.version);
        Some(Finding::new(kind, message).hitting([proof.image.to_string()]))
    };
    proofs.iter().filter_map(finding).collect()
}

/// Judges one release.
struct Judge<'a> {
    inventory: &'a Inventory,
    release: &'a ReleaseEntry,
    trust: &'a ReleaseTrust,
    now: Timestamp,
}

impl Judge<'_> {
    fn proof(&self, root: Digest) -> ReleaseProof {
        let proof = |state, signers, reason| ReleaseProof {
            image: self.release.image.clone(),
            version: self.release.version.clone(),
            state,
            signers,
            reason,
        };
        if self.release.signatures.is_empty() {
            let reason = "it has no signatures, which its exporter was told to accept";
            return proof(ReleaseState::Unsigned, Vec::new(), Some(reason.to_owned()));
        }
        match self.signers(root) {
            Ok(signers) => proof(ReleaseState::Genuine, signers, None),
            Err(Doubt { state, reason }) => proof(state, Vec::new(), Some(reason)),
        }
    }

    /// A list is signed as such, or else each of its images.
    fn signers(&self, root: Digest) -> std::result::Result<Vec<ReleaseSigner>, Doubt> {
        let mut images = self.images_of(root);
        let is_over = |digest: &Digest| {
            let mut signatures = self.release.signatures.iter();
            signatures.any(|signature| signature.over == *digest)
        };
        let strays = self.release.signatures.iter();
        let mut strays = strays.filter(|s| s.over != root && !images.contains(&s.over));
        if let Some(stray) = strays.next() {
            let reason = format!(
                "one of its signatures is over {}, which is not its image",
                stray.over
            );
            return Err(Doubt::not_genuine(reason));
        }
        if is_over(&root) || images.is_empty() {
            images = vec![root];
        }
        let config = self.config()?;
        let mut signers = Vec::new();
        for image in &images {
            let messages = self.release.signatures.iter();
            let messages = messages.filter(|signature| signature.over == *image);
            let messages: Vec<Vec<u8>> = messages.map(|s| s.message.clone()).collect();
            let verified = verify(image, &config, self.trust, &messages, self.now)?;
            signers.extend(self.named(verified));
        }
        signers.sort();
        signers.dedup();
        Ok(signers)
    }

    /// The images of a list that the bundle carries; what has no real platform is no image of a
    /// release, but an attestation.
    fn images_of(&self, root: Digest) -> Vec<Digest> {
        let list = self.inventory.manifest(&root);
        let children = list.into_iter().flat_map(|list| &list.children);
        let is_image = |child: &&Digest| {
            let platform = self
                .inventory
                .manifest(child)
                .and_then(|m| m.platform.as_ref());
            platform.is_none_or(|platform| platform.os != "unknown")
        };
        children.filter(is_image).copied().collect()
    }

    /// The payload's configuration as far as the bundle keeps it.
    fn config(&self) -> std::result::Result<VerificationConfig, Doubt> {
        let keyrings = self.release.keyrings.iter().map(|entry| {
            let keyring = Keyring::parse(&entry.data).map_err(|error| {
                let name = entry.name.escape_debug();
                Doubt::not_genuine(format!(
                    "its keyring `{name}` cannot be used: {}",
                    chain(&error)
                ))
            })?;
            Ok(NamedKeyring {
                name: entry.name.clone(),
                data: entry.data.clone(),
                keyring,
            })
        });
        Ok(VerificationConfig {
            manifest: String::new(),
            keyrings: keyrings.collect::<std::result::Result<_, Doubt>>()?,
            stores: Vec::new(),
            unknown: Vec::new(),
        })
    }

    fn named(&self, verified: Verified) -> impl Iterator<Item = ReleaseSigner> {
        verified.keyrings.into_iter().map(|keyring| ReleaseSigner {
            key: keyring.key.to_string(),
            name: self.trust.name(&keyring.key),
            signed_at: render_time(keyring.signed_at).unwrap_or_default(),
            reference: keyring.reference,
        })
    }
}

/// Why a release is not known to be genuine.
struct Doubt {
    state: ReleaseState,
    reason: String,
}

impl Doubt {
    fn not_genuine(reason: String) -> Self {
        let state = ReleaseState::NotGenuine;
        Self { state, reason }
    }
}

impl From<SignatureError> for Doubt {
    fn from(error: SignatureError) -> Self {
        let state = match error {
            SignatureError::NotPinned { .. } => ReleaseState::KeysUnknown,
            _ => ReleaseState::NotGenuine,
        };
        let reason = chain(&error);
        Self { state, reason }
    }
}

#[cfg(test)]
mod tests;
