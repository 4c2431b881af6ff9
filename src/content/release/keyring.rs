//! OpenPGP public keys, and whether one of them was entitled to make a signature.
//!
//! The OpenPGP library verifies only that a key made a signature over some bytes. All other
//! conditions are checked here: which hashes are accepted, and whether the key was bound, meant for
//! signing, valid and not revoked (RFC 9580, sections 5.2 and 10.1). The caller always supplies the
//! time.

use pgp::composed::{Deserializable, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::ecc_curve::ECCCurve;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SignatureVersion, SubpacketData};
use pgp::types::{Fingerprint, KeyDetails, KeyVersion, PublicParams, Tag};

use super::fingerprint::KeyFingerprint;
use crate::model::{Timestamp, is_deceptive};

/// Error from reading a keyring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The keyring is longer than [`Keyring::LIMIT`].
    #[error("The keyring is longer than {} bytes", Keyring::LIMIT)]
    TooLong,
    /// The armor, the text form of OpenPGP, is damaged.
    #[error("The keyring's armor cannot be read: {why}")]
    Armor {
        /// The armor reader's message.
        why: String,
    },
    /// The keyring has keys, but the cluster's verifier takes none of them.
    #[error(
        "The keyring holds only kinds of keys that the cluster's verifier does not accept; it \
         accepts RSA, DSA and the NIST curves, in the first armored block, for all subkeys too"
    )]
    NoneForCluster,
    /// The keyring has no usable key.
    #[error("The keyring holds no OpenPGP public key of version 4 that can be read")]
    NoKeys,
}

/// Treatment of a signature that was made while its key was valid, if the key has expired since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExpiredKeys {
    /// Refuse it: with a stolen expired key, signatures can be backdated.
    #[default]
    Refuse,
    /// Accept it. OKD's keys are valid for two years; releases are used longer than that.
    AcceptEarlierSignatures,
}

/// Public keys, in the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    /// The usable keys.
    pub keys: Vec<ReleaseKey>,
    /// Number of other keys: malformed, of another version than 4, or ignored by the cluster: in a
    /// second armored block, or of a kind that it does not take ([`Keyring::of_payload`]).
    pub unusable: usize,
}

impl Keyring {
    /// Maximum length of a keyring in bytes.
    pub const LIMIT: usize = 1 << 20;

    /// Reads a keyring: binary, or armored in one or several blocks. Text around the blocks is
    /// skipped, as in `gpg --import`.
    ///
    /// # Errors
    ///
    /// When it is too long, its armor is damaged, or it has no usable key.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyringError> {
        Self::read(bytes, usize::MAX)
    }

    /// Counts the keys that the cluster's reader skips as unusable: golang.org/x/crypto/openpgp
    /// skips a whole key if it does not know the algorithm or curve of the key or of a subkey.
    fn for_cluster(mut self) -> Result<Self, KeyringError> {
        let all = self.keys.len();
        self.keys.retain(ReleaseKey::is_for_cluster);
        self.unusable = self.unusable.saturating_add(all - self.keys.len());
        match self.keys.is_empty() {
            true => Err(KeyringError::NoneForCluster),
            false => Ok(self),
        }
    }

    /// Reads a keyring of a release payload as `oc` and the cluster do (library-go, then
    /// `ReadArmoredKeyRing`): of several armored blocks only the first counts. A cluster accepts no
    /// signature by a key in another block, so such a key must not satisfy the keyring here.
    ///
    /// # Errors
    ///
    /// As [`Keyring::parse`].
    pub fn of_payload(bytes: &[u8]) -> Result<Self, KeyringError> {
        Self::read(bytes, 1)?.for_cluster()
    }

    fn read(bytes: &[u8], counted_blocks: usize) -> Result<Self, KeyringError> {
        if bytes.len() > Self::LIMIT {
            return Err(KeyringError::TooLong);
        }
        let mut keyring = Self {
            keys: Vec::new(),
            unusable: 0,
        };
        if is_armored(bytes) {
            let text = String::from_utf8_lossy(bytes);
            for (number, block) in armored_blocks(&text).enumerate() {
                if number >= counted_blocks {
                    keyring.unusable = keyring.unusable.saturating_add(1);
                    continue;
                }
                let (keys, _) =
                    SignedPublicKey::from_armor_many_buf(block.as_bytes()).map_err(|error| {
                        KeyringError::Armor {
                            why: openpgp(&error),
                        }
                    })?;
                keyring.add(keys);
            }
        } else if let Ok(keys) = SignedPublicKey::from_bytes_many(bytes) {
            keyring.add(keys);
        }
        if keyring.keys.is_empty() {
            return Err(KeyringError::NoKeys);
        }
        Ok(keyring)
    }

    fn add(&mut self, keys: impl Iterator<Item = pgp::errors::Result<SignedPublicKey>>) {
        for key in keys {
            match key.ok().and_then(ReleaseKey::new) {
                Some(key) => self.keys.push(key),
                None => self.unusable = self.unusable.saturating_add(1),
            }
        }
    }

    /// The fingerprints of the usable primary keys.
    pub fn fingerprints(&self) -> impl Iterator<Item = KeyFingerprint> {
        self.keys.iter().map(|key| key.fingerprint)
    }
}

const ARMOR_BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const ARMOR_END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// True if the bytes are text with an armored public key.
pub(super) fn is_armored(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).contains(ARMOR_BEGIN)
}

/// The armored blocks of a text, each with its first and last line. A block without an end line
/// extends to the end of the text, so that the armor reader reports it as truncated.
fn armored_blocks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let block = rest.get(rest.find(ARMOR_BEGIN)?..)?;
        let length = match block.find(ARMOR_END) {
            Some(end) => end.saturating_add(ARMOR_END.len()),
            None => block.len(),
        };
        let (block, after) = block.split_at_checked(length)?;
        rest = after;
        Some(block)
    })
}

/// Returns a library's error message on one line and shortened: it may quote untrusted input.
pub(super) fn printable(error: &impl std::error::Error) -> String {
    one_line(&error.to_string())
}

fn one_line(text: &str) -> String {
    let harmless = |c: char| if is_deceptive(c) { ' ' } else { c };
    text.chars().take(200).map(harmless).collect()
}

/// Returns the OpenPGP library's error message, without messages in debug format.
pub(super) fn openpgp(error: &(impl std::error::Error + 'static)) -> String {
    let mut inner: &(dyn std::error::Error + 'static) = error;
    while let Some(pgp::errors::Error::InvalidPacketContent { source }) = inner.downcast_ref() {
        inner = source.as_ref();
    }
    let text = inner.to_string();
    // The debug text may also be wrapped in an error of another kind.
    match text.find("InvalidPacketContent").or(text.find("backtrace")) {
        Some(_) => "a packet's content is not valid".to_owned(),
        None => one_line(&text),
    }
}

/// One OpenPGP certificate: a primary key with its user IDs and subkeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseKey {
    fingerprint: KeyFingerprint,
    certificate: SignedPublicKey,
}

/// The times against which a key's validity is checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Date of the signature, as it states.
    pub(super) signed_at: Timestamp,
    /// The current time.
    pub(super) now: Timestamp,
    /// Treatment of keys that have expired since.
    pub(super) expired_keys: ExpiredKeys,
}

/// The key that made a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signer {
    /// The signing key: the primary key or one of its subkeys.
    pub(super) key: KeyFingerprint,
    /// Expiry of the key, if it has expired since the signature was made.
    pub(super) expired: Option<Timestamp>,
}

/// The reason why a key does not validate a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyFault {
    /// The signature names another key.
    OtherKey,
    /// The signature does not match the bytes and the key.
    Mismatch,
    /// The key was revoked.
    Revoked,
    /// The key has expired.
    Expired { at: Timestamp },
    /// The key must not sign.
    Unusable(&'static str),
}

/// True if golang.org/x/crypto/openpgp knows the curve.
fn is_nist(curve: &ECCCurve) -> bool {
    matches!(curve, ECCCurve::P256 | ECCCurve::P384 | ECCCurve::P521)
}

impl ReleaseKey {
    fn new(certificate: SignedPublicKey) -> Option<Self> {
        let fingerprint = v4_fingerprint(&certificate.primary_key)?;
        Some(Self {
            fingerprint,
            certificate,
        })
    }

    /// True if golang.org/x/crypto/openpgp reads the key and all of its subkeys.
    fn is_for_cluster(&self) -> bool {
        let primary = self.certificate.primary_key.public_params();
        let subkeys = self.certificate.public_subkeys.iter();
        let mut all = subkeys
            .map(|subkey| subkey.key.public_params())
            .chain([primary]);
        all.all(|params| match params {
            PublicParams::RSA(_) | PublicParams::DSA(_) | PublicParams::Elgamal(_) => true,
            PublicParams::ECDSA(key) => is_nist(&key.curve()),
            PublicParams::ECDH(key) => is_nist(&key.curve()),
            _ => false,
        })
    }

    /// The primary key's fingerprint.
    pub fn fingerprint(&self) -> KeyFingerprint {
        self.fingerprint
    }

    /// The first user ID, as the key claims it.
    pub fn user_id(&self) -> Option<&str> {
        self.certificate.details.users.first()?.id.as_str()
    }

    /// Creation time of the primary key.
    pub fn created(&self) -> Timestamp {
        seconds(self.certificate.primary_key.created_at())
    }

    /// Expiry of the primary key, from its newest self-signature that is valid at `now`; `None` if
    /// it never expires, or if the key is not usable.
    pub fn expires(&self, now: Timestamp) -> Option<Timestamp> {
        let binding = self.primary_binding(now)?;
        expiry(binding, self.created())
    }

    /// True if the primary key or one of its subkeys could make an accepted signature at `now`.
    pub fn can_sign(&self, now: Timestamp) -> bool {
        let times = Times {
            signed_at: now,
            now,
            expired_keys: ExpiredKeys::Refuse,
        };
        let mut subkeys = self.certificate.public_subkeys.iter();
        self.primary_signer(times).is_ok()
            || subkeys.any(|subkey| self.subkey_signer(subkey, times).is_ok())
    }

    /// Checks that this certificate made `signature` over `data` and was valid for signing.
    pub(super) fn check(
        &self,
        signature: &Signature,
        data: &[u8],
        times: Times,
    ) -> Result<Signer, KeyFault> {
        let primary = &self.certificate.primary_key;
        let mut fault = KeyFault::OtherKey;
        if is_issued_by(signature, primary) {
            match signature.verify(primary, data) {
                Ok(()) => return self.primary_signer(times),
                Err(_) => fault = KeyFault::Mismatch,
            }
        }
        for subkey in &self.certificate.public_subkeys {
            if is_issued_by(signature, &subkey.key) {
                match signature.verify(&subkey.key, data) {
                    Ok(()) => return self.subkey_signer(subkey, times),
                    Err(_) => fault = KeyFault::Mismatch,
                }
            }
        }
        Err(fault)
    }

    /// Checks the primary key as the maker of a signature.
    fn primary_signer(&self, times: Times) -> Result<Signer, KeyFault> {
        let binding = self.self_signature(times.now)?;
        may_sign(binding)?;
        let expires = expiry(binding, self.created());
        signer(self.fingerprint, self.created(), expires, times)
    }

    /// Checks a subkey as the maker of a signature. It expires no later than its primary key.
    fn subkey_signer(&self, subkey: &SignedPublicSubKey, times: Times) -> Result<Signer, KeyFault> {
        let fingerprint = v4_fingerprint(&subkey.key).ok_or(KeyFault::Unusable(
            "it is a subkey of another version than 4",
        ))?;
        let primary_expires = expiry(self.self_signature(times.now)?, self.created());
        let binding = self.subkey_binding(subkey, times.now)?;
        let created = seconds(subkey.key.created_at());
        let own_expires = expiry(binding, created);
        let expires = [primary_expires, own_expires].into_iter().flatten().min();
        signer(fingerprint, created, expires, times)
    }

    /// Returns the self-signature that states the primary key's purpose, unless the key is revoked.
    fn self_signature(&self, now: Timestamp) -> Result<&Signature, KeyFault> {
        let primary = &self.certificate.primary_key;
        // A revocation counts whatever its date, reason and hash: when in doubt, refuse the key.
        let mut revocations = self.certificate.details.revocation_signatures.iter();
        if revocations.any(|revocation| revocation.verify_key(primary).is_ok()) {
            return Err(KeyFault::Revoked);
        }
        self.primary_binding(now)
            .ok_or(KeyFault::Unusable("it has no valid self-signature"))
    }

    /// The newest valid self-signature of the primary key, over itself or over one of its user IDs.
    fn primary_binding(&self, now: Timestamp) -> Option<&Signature> {
        let primary = &self.certificate.primary_key;
        let details = &self.certificate.details;
        let direct = details.direct_signatures.iter().filter(|signature| {
            is_acceptable(signature, now)
                && signature.typ() == Some(SignatureType::Key)
                && signature.verify_key(primary).is_ok()
        });
        let users = details.users.iter().flat_map(|user| {
            let valid = |signature: &&Signature| {
                let over = signature.verify_certification(primary, Tag::UserId, &user.id);
                over.is_ok()
            };
            let (revocations, certifications): (Vec<_>, Vec<_>) = user
                .signatures
                .iter()
                .partition(|signature| signature.typ() == Some(SignatureType::CertRevocation));
            let revoked = revocations.iter().any(valid);
            certifications.into_iter().filter(move |signature| {
                !revoked && is_acceptable(signature, now) && valid(signature)
            })
        });
        newest(direct.chain(users))
    }

    /// The newest valid signature that binds a subkey, if it makes the subkey a signing key.
    fn subkey_binding<'a>(
        &self,
        subkey: &'a SignedPublicSubKey,
        now: Timestamp,
    ) -> Result<&'a Signature, KeyFault> {
        let primary = &self.certificate.primary_key;
        let valid = |signature: &&Signature| {
            let over = signature.verify_subkey_binding(primary, &subkey.key);
            over.is_ok()
        };
        let (revocations, bindings): (Vec<_>, Vec<_>) = subkey
            .signatures
            .iter()
            .partition(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation));
        if revocations.iter().any(valid) {
            return Err(KeyFault::Revoked);
        }
        let bindings = bindings
            .into_iter()
            .filter(|signature| is_acceptable(signature, now) && valid(signature));
        let binding = newest(bindings).ok_or(KeyFault::Unusable(
            "it is a subkey that its primary key has not signed",
        ))?;
        may_sign(binding)?;
        // Without the subkey's own signature (back signature), an attacker could bind another
        // owner's signing key to a certificate of their own.
        let consents = binding.embedded_signature().is_some_and(|back| {
            is_acceptable(back, now)
                && back
                    .verify_primary_key_binding(&subkey.key, primary)
                    .is_ok()
        });
        if !consents {
            return Err(KeyFault::Unusable(
                "it is a subkey that has not signed its primary key",
            ));
        }
        Ok(binding)
    }
}

/// Checks the date of a signature against the validity of the key that made it.
fn signer(
    key: KeyFingerprint,
    created: Timestamp,
    expires: Option<Timestamp>,
    times: Times,
) -> Result<Signer, KeyFault> {
    if times.signed_at < created {
        return Err(KeyFault::Unusable("it was created after the signature"));
    }
    let expired = expires.filter(|at| *at <= times.now);
    if let Some(at) = expired
        && (times.signed_at >= at || times.expired_keys == ExpiredKeys::Refuse)
    {
        return Err(KeyFault::Expired { at });
    }
    Ok(Signer { key, expired })
}

/// True for the only kind of signature that releases use: version 4, over binary data.
pub(super) fn is_plain(signature: &Signature) -> bool {
    signature.version() == SignatureVersion::V4 && signature.typ() == Some(SignatureType::Binary)
}

/// True if a hash is strong enough for signatures: no known or expected collisions.
pub(super) fn is_strong(hash: HashAlgorithm) -> bool {
    matches!(
        hash,
        HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512
    )
}

/// True if a signature may be considered at `now`: version 4, a strong hash, dated in the past, not
/// expired, and without an unsupported critical subpacket.
pub(super) fn is_acceptable(signature: &Signature, now: Timestamp) -> bool {
    signature.version() == SignatureVersion::V4
        && signature.hash_alg().is_some_and(is_strong)
        && !has_unknown_critical(signature)
        && created(signature).is_some_and(|created| created <= now)
        && signature_expiry(signature).is_none_or(|at| at > now)
}

/// True if a signature has a critical subpacket that is not supported (RFC 9580, 5.2.3.7).
pub(super) fn has_unknown_critical(signature: &Signature) -> bool {
    signature.config().is_none_or(|config| {
        config.hashed_subpackets().any(|subpacket| {
            subpacket.is_critical
                && matches!(
                    subpacket.data,
                    SubpacketData::Other(..)
                        | SubpacketData::Experimental(..)
                        | SubpacketData::Notation(_)
                )
        })
    })
}

/// Creation time of a signature, as it states.
pub(super) fn created(signature: &Signature) -> Option<Timestamp> {
    signature.created().map(seconds)
}

/// Expiry of the signature itself.
pub(super) fn signature_expiry(signature: &Signature) -> Option<Timestamp> {
    let lifetime = signature.signature_expiration_time()?.as_secs();
    later(created(signature)?, lifetime)
}

/// Expiry of a key, from the signature that binds it.
fn expiry(binding: &Signature, key_created: Timestamp) -> Option<Timestamp> {
    later(key_created, binding.key_expiration_time()?.as_secs())
}

/// Adds a lifetime in seconds; 0 means no limit (RFC 9580, 5.2.3.13 and 5.2.3.18).
fn later(start: Timestamp, lifetime: u32) -> Option<Timestamp> {
    (lifetime > 0).then(|| Timestamp(start.0.saturating_add(lifetime.into())))
}

fn seconds(time: pgp::types::Timestamp) -> Timestamp {
    Timestamp(time.as_secs().into())
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|signature| created(signature))
}

/// Checks the signing flag. A binding without key flags does not make a signing key.
fn may_sign(binding: &Signature) -> Result<(), KeyFault> {
    if binding.key_flags().sign() {
        Ok(())
    } else {
        Err(KeyFault::Unusable("it is not meant for signing"))
    }
}

/// True if a signature names this key as its issuer, or names no issuer.
fn is_issued_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let (ids, prints) = (signature.issuer_key_id(), signature.issuer_fingerprint());
    (ids.is_empty() && prints.is_empty())
        || ids.contains(&&key.legacy_key_id())
        || prints.contains(&&key.fingerprint())
}

fn v4_fingerprint(key: &impl KeyDetails) -> Option<KeyFingerprint> {
    match (key.version(), key.fingerprint()) {
        (KeyVersion::V4, Fingerprint::V4(bytes)) => Some(KeyFingerprint::from_bytes(bytes)),
        _ => None,
    }
}
