//! Whether a release is signed: the one judgement that export, import, verify, extract and the
//! rest act on.
//!
//! It is a function of what was found. Where signatures are looked for, and what is done about a
//! release that has none, is decided elsewhere; here nobody is asked and nothing is waived.

use crate::content::release::signature::{SignatureError, Verified, verify};
use crate::content::release::trust::ReleaseTrust;
use crate::content::release::verification_config::VerificationConfig;
use crate::model::{Digest, ReleaseSignature, Timestamp};

/// What has to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The top manifest.
    pub root: Digest,
    /// The images of a list, each of which has to be signed where the list is not; empty for a
    /// release that is one image.
    pub images: Vec<Digest>,
}

/// By what a release is judged.
#[derive(Debug, Clone, Copy)]
pub struct Standard<'a> {
    /// How the payload wants to be verified; absent when it does not say.
    pub config: Option<&'a VerificationConfig>,
    /// Whose word counts.
    pub trust: &'a ReleaseTrust,
    /// What time it is.
    pub now: Timestamp,
}

/// What was found about a release.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Signatures, in their stores' order.
    pub signatures: &'a [ReleaseSignature],
    /// Whether every place where there may be more has answered.
    pub is_whole: bool,
}

/// Good signatures over one manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The manifest.
    pub over: Digest,
    /// What the signatures prove. Its numbers count in `messages`, from 1.
    pub verified: Verified,
    /// Whole signature files in the order in which they were found.
    pub messages: Vec<Vec<u8>>,
}

/// What is known of who made a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Pinned keys have signed it: the list, or each of its images.
    Signed(Vec<Signed>),
    /// It has no signature. This alone may be accepted.
    Absent(Absence),
    /// It has signatures that prove nothing, or can have none that do.
    Wrong(Fault),
    /// It is not known whether it has signatures: not every store answered.
    Unknown(Fault),
}

/// How it is that a release has no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Absence {
    /// The payload has no verification ConfigMap.
    #[error("its payload does not say by which keys")]
    NoKeys,
    /// There is none where one could be.
    #[error("no store has a signature of it")]
    NoSignature,
}

/// Why signatures prove nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// They are not good.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// There are signatures, and nothing by which to verify them.
    #[error("It has signatures, and its payload does not say by which keys")]
    NoKeys,
    /// Some images of a list are signed.
    #[error("Images of its list are signed, and not {}", list(without))]
    PartlySigned {
        /// The others.
        without: Vec<Digest>,
    },
}

fn list(digests: &[Digest]) -> String {
    let texts: Vec<String> = digests.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

impl Standard<'_> {
    /// What no signature can mend: that none of the keys is pinned.
    pub fn hopeless(&self, subject: &Subject) -> Option<Fault> {
        match self.verify(&subject.root, &[])? {
            Err(SignatureError::NoSignature { .. }) | Ok(_) => None,
            Err(error) => Some(error.into()),
        }
    }

    /// What messages prove about a manifest; `None` when the payload names no keys.
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
/// A list is signed as such, or else each of its images is. Signatures over the list that are
/// not good are not mended by good ones over its images.
pub fn judge(subject: &Subject, standard: &Standard<'_>, evidence: &Evidence<'_>) -> Judgement {
    if standard.config.is_none() {
        return match evidence.signatures {
            [] => Judgement::Absent(Absence::NoKeys),
            _ => Judgement::Wrong(Fault::NoKeys),
        };
    }
    let of_root = over(&subject.root, standard, evidence);
    let missing = match of_root {
        Found::Good(signed) => return Judgement::Signed(vec![signed]),
        Found::Bad(error) => return Judgement::Wrong(error.into()),
        Found::Nothing(missing) => missing,
    };
    let (mut signed, mut without) = (Vec::new(), Vec::new());
    for image in &subject.images {
        match over(image, standard, evidence) {
            Found::Good(good) => signed.push(good),
            Found::Bad(error) => return Judgement::Wrong(error.into()),
            Found::Nothing(_) => without.push(*image),
        }
    }
    match (signed.is_empty(), without.is_empty()) {
        (false, true) => Judgement::Signed(signed),
        _ if !evidence.is_whole => Judgement::Unknown(missing.into()),
        (false, false) => Judgement::Wrong(Fault::PartlySigned { without }),
        (true, _) => Judgement::Absent(Absence::NoSignature),
    }
}

/// What there is over one manifest.
enum Found {
    Good(Signed),
    Bad(SignatureError),
    Nothing(SignatureError),
}

fn over(digest: &Digest, standard: &Standard<'_>, evidence: &Evidence<'_>) -> Found {
    let messages = evidence.signatures.iter();
    let messages = messages.filter(|signature| signature.over == *digest);
    let messages: Vec<Vec<u8>> = messages.map(|s| s.message.clone()).collect();
    let nothing = SignatureError::NoSignature { release: *digest };
    if messages.is_empty() {
        return Found::Nothing(nothing);
    }
    match standard.verify(digest, &messages) {
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
