//! Verifies that a release is signed by trusted keys.
//!
//! Signatures have the form that OpenShift inherited from atomic: an OpenPGP signed message whose
//! text is JSON and names the image by digest (docs/oc-compatibility.md, section 2.5). Everything
//! is checked: the message to its end, the keys and their validity, the digest.

use serde::Deserialize;

use super::fingerprint::KeyFingerprint;
use super::keyring::{self, KeyFault, ReleaseKey};
use super::signed_message::{self, MessageFault, SignedMessage};
use super::trust::ReleaseTrust;
use super::verification_config::{NamedKeyring, VerificationConfig};
use crate::encoding::time::render_time;
use crate::model::{Digest, Timestamp, is_deceptive};

pub use super::signed_message::MESSAGE_LIMIT;

/// The `type` that the text of a signature must have.
const BODY_TYPE: &str = "atomic container signature";

/// A release whose signatures satisfy every keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The signature that satisfied each keyring, in the order of the configuration.
    pub keyrings: Vec<SatisfiedKeyring>,
}

/// The signature that satisfied a keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SatisfiedKeyring {
    /// Name of the keyring's entry in the configuration.
    pub keyring: String,
    /// The pinned primary key.
    pub key: KeyFingerprint,
    /// The key that signed: the primary key or a subkey of it.
    pub signing_key: KeyFingerprint,
    /// Number of the signature, from 1.
    pub signature: usize,
    /// Date of the signature, as it states.
    pub signed_at: Timestamp,
    /// Expiry of the key, if it has expired since and that was accepted.
    pub key_expired: Option<Timestamp>,
    /// Name under which the release was signed (`docker-reference`). A claim of the signer; not to
    /// be used for fetching.
    pub reference: String,
}

/// Error from verifying a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The configuration has no keyring, so that verification would succeed without any signature.
    #[error("The payload's configuration names no keys to verify {release} with")]
    NoKeyring {
        /// The release.
        release: Digest,
    },
    /// None of a keyring's keys is pinned.
    #[error(
        "No key of the payload's keyring `{}` is trusted: it holds {}; compare one of them with a source that you trust and pin it with `--release-keys FILE`",
        keyring.escape_debug(), list(fingerprints)
    )]
    NotPinned {
        /// Name of the keyring's entry in the configuration.
        keyring: String,
        /// Fingerprints of the keyring's keys.
        fingerprints: Vec<KeyFingerprint>,
    },
    /// There is no signature to verify.
    #[error("The release {release} has no signature")]
    NoSignature {
        /// The release.
        release: Digest,
    },
    /// The message is longer than a signature may be.
    #[error(
        "Signature {signature} is longer than {MESSAGE_LIMIT} bytes, or would be when decompressed"
    )]
    TooLarge {
        /// Number of the signature, from 1.
        signature: usize,
    },
    /// The message is truncated, or has another structure.
    #[error("Signature {signature} is not a whole OpenPGP signed message: {why}")]
    Unreadable {
        /// Number of the signature, from 1.
        signature: usize,
        /// The fault, as a clause.
        why: String,
    },
    /// No trusted key of the keyring is named as the signer.
    #[error(
        "Signature {signature} was not made by a trusted key of `{}`", keyring.escape_debug()
    )]
    UnknownKey {
        /// Number of the signature, from 1.
        signature: usize,
        /// Name of the keyring's entry in the configuration.
        keyring: String,
    },
    /// The signature is not valid.
    #[error("Signature {signature} is wrong: {why}")]
    BadSignature {
        /// Number of the signature, from 1.
        signature: usize,
        /// The fault, as a clause.
        why: String,
    },
    /// The hash of the message is too weak or unknown.
    #[error("Signature {signature} uses the hash {algorithm}, which is too weak or not known")]
    WeakHash {
        /// Number of the signature, from 1.
        signature: usize,
        /// Name of the hash.
        algorithm: String,
    },
    /// The signature itself has expired.
    #[error("Signature {signature} expired{}", on(at))]
    ExpiredSignature {
        /// Number of the signature, from 1.
        signature: usize,
        /// Expiry of the signature.
        at: Timestamp,
    },
    /// The signature is dated in the future.
    #[error(
        "Signature {signature} was made in the future{}; check the clock",
        on(signed_at)
    )]
    FromFuture {
        /// Number of the signature, from 1.
        signature: usize,
        /// Date of the signature.
        signed_at: Timestamp,
    },
    /// The key has expired.
    #[error(
        "The key {key} expired{}, and made signature {signature}{}",
        on(at),
        on(signed_at)
    )]
    ExpiredKey {
        /// Number of the signature, from 1.
        signature: usize,
        /// Fingerprint of the primary key.
        key: KeyFingerprint,
        /// Expiry of the key.
        at: Timestamp,
        /// Date of the signature. If it is before `at`, `ExpiredKeys` may accept the signature.
        signed_at: Timestamp,
    },
    /// The key was revoked by its owner.
    #[error("The key {key}, which made signature {signature}, was revoked")]
    RevokedKey {
        /// Number of the signature, from 1.
        signature: usize,
        /// Fingerprint of the primary key.
        key: KeyFingerprint,
    },
    /// The key must not sign.
    #[error("The key {key}, which made signature {signature}, is not accepted: {why}")]
    UnusableKey {
        /// Number of the signature, from 1.
        signature: usize,
        /// Fingerprint of the primary key.
        key: KeyFingerprint,
        /// The reason, as a clause.
        why: &'static str,
    },
    /// The signed text is not a container signature.
    #[error("What signature {signature} signs is not a container signature: {why}")]
    UnexpectedBody {
        /// Number of the signature, from 1.
        signature: usize,
        /// The fault, as a clause.
        why: String,
    },
    /// The signature is valid, but for another image.
    #[error("Signature {signature} is for {signed}, not for the release {release}")]
    WrongDigest {
        /// Number of the signature, from 1.
        signature: usize,
        /// The digest that is signed.
        signed: Digest,
        /// The digest of the release.
        release: Digest,
    },
}

impl SignatureError {
    /// Rank of an error; higher is closer to a valid signature. If several signatures fail, the one
    /// with the highest rank is reported, since its error is the most useful.
    fn rank(&self) -> u8 {
        match self {
            Self::NoKeyring { .. } | Self::NotPinned { .. } | Self::NoSignature { .. } => 0,
            Self::TooLarge { .. } | Self::Unreadable { .. } => 1,
            Self::UnknownKey { .. } => 2,
            Self::WeakHash { .. } => 3,
            Self::BadSignature { .. } => 4,
            Self::UnexpectedBody { .. } | Self::WrongDigest { .. } => 5,
            Self::UnusableKey { .. } => 6,
            Self::RevokedKey { .. } => 7,
            Self::ExpiredSignature { .. } | Self::FromFuture { .. } => 8,
            Self::ExpiredKey { .. } => 9,
        }
    }
}

fn list(fingerprints: &[KeyFingerprint]) -> String {
    let texts: Vec<String> = fingerprints.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// Returns ` on TIME`, or nothing for a year that does not have four digits.
fn on(time: &Timestamp) -> String {
    render_time(*time).map_or_else(String::new, |time| format!(" on {time}"))
}

/// Verifies that every keyring of a payload's configuration is satisfied: at least one of
/// `signatures` must be a valid signature over `release` by a pinned key of that keyring.
/// `signatures` are whole files from a signature store, in the store's order.
///
/// # Errors
///
/// For the first keyring that is not satisfied: the error of the signature that came closest to
/// being valid.
pub fn verify(
    release: &Digest,
    config: &VerificationConfig,
    trust: &ReleaseTrust,
    signatures: &[Vec<u8>],
    now: Timestamp,
) -> Result<Verified, SignatureError> {
    if config.keyrings.is_empty() {
        return Err(SignatureError::NoKeyring { release: *release });
    }
    let mut pinned = Vec::new();
    for entry in &config.keyrings {
        pinned.push((entry.name.as_str(), pinned_keys(entry, trust)?));
    }
    let messages: Vec<_> = (1..)
        .zip(signatures)
        .map(|(signature, bytes)| (signature, read(signature, bytes)))
        .collect();
    let mut keyrings = Vec::new();
    for (name, keys) in pinned {
        let judge = Judge {
            release,
            trust,
            now,
            keyring: name,
            keys,
        };
        keyrings.push(judge.first_good(&messages)?);
    }
    Ok(Verified { keyrings })
}

fn pinned_keys<'c>(
    entry: &'c NamedKeyring,
    trust: &ReleaseTrust,
) -> Result<Vec<&'c ReleaseKey>, SignatureError> {
    let keys = entry.keyring.keys.iter();
    let pinned: Vec<_> = keys.filter(|key| trust.pins(&key.fingerprint())).collect();
    if pinned.is_empty() {
        return Err(SignatureError::NotPinned {
            keyring: entry.name.clone(),
            fingerprints: entry.keyring.fingerprints().collect(),
        });
    }
    Ok(pinned)
}

fn read(signature: usize, bytes: &[u8]) -> Result<SignedMessage, SignatureError> {
    signed_message::parse(bytes).map_err(|fault| match fault {
        MessageFault::TooLarge => SignatureError::TooLarge { signature },
        MessageFault::Unreadable(why) => SignatureError::Unreadable { signature, why },
    })
}

/// The criteria by which signatures are judged for one keyring.
struct Judge<'a> {
    release: &'a Digest,
    trust: &'a ReleaseTrust,
    now: Timestamp,
    keyring: &'a str,
    keys: Vec<&'a ReleaseKey>,
}

impl Judge<'_> {
    fn first_good(
        &self,
        messages: &[(usize, Result<SignedMessage, SignatureError>)],
    ) -> Result<SatisfiedKeyring, SignatureError> {
        let mut best_error = SignatureError::NoSignature {
            release: *self.release,
        };
        for (signature, message) in messages {
            let judged = match message {
                Ok(message) => self.judge(*signature, message),
                Err(error) => Err(error.clone()),
            };
            match judged {
                Ok(satisfied) => return Ok(satisfied),
                Err(error) if error.rank() > best_error.rank() => best_error = error,
                Err(_) => {}
            }
        }
        Err(best_error)
    }

    fn judge(
        &self,
        signature: usize,
        message: &SignedMessage,
    ) -> Result<SatisfiedKeyring, SignatureError> {
        let signed_at = self.acceptable(signature, message)?;
        let (key, signer) = self.signer(signature, message, signed_at)?;
        if signed_at > self.now {
            return Err(SignatureError::FromFuture {
                signature,
                signed_at,
            });
        }
        if let Some(at) = keyring::signature_expiry(&message.signature)
            && at <= self.now
        {
            return Err(SignatureError::ExpiredSignature { signature, at });
        }
        let body = Body::read(&message.body)
            .map_err(|why| SignatureError::UnexpectedBody { signature, why })?;
        let signed = body.critical.image.digest;
        if signed != *self.release {
            return Err(SignatureError::WrongDigest {
                signature,
                signed,
                release: *self.release,
            });
        }
        Ok(SatisfiedKeyring {
            keyring: self.keyring.to_owned(),
            key,
            signing_key: signer.key,
            signature,
            signed_at,
            key_expired: signer.expired,
            reference: body.critical.identity.reference,
        })
    }

    /// Checks the kind of signature, before any cryptography; returns its date.
    fn acceptable(
        &self,
        signature: usize,
        message: &SignedMessage,
    ) -> Result<Timestamp, SignatureError> {
        let bad = |why: &str| SignatureError::BadSignature {
            signature,
            why: why.to_owned(),
        };
        let packet = &message.signature;
        let hash = packet
            .hash_alg()
            .ok_or_else(|| bad("its version is not known"))?;
        if !keyring::is_strong(hash) {
            return Err(SignatureError::WeakHash {
                signature,
                algorithm: hash.to_string(),
            });
        }
        if !keyring::is_plain(packet) {
            return Err(bad("it is of another kind or version than releases use"));
        }
        if keyring::has_unknown_critical(packet) {
            return Err(bad("it has a critical part that is not supported"));
        }
        keyring::created(packet).ok_or_else(|| bad("it has no date"))
    }

    /// Finds the trusted key that made a signature. Returns its primary key and the signing key.
    fn signer(
        &self,
        signature: usize,
        message: &SignedMessage,
        signed_at: Timestamp,
    ) -> Result<(KeyFingerprint, keyring::Signer), SignatureError> {
        let mut best_error = SignatureError::UnknownKey {
            signature,
            keyring: self.keyring.to_owned(),
        };
        for certificate in &self.keys {
            let key = certificate.fingerprint();
            let times = keyring::Times {
                signed_at,
                now: self.now,
                expired_keys: self.trust.expired_keys,
            };
            let error = match certificate.check(&message.signature, &message.body, times) {
                Ok(signer) => return Ok((key, signer)),
                Err(KeyFault::OtherKey) => continue,
                Err(KeyFault::Mismatch) => SignatureError::BadSignature {
                    signature,
                    why: "it does not match the text and the key".to_owned(),
                },
                Err(KeyFault::Revoked) => SignatureError::RevokedKey { signature, key },
                Err(KeyFault::Expired { at }) => SignatureError::ExpiredKey {
                    signature,
                    key,
                    at,
                    signed_at,
                },
                Err(KeyFault::Unusable(why)) => SignatureError::UnusableKey {
                    signature,
                    key,
                    why,
                },
            };
            if error.rank() > best_error.rank() {
                best_error = error;
            }
        }
        Err(best_error)
    }
}

/// The text of a signature (containers/image, containers-signature(5)).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    critical: Critical,
    #[serde(default, rename = "optional")]
    _optional: Option<Optional>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    #[serde(rename = "type")]
    kind: String,
    image: Image,
    identity: Identity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Optional {
    #[serde(default, rename = "creator")]
    _creator: Option<String>,
    #[serde(default, rename = "timestamp")]
    _timestamp: Option<i64>,
}

impl Body {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let body: Self =
            serde_json::from_slice(bytes).map_err(|error| keyring::printable(&error))?;
        if body.critical.kind != BODY_TYPE {
            return Err("its type is not that of an image signature".to_owned());
        }
        let reference = &body.critical.identity.reference;
        if reference.trim().is_empty() {
            return Err("its docker-reference is empty".to_owned());
        }
        if reference.contains(is_deceptive) {
            return Err("its docker-reference holds characters that may deceive".to_owned());
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests;
