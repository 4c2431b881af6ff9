//! Judges the releases of a bundle: verifies their signatures again, from the bundle alone and
//! with keys that the caller has chosen, and compares each with its entry in the bundle's
//! inventory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::signer::ReleaseSigner;
use crate::bundle::finding::{Finding, FindingKind};
use crate::bundle::open::Bundle;
use crate::content::release::Keyring;
use crate::content::release::difference::Difference;
use crate::content::release::judgement::{self, Fault, Judgement, Policy, Subject};
use crate::content::release::signature::SignatureError;
use crate::content::release::trust::ReleaseTrust;
use crate::content::release::verification_config::{NamedKeyring, VerificationConfig};
use crate::error::{Class, Error, Result, chain};
use crate::image::release::{Image, PayloadReader, is_image};
use crate::image::{BaseBlobs, Source};
use crate::model::{
    BlobPlace, Digest, Inventory, Reference, ReleaseEntry, ReleaseVersion, Timestamp,
};
use crate::ops::context::Context;
use crate::sys::clock;

/// Reason for a signed release whose image could not be compared.
const NOT_COMPARED: &str =
    "signed, but not compared with its image, which the bundle does not carry";

/// Reason for an unsigned release whose image could not be compared.
const UNSIGNED_NOT_COMPARED: &str =
    "unsigned, and not compared with its image, which the bundle does not carry";

/// Limit of reads of one layer, for different releases, in a bundle that no trusted key signed.
/// Releases share layers, and a small layer may unpack to gigabytes.
const MAX_READS_PER_LAYER: usize = 8;

/// Reason for a signed release that was not read because of [`MAX_READS_PER_LAYER`].
const NOT_READ: &str = "signed, but not compared with its image: in an unsigned bundle, layers \
                        that releases share are read for a limited number of them";

/// Reason for an unsigned release that was not read because of [`MAX_READS_PER_LAYER`].
const UNSIGNED_NOT_READ: &str = "unsigned, and not compared with its image: in an unsigned \
                                 bundle, layers that releases share are read for a limited number \
                                 of them";

/// Keys that are trusted for releases.
#[derive(Debug, Clone)]
pub struct ReleaseKeys {
    /// The pinned keys.
    pub trust: ReleaseTrust,
}

impl Default for ReleaseKeys {
    fn default() -> Self {
        Self {
            trust: ReleaseTrust::built_in(),
        }
    }
}

/// Judgement about the origin of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseState {
    /// A pinned key signed it, and its image agrees with its entry in the inventory.
    Genuine,
    /// A pinned key signed it, but its image could not be compared with its entry in the
    /// inventory, because a base carried it or it was not read.
    NotCompared,
    /// It has no signatures; the operator of the export accepted that.
    Unsigned,
    /// Only keys that are not pinned signed it.
    KeysUnknown,
    /// A signature is invalid, or its image differs from its entry in the inventory.
    NotGenuine,
    /// It cannot be read, so it could not be judged.
    Unreadable,
}

/// The judgement about a release, with the keys that signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseProof {
    /// The release image, as requested at export.
    pub image: Reference,
    /// The release's version.
    pub version: ReleaseVersion,
    /// The judgement.
    pub state: ReleaseState,
    /// True if version, architecture, components and keyrings were compared with the release
    /// image. Not possible if a base carried its layers.
    pub compared: bool,
    /// True if it was not compared because its layers had been read [`MAX_READS_PER_LAYER`] times.
    #[serde(skip)]
    pub(in crate::ops) not_read: bool,
    /// Pinned keys that signed it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<ReleaseSigner>,
    /// Reason for any state other than [`ReleaseState::Genuine`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The available parts of a bundle.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) enum Available<'a> {
    /// Only its inventory.
    Inventory(&'a Inventory),
    /// The bundle: releases are read again, as far as it carries them.
    Bundle(&'a Inventory, &'a Source),
    /// The bundle, and a registry with the blobs that bases carried: all releases are read again.
    BundleAndBases(&'a Inventory, &'a Source),
}

impl<'a> Available<'a> {
    fn inventory(self) -> &'a Inventory {
        match self {
            Self::Inventory(inventory)
            | Self::Bundle(inventory, _)
            | Self::BundleAndBases(inventory, _) => inventory,
        }
    }
}

/// Judges every release of a bundle whose image the bundle holds. Blocks.
///
/// # Errors
///
/// When the run is cancelled, or the medium cannot be read.
pub(in crate::ops) fn judge(
    evidence: Available<'_>,
    keys: &ReleaseKeys,
    now: Timestamp,
) -> Result<Vec<ReleaseProof>> {
    judge_with(evidence, keys, now, Reads::Unlimited)
}

fn judge_with(
    evidence: Available<'_>,
    keys: &ReleaseKeys,
    now: Timestamp,
    mut reads: Reads,
) -> Result<Vec<ReleaseProof>> {
    let inventory = evidence.inventory();
    let mut proofs = Vec::new();
    for release in &inventory.releases {
        let root = inventory.image(&release.image).and_then(|image| image.root);
        if let Some(root) = root {
            let judge = Judge {
                evidence,
                release,
                trust: &keys.trust,
                now,
                may_read: reads.try_take(inventory, &root),
            };
            proofs.push(judge.proof(root)?);
        }
    }
    Ok(proofs)
}

/// Counts how often layers are read.
enum Reads {
    /// No limit.
    Unlimited,
    /// Number of reads by layer, each up to [`MAX_READS_PER_LAYER`].
    Counted(BTreeMap<Digest, usize>),
}

impl Reads {
    /// True if a release's layers may be read once more. Counts them if so.
    fn try_take(&mut self, inventory: &Inventory, root: &Digest) -> bool {
        let Self::Counted(counts) = self else {
            return true;
        };
        let list = inventory.manifest(root).into_iter();
        let images: Vec<&Digest> = list.flat_map(|row| &row.children).chain([root]).collect();
        let rows = images
            .into_iter()
            .filter_map(|image| inventory.manifest(image));
        let mut needed: BTreeMap<Digest, usize> = BTreeMap::new();
        for blob in rows.flat_map(|row| &row.blobs) {
            *needed.entry(*blob).or_default() += 1;
        }
        let fits = needed
            .iter()
            .all(|(blob, more)| counts.get(blob).unwrap_or(&0) + more <= MAX_READS_PER_LAYER);
        if fits {
            for (blob, more) in needed {
                *counts.entry(blob).or_default() += more;
            }
        }
        fits
    }
}

/// Judges the releases of an opened bundle for a report. If no trusted key signed the bundle, each
/// layer is read at most [`MAX_READS_PER_LAYER`] times. Blocks.
///
/// # Errors
///
/// As [`judge_bundle`].
pub(in crate::ops) fn judge_for_report(
    bundle: &Arc<Bundle>,
    keys: &ReleaseKeys,
    context: &Context,
) -> Result<Vec<ReleaseProof>> {
    let reads = match bundle.authentication.is_authenticated() {
        true => Reads::Unlimited,
        false => Reads::Counted(BTreeMap::new()),
    };
    judge_opened(bundle, keys, context, reads)
}

/// Judges every release of an opened bundle, and reads each again. Blocks.
///
/// # Errors
///
/// As [`judge`]; when the bundle's metadata chunks are damaged.
pub(in crate::ops) fn judge_bundle(
    bundle: &Arc<Bundle>,
    keys: &ReleaseKeys,
    context: &Context,
) -> Result<Vec<ReleaseProof>> {
    judge_opened(bundle, keys, context, Reads::Unlimited)
}

fn judge_opened(
    bundle: &Arc<Bundle>,
    keys: &ReleaseKeys,
    context: &Context,
    reads: Reads,
) -> Result<Vec<ReleaseProof>> {
    if bundle.inventory.releases.is_empty() {
        return Ok(Vec::new());
    }
    let source = Source::bundle(Arc::clone(bundle), context.cancel.clone())?;
    let evidence = Available::Bundle(&bundle.inventory, &source);
    judge_with(evidence, keys, clock::now(), reads)
}

/// Judges releases again that could not be compared from the bundle alone: a registry has the
/// blobs that bases carried. Blocks.
///
/// # Errors
///
/// As [`judge_bundle`]; when the registry does not give the blobs.
pub(in crate::ops) fn judge_with_bases(
    bundle: &Arc<Bundle>,
    bases: BaseBlobs,
    keys: &ReleaseKeys,
    context: &Context,
) -> Result<Vec<ReleaseProof>> {
    let source = Source::bundle(Arc::clone(bundle), context.cancel.clone())?.with_base_blobs(bases);
    let evidence = Available::BundleAndBases(&bundle.inventory, &source);
    judge(evidence, keys, clock::now())
}

/// Returns an error if a release must not be imported.
pub(in crate::ops) fn require(proofs: &[ReleaseProof], allow_unsigned: bool) -> Result<()> {
    let refused = |proof: &&ReleaseProof| match proof.state {
        ReleaseState::Genuine | ReleaseState::NotCompared => false,
        ReleaseState::Unsigned => !allow_unsigned,
        ReleaseState::KeysUnknown | ReleaseState::NotGenuine | ReleaseState::Unreadable => true,
    };
    let refused: Vec<&ReleaseProof> = proofs.iter().filter(refused).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let mut message = String::from("Releases of this bundle were not accepted:");
    for proof in &refused {
        let reason = proof.reason.as_deref().unwrap_or("it is unsigned");
        message.push_str(&format!(
            "\n  - {} ({}): {reason}",
            proof.version, proof.image
        ));
    }
    let has = |state| refused.iter().any(|proof| proof.state == state);
    let class = match has(ReleaseState::Unreadable) {
        true => Class::VerificationFailed,
        false => Class::NotAuthenticated,
    };
    let mut error = Error::new(class, message);
    if has(ReleaseState::Unsigned) {
        error = error.hint("--allow-unsigned-release accepts releases without signatures");
    }
    if has(ReleaseState::KeysUnknown) {
        error = error.hint("`--release-keys FILE` names other keys to trust for releases");
    }
    Err(error)
}

/// Warns of releases that were accepted without signatures, or without a comparison.
pub(in crate::ops) fn warn_of_unsigned(proofs: &[ReleaseProof], context: &Context) {
    for proof in proofs.iter().filter(|p| p.state == ReleaseState::Unsigned) {
        context.warn(format!(
            "release {} ({}) is UNSIGNED, accepted because of --allow-unsigned-release",
            proof.version, proof.image
        ));
    }
    let is_open = |proof: &&ReleaseProof| proof.state == ReleaseState::NotCompared;
    for proof in proofs.iter().filter(is_open) {
        context.warn(format!(
            "release {} ({}) is {NOT_COMPARED}",
            proof.version, proof.image
        ));
    }
}

/// Returns a finding for every release that an import would refuse or could not compare.
pub(in crate::ops) fn findings(proofs: &[ReleaseProof]) -> Vec<Finding> {
    let about = |proof: &ReleaseProof, kind, reason: &str| {
        let message = format!("release {}: {reason}", proof.version);
        Finding::new(kind, message).hitting([proof.image.to_string()].into_iter().collect())
    };
    let finding = |proof: &ReleaseProof| {
        let kind = match proof.state {
            ReleaseState::Genuine => return None,
            ReleaseState::NotCompared => FindingKind::ReleaseNotCompared,
            ReleaseState::Unsigned => FindingKind::UnsignedRelease,
            ReleaseState::KeysUnknown => FindingKind::ReleaseKeysUnknown,
            ReleaseState::NotGenuine => FindingKind::ReleaseNotGenuine,
            ReleaseState::Unreadable => FindingKind::NotClosed,
        };
        let reason = proof.reason.as_deref().unwrap_or("it is unsigned");
        Some(about(proof, kind, reason))
    };
    // Accepting a release without signature does not accept that it may be another release.
    let is_open = |proof: &&ReleaseProof| proof.state == ReleaseState::Unsigned && !proof.compared;
    let open = proofs.iter().filter(is_open).map(|proof| {
        let kind = FindingKind::ReleaseNotCompared;
        let reason = match proof.not_read {
            true => UNSIGNED_NOT_READ,
            false => UNSIGNED_NOT_COMPARED,
        };
        about(proof, kind, reason)
    });
    proofs.iter().filter_map(finding).chain(open).collect()
}

/// Judges one release.
struct Judge<'a> {
    evidence: Available<'a>,
    release: &'a ReleaseEntry,
    trust: &'a ReleaseTrust,
    now: Timestamp,
    /// True if its layers may be read.
    may_read: bool,
}

impl Judge<'_> {
    fn proof(&self, root: Digest) -> Result<ReleaseProof> {
        let mut proof = ReleaseProof {
            image: self.release.image.clone(),
            version: self.release.version.clone(),
            state: ReleaseState::Genuine,
            signers: Vec::new(),
            compared: false,
            not_read: false,
            reason: None,
        };
        match self.compare(root) {
            Ok(Compared::Same) => proof.compared = true,
            Ok(Compared::NotCarried) => {}
            Ok(Compared::NotRead) => proof.not_read = true,
            Ok(Compared::Foreign) => {
                let why = "the bundle declares its layers as non-distributable, so it cannot be \
                           compared with them";
                return Ok(proof.rejected(Rejection::not_genuine(why.to_owned())));
            }
            Ok(Compared::Differs(difference)) => {
                return Ok(proof.rejected(Rejection::not_genuine(difference.to_string())));
            }
            Err(error)
                if matches!(
                    error.class(),
                    Class::Interrupted | Class::Media | Class::Network | Class::Target
                ) =>
            {
                return Err(error);
            }
            Err(error) => {
                let (state, reason) = (ReleaseState::Unreadable, chain(&error));
                return Ok(proof.rejected(Rejection { state, reason }));
            }
        }
        match self.signers(root) {
            Ok(signers) => proof.signers = signers,
            Err(rejection) => return Ok(proof.rejected(rejection)),
        }
        if !proof.compared {
            let state = ReleaseState::NotCompared;
            let reason = if proof.not_read {
                NOT_READ
            } else {
                NOT_COMPARED
            };
            let reason = reason.to_owned();
            return Ok(proof.rejected(Rejection { state, reason }));
        }
        Ok(proof)
    }

    /// Reads the release again, if the bundle carries it, and compares it with its entry.
    fn compare(&self, root: Digest) -> Result<Compared> {
        let (inventory, source) = match self.evidence {
            Available::Inventory(_) => return Ok(Compared::NotCarried),
            Available::Bundle(inventory, source) => (inventory, source),
            Available::BundleAndBases(inventory, source) => (inventory, source),
        };
        let has_bases = matches!(self.evidence, Available::BundleAndBases(..));
        for place in places(inventory, &root) {
            match place {
                BlobPlace::Carried(_) => {}
                BlobPlace::Omitted { .. } if has_bases => {}
                BlobPlace::Foreign { .. } => return Ok(Compared::Foreign),
                BlobPlace::Omitted { .. } | BlobPlace::Missing { .. } => {
                    return Ok(Compared::NotCarried);
                }
            }
        }
        if !self.may_read {
            return Ok(Compared::NotRead);
        }
        let name = self.release.image.to_string();
        let reader = PayloadReader {
            source,
            name: &name,
        };
        let contents =
            reader.payload(&root, |child| inventory.manifest(&child.digest).is_some())?;
        Ok(match Difference::of(self.release, &contents) {
            Some(difference) => Compared::Differs(difference),
            None => Compared::Same,
        })
    }

    /// Returns the keys that signed it. Either the list is signed, or each of its images.
    fn signers(&self, root: Digest) -> std::result::Result<Vec<ReleaseSigner>, Rejection> {
        let images = self.images_of(root);
        let mut strays = self.release.signatures.iter();
        if let Some(stray) = strays.find(|s| s.over != root && !images.contains(&s.over)) {
            let reason = format!(
                "one of its signatures is over {}, which is not its image",
                stray.over
            );
            return Err(Rejection::not_genuine(reason));
        }
        let config = self.config()?;
        let policy = Policy {
            config: Some(&config).filter(|config| !config.keyrings.is_empty()),
            trust: self.trust,
            now: self.now,
        };
        let evidence = judgement::Evidence {
            signatures: &self.release.signatures,
            is_whole: true,
        };
        match judgement::judge(&Subject { root, images }, &policy, &evidence) {
            Judgement::Signed(signed) => Ok(ReleaseSigner::all(&signed, self.trust)),
            Judgement::Absent(_) => Err(Rejection {
                state: ReleaseState::Unsigned,
                reason: "it is unsigned; the export accepted that \
                         (--allow-unsigned-release)"
                    .to_owned(),
            }),
            Judgement::Invalid(fault) | Judgement::Unknown(fault) => Err(fault.into()),
        }
    }

    /// Returns the images of a list that the bundle carries, according to the list's own bytes.
    /// Without these bytes, every entry counts as an image: the inventory's platforms are an
    /// unverified claim.
    fn images_of(&self, root: Digest) -> Vec<Digest> {
        let inventory = self.evidence.inventory();
        let list = inventory.manifest(&root);
        let children = list.into_iter().flat_map(|list| &list.children);
        let attestations: BTreeSet<Digest> = match self.evidence {
            Available::Inventory(_) => BTreeSet::new(),
            Available::Bundle(_, source) | Available::BundleAndBases(_, source) => {
                let list = Image::read(source, &root, "the release");
                let entries = list.into_iter().flat_map(|list| list.facts.children);
                let not_images = entries.filter(|child| !is_image(child));
                not_images.map(|child| child.digest).collect()
            }
        };
        let is_image = |child: &&Digest| !attestations.contains(child);
        children.filter(is_image).copied().collect()
    }

    /// Returns the payload's verification keys, as the bundle has them.
    fn config(&self) -> std::result::Result<VerificationConfig, Rejection> {
        let keyrings = self.release.keyrings.iter().map(|entry| {
            let keyring = Keyring::of_payload(&entry.data).map_err(|error| {
                let name = entry.name.escape_debug();
                Rejection::not_genuine(format!(
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
            keyrings: keyrings.collect::<std::result::Result<_, Rejection>>()?,
            stores: Vec::new(),
            unknown: Vec::new(),
        })
    }
}

/// Result of reading a release again.
enum Compared {
    /// It agrees with the inventory.
    Same,
    /// It differs from the inventory.
    Differs(Difference),
    /// Parts of it were carried by an earlier bundle or are missing, or only the inventory is here.
    NotCarried,
    /// Its layers were read for too many other releases.
    NotRead,
    /// The inventory declares parts of it as foreign, so they cannot be read.
    Foreign,
}

/// Returns the places of all blobs of a release image, or of the carried images of a list. Foreign
/// ones come first, because nothing can replace them.
fn places<'a>(inventory: &'a Inventory, root: &Digest) -> Vec<&'a BlobPlace> {
    let top = inventory.manifest(root);
    let children = top.into_iter().flat_map(|top| &top.children);
    let children = children.filter_map(|child| inventory.manifest(child));
    let blobs = top.into_iter().chain(children).flat_map(|row| &row.blobs);
    let rows = blobs.filter_map(|digest| inventory.blob(digest));
    let mut places: Vec<&BlobPlace> = rows.map(|row| &row.place).collect();
    places.sort_by_key(|place| !matches!(place, BlobPlace::Foreign { .. }));
    places
}

impl ReleaseProof {
    fn rejected(self, rejection: Rejection) -> Self {
        Self {
            state: rejection.state,
            reason: Some(rejection.reason),
            ..self
        }
    }
}

/// Reason why a release is not known to be genuine.
struct Rejection {
    state: ReleaseState,
    reason: String,
}

impl Rejection {
    fn not_genuine(reason: String) -> Self {
        let state = ReleaseState::NotGenuine;
        Self { state, reason }
    }
}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        let state = match fault {
            Fault::Signature(SignatureError::NotPinned { .. }) => ReleaseState::KeysUnknown,
            _ => ReleaseState::NotGenuine,
        };
        let reason = chain(&fault);
        Self { state, reason }
    }
}

#[cfg(test)]
mod tests;
