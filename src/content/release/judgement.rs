//! Decides whether a release is signed: the one function whose result export, import, verify,
//! extract and the other verbs act on.
//!
//! A pure function of the collected evidence. Other modules search for signatures, and decide how
//! to treat a release that has none; this module asks no user and grants no exception.

use crate::content::release::signature::{SignatureError, Verified, verify};
use crate::content::release::trust::ReleaseTrust;
use crate::content::release::verification_config::VerificationConfig;
use crate::model::{Digest, ReleaseSignature, Timestamp};

/// The manifests that signatures must cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Digest of the top manifest.
    pub root: Digest,
    /// Digests of the images of a manifest list, each of which must be signed if the list is not;
    /// empty for a release that is one image.
    pub images: Vec<Digest>,
}

/// The rules by which a release is judged.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// The payload's verification ConfigMap, if it has one.
    pub config: Option<&'a VerificationConfig>,
    /// The keys that are trusted.
    pub trust: &'a ReleaseTrust,
    /// The current time.
    pub now: Timestamp,
}

/// The signatures that were found for a release.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Signatures, in the order of the stores.
    pub signatures: &'a [ReleaseSignature],
    /// True if every place that may have more signatures has answered.
    pub is_whole: bool,
}

/// The valid signatures over one manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Digest of the manifest.
    pub over: Digest,
    /// The result of verifying the signatures. Its numbers are positions in `messages`, from 1.
    pub verified: Verified,
    /// Whole signature files in the order in which they were found.
    pub messages: Vec<Vec<u8>>,
}

/// The result of judging a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Pinned keys have signed the release: the manifest list, or each of its images.
    Signed(Vec<Signed>),
    /// The release has no signature. Only this result can be overridden by the user.
    Absent(NoSignatureReason),
    /// The release has signatures that are not valid, or none of the payload's keys is trusted.
    Invalid(Fault),
    /// It is unknown whether the release has signatures: not every store answered.
    Unknown(Fault),
}

/// The reason why a release has no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSignatureReason {
    /// The payload has no verification ConfigMap.
    #[error("the release contains no signing keys, so nothing can be checked")]
    NoKeys,
    /// All stores answered, and none has a signature.
    #[error("no store has a signature for it")]
    NoSignature,
}

/// The reason why signatures are not sufficient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A signature is not valid, or is missing.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// There are signatures, but the payload names no keys to verify them with.
    #[error("It has signatures, but contains no signing keys to check them with")]
    NoKeys,
    /// Only some images of a manifest list are signed.
    #[error(
        "Only some images of its manifest list are signed, not {}",
        list(without)
    )]
    PartlySigned {
        /// Digests of the images without a signature.
        without: Vec<Digest>,
    },
}

fn list(digests: &[Digest]) -> String {
    let texts: Vec<String> = digests.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

impl Policy<'_> {
    /// Returns a fault that no signature could repair: that none of the keys is pinned.
    pub fn no_pinned_key(&self, subject: &Subject) -> Option<Fault> {
        match self.verify(&subject.root, &[])? {
            Err(SignatureError::NoSignature { .. }) | Ok(_) => None,
            Err(error) => Some(error.into()),
        }
    }

    /// Verifies signature files over a manifest; `None` if the payload names no keys.
    pub fn verify(
        &self,
        over: &Digest,
        messages: &[Vec<u8>],
    ) -> Option<Result<Verified, SignatureError>> {
        let config = self.config?;
        Some(verify(over, config, self.trust, messages, self.now))
    }
}

/// Judges a release by its signatures.
///
/// Either the manifest list is signed, or each of its images. If there are signatures over the list
/// and they are not valid, valid ones over its images do not count.
pub fn judge(subject: &Subject, policy: &Policy<'_>, evidence: &Evidence<'_>) -> Judgement {
    if policy.config.is_none() {
        return match evidence.signatures {
            [] => Judgement::Absent(NoSignatureReason::NoKeys),
            _ => Judgement::Invalid(Fault::NoKeys),
        };
    }
    let of_root = over(&subject.root, policy, evidence);
    let missing = match of_root {
        Found::Good(signed) => return Judgement::Signed(vec![signed]),
        Found::Bad(error) => return Judgement::Invalid(error.into()),
        Found::Nothing(missing) => missing,
    };
    let (mut signed, mut without) = (Vec::new(), Vec::new());
    for image in &subject.images {
        match over(image, policy, evidence) {
            Found::Good(good) => signed.push(good),
            Found::Bad(error) => return Judgement::Invalid(error.into()),
            Found::Nothing(_) => without.push(*image),
        }
    }
    match (signed.is_empty(), without.is_empty()) {
        (false, true) => Judgement::Signed(signed),
        _ if !evidence.is_whole => Judgement::Unknown(missing.into()),
        (false, false) => Judgement::Invalid(Fault::PartlySigned { without }),
        (true, _) => Judgement::Absent(NoSignatureReason::NoSignature),
    }
}

/// The result for one manifest.
enum Found {
    Good(Signed),
    Bad(SignatureError),
    Nothing(SignatureError),
}

fn over(digest: &Digest, policy: &Policy<'_>, evidence: &Evidence<'_>) -> Found {
    let messages = evidence.signatures.iter();
    let messages = messages.filter(|signature| signature.over == *digest);
    let messages: Vec<Vec<u8>> = messages.map(|s| s.message.clone()).collect();
    let nothing = SignatureError::NoSignature { release: *digest };
    if messages.is_empty() {
        return Found::Nothing(nothing);
    }
    match policy.verify(digest, &messages) {
        Some(Ok(verified)) => Found::Good(Signed {
            over: *digest,
            verified,
            messages,
        }),
        Some(Err(error)) => Found::Bad(error),
        None => Found::Nothing(nothing),
    }
}

#[cfg(test)]
mod tests;
