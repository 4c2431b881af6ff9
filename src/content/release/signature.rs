//! Whether a release is signed by keys that we trust.
//!
//! Signatures have the form that OpenShift inherited from atomic: an OpenPGP signed message
//! whose text is JSON and names the image by digest (docs/oc-compatibility.md, section 2.5). All of
//! it is checked: the message to its end, the keys and their lives, the digest.

use serde::Deserialize;

use super::fingerprint::KeyFingerprint;
use super::keyring::{self, KeyFault, ReleaseKey};
use super::signed_message::{self, MessageFault, SignedMessage};
use super::trust::ReleaseTrust;
use super::verification_config::{NamedKeyring, VerificationConfig};
use crate::encoding::time::render_time;
use crate::model::{Digest, Timestamp, is_deceptive};

pub use super::signed_message::MESSAGE_LIMIT;

/// What the text of a signature says that it is.
const BODY_TYPE: &str = "atomic container signature";

/// A release whose signatures satisfy every keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How each keyring was satisfied, in the order of the configuration.
    pub keyrings: Vec<SatisfiedKeyring>,
}

/// How one keyring was satisfied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SatisfiedKeyring {
    /// The configuration's entry.
    pub keyring: String,
    /// The pinned primary key.
    pub key: KeyFingerprint,
    /// The key that signed: the primary key or a subkey of it.
    pub signing_key: KeyFingerprint,
    /// Which of the signatures it was, counted from 1.
    pub signature: usize,
    /// When it says that it was made.
    pub signed_at: Timestamp,
    /// When the key expired, where that was accepted.
    pub key_expired: Option<Timestamp>,
    /// Under which name the release was signed (`docker-reference`). A statement of the signer
    /// and nothing to fetch by.
    pub reference: String,
}

/// Why a release is not verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The configuration names no keyring, so nothing could fail.
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
        /// The configuration's entry.
        keyring: String,
        /// The keys that it has.
        fingerprints: Vec<KeyFingerprint>,
    },
    /// There is nothing to verify.
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
        /// Which one, counted from 1.
        signature: usize,
    },
    /// The message is cut off, or of another form.
    #[error("Signature {signature} is not a whole OpenPGP signed message: {why}")]
    Unreadable {
        /// Which one, counted from 1.
        signature: usize,
        /// What is wrong.
        why: String,
    },
    /// No trusted key of the keyring is named as the signer.
    #[error(
        "Signature {signature} was not made by a trusted key of `{}`", keyring.escape_debug()
    )]
    UnknownKey {
        /// Which one, counted from 1.
        signature: usize,
        /// The configuration's entry.
        keyring: String,
    },
    /// The signature does not hold.
    #[error("Signature {signature} is wrong: {why}")]
    BadSignature {
        /// Which one, counted from 1.
        signature: usize,
        /// What is wrong.
        why: String,
    },
    /// The message was hashed in a way that can be forged.
    #[error("Signature {signature} uses the hash {algorithm}, which is too weak or not known")]
    WeakHash {
        /// Which one, counted from 1.
        signature: usize,
        /// The hash.
        algorithm: String,
    },
    /// The signature itself was made for a limited time, which is over.
    #[error("Signature {signature} expired{}", on(at))]
    ExpiredSignature {
        /// Which one, counted from 1.
        signature: usize,
        /// When.
        at: Timestamp,
    },
    /// The signature is dated later than now.
    #[error(
        "Signature {signature} was made in the future{}; check the clock",
        on(signed_at)
    )]
    FromFuture {
        /// Which one, counted from 1.
        signature: usize,
        /// Its date.
        signed_at: Timestamp,
    },
    /// The key has expired.
    #[error(
        "The key {key} expired{}, and made signature {signature}{}",
        on(at),
        on(signed_at)
    )]
    ExpiredKey {
        /// Which signature, counted from 1.
        signature: usize,
        /// The primary key.
        key: KeyFingerprint,
        /// When it expired.
        at: Timestamp,
        /// When the signature was made: if that is earlier, `ExpiredKeys` may accept it.
        signed_at: Timestamp,
    },
    /// The key was revoked by its owner.
    #[error("The key {key}, which made signature {signature}, was revoked")]
    RevokedKey {
        /// Which signature, counted from 1.
        signature: usize,
        /// The primary key.
        key: KeyFingerprint,
    },
    /// The key is not one that may sign.
    #[error("The key {key}, which made signature {signature}, does not count: {why}")]
    UnusableKey {
        /// Which signature, counted from 1.
        signature: usize,
        /// The primary key.
        key: KeyFingerprint,
        /// Why.
        why: &'static str,
    },
    /// The text that was signed is not what it should be.
    #[error("What signature {signature} signs is not a container signature: {why}")]
    UnexpectedBody {
        /// Which one, counted from 1.
        signature: usize,
        /// Why.
        why: String,
    },
    /// A good signature of another image.
    #[error("Signature {signature} is for {signed}, not for the release {release}")]
    WrongDigest {
        /// Which one, counted from 1.
        signature: usize,
        /// What it signs.
        signed: Digest,
        /// What it should.
        release: Digest,
    },
}

impl SignatureError {
    /// How near to a good signature this came. When several signatures fail, the nearest
    /// miss is what a person wants to hear of.
    fn nearness(&self) -> u8 {
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

/// ` on TIME`, or nothing for a year without four digits.
fn on(time: &Timestamp) -> String {
    render_time(*time).map_or_else(String::new, |time| format!(" on {time}"))
}

/// Verifies that every keyring of a payload's configuration is satisfied: that for each of them
/// at least one of `signatures` is a good signature over `release` by a pinned key of that
/// keyring. `signatures` are whole files from a signature store, in the store's order.
///
/// # Errors
///
/// For the first keyring that is not satisfied, what is wrong with the signature that came
/// nearest to it.
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

/// What a signature is judged by, for one keyring.
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
        let mut nearest = SignatureError::NoSignature {
            release: *self.release,
        };
        for (signature, message) in messages {
            let judged = match message {
                Ok(message) => self.judge(*signature, message),
                Err(error) => Err(error.clone()),
            };
            match judged {
                Ok(satisfied) => return Ok(satisfied),
                Err(error) if error.nearness() > nearest.nearness() => nearest = error,
                Err(_) => {}
            }
        }
        Err(nearest)
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

    /// Checks the kind of signature, before any arithmetic; returns its date.
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
            return Err(bad("it demands something that is not known"));
        }
        keyring::created(packet).ok_or_else(|| bad("it has no date"))
    }

    /// Finds the trusted key that made a signature.
    fn signer(
        &self,
        signature: usize,
        message: &SignedMessage,
        signed_at: Timestamp,
    ) -> Result<(KeyFingerprint, keyring::Signer), SignatureError> {
        let mut nearest = SignatureError::UnknownKey {
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
                Err(KeyFault::Stranger) => continue,
                Err(KeyFault::Mismatch) => SignatureError::BadSignature {
                    signature,
                    why: "it does not fit the text and the key".to_owned(),
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
            if error.nearness() > nearest.nearness() {
                nearest = error;
            }
        }
        Err(nearest)
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
            return Err("its type is another one".to_owned());
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
