//! Ed25519 keys and signatures (bundle-format.md, R-51 and R-52).
//!
//! Reads what `openssl genpkey -algorithm ed25519` and `openssl pkcs8 -topk8` write. Randomness
//! comes from the caller. Private keys are wiped from memory when they are dropped, and never
//! appear in errors or `Debug` output.

use std::fmt;

use ed25519_dalek::pkcs8::{EncodePrivateKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer};
use pkcs8::der::Decode;
use pkcs8::spki::SubjectPublicKeyInfoRef;
use pkcs8::{
    EncryptedPrivateKeyInfoRef, LineEnding, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument,
};
use zeroize::Zeroizing;

use super::hash;
use crate::model::{KeyFingerprint, Limits};

/// PEM label of a PKCS#8 private key.
const PLAIN: &str = "PRIVATE KEY";
/// PEM label of an encrypted PKCS#8 private key.
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
/// PEM label of a SubjectPublicKeyInfo.
const PUBLIC: &str = "PUBLIC KEY";

/// `id-Ed25519` (RFC 8410, section 3).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// DER of a SubjectPublicKeyInfo for Ed25519 up to the key's 32 bytes (RFC 8410, section 4).
const SPKI_HEAD: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// Rounds of PBKDF2-HMAC-SHA256 for keys that this program encrypts (OWASP's recommendation). Not
/// scrypt: OpenSSL in FIPS mode could not read it.
const ROUNDS: u32 = 600_000;

/// Random bytes that [`SigningKey::to_encrypted_pem`] needs: salt and initialisation vector.
pub const ENCRYPTION_RANDOMNESS: usize = 32;

/// The reason why a key file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file is longer than any key.
    #[error("The key file has more than {} bytes", Limits::KEY_FILE)]
    TooLong,
    /// The file has no PEM block.
    #[error("The file holds no PEM block (`-----BEGIN ...-----`)")]
    NoPem,
    /// The PEM block cannot be decoded.
    #[error("The PEM block `{label}` is damaged")]
    Damaged {
        /// The block's label.
        label: &'static str,
    },
    /// The file has several PEM blocks, and any of them could be meant.
    #[error("The file holds {count} PEM blocks; exactly one is expected")]
    Several {
        /// Number of blocks.
        count: usize,
    },
    /// A public key is needed and the file holds a private one.
    #[error("The file holds a private key where the public key is expected")]
    PrivateGiven,
    /// A private key is needed and the file holds a public one.
    #[error("The file holds a public key where the private key is expected")]
    PublicGiven,
    /// The PEM block is of a kind that is not used here.
    #[error(
        "The file holds a `{}`; Ed25519 keys in PKCS#8 or SubjectPublicKeyInfo form are used (`openssl genpkey -algorithm ed25519`)",
        label.escape_debug()
    )]
    OtherLabel {
        /// The PEM label, shortened.
        label: String,
    },
    /// The key is of another algorithm.
    #[error("The key is {algorithm} and not Ed25519")]
    OtherAlgorithm {
        /// The algorithm's name or object identifier.
        algorithm: String,
    },
    /// The structure of the key is wrong.
    #[error("The {label} is not a well-formed key")]
    Malformed {
        /// The PEM label.
        label: &'static str,
    },
    /// The public key is one under which signatures prove nothing.
    #[error("The public key is invalid (a weak point, or not in canonical form)")]
    Weak,
    /// The passphrase is wrong or the file is damaged; the two cannot be told apart.
    #[error("The passphrase is wrong, or the private key file is damaged")]
    Passphrase,
    /// The encryption scheme is not supported.
    #[error(
        "The private key has an old, unsupported encryption; convert it with `openssl pkcs8 -topk8`"
    )]
    Scheme,
    /// The key could not be encrypted or written.
    #[error("The private key cannot be encoded")]
    Encode,
}

/// The reason why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The signature file is not 64 bytes long.
    #[error("The signature has {length} bytes and not 64")]
    Length {
        /// Length found, in bytes.
        length: usize,
    },
    /// The bytes are no signature of this message under this key.
    #[error("The signature does not match")]
    Mismatch,
}

/// A public key that signatures are checked with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// Reads the 32 bytes of a public key (RFC 8032, section 5.1.2).
    ///
    /// # Errors
    ///
    /// If the bytes are no point of the curve, a point of small order, or not the point's only
    /// encoding.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Weak)?;
        if key.is_weak() || key.to_edwards().compress().as_bytes() != bytes {
            return Err(KeyError::Weak);
        }
        Ok(Self(key))
    }

    /// Returns the SubjectPublicKeyInfo in DER, 44 bytes.
    pub fn to_der(&self) -> Vec<u8> {
        [&SPKI_HEAD[..], self.0.as_bytes()].concat()
    }

    /// Returns the SubjectPublicKeyInfo in PEM.
    pub fn to_pem(&self) -> String {
        use base64::Engine as _;

        // 44 bytes give 60 characters of base64: one line.
        let body = base64::engine::general_purpose::STANDARD.encode(self.to_der());
        format!("-----BEGIN {PUBLIC}-----\n{body}\n-----END {PUBLIC}-----\n")
    }

    /// Returns the SHA-256 of the SubjectPublicKeyInfo in DER.
    pub fn fingerprint(&self) -> KeyFingerprint {
        hash::sha256(&self.to_der())
    }

    /// Checks a signature by the rules of R-51.
    ///
    /// # Errors
    ///
    /// If `signature` is not 64 bytes long, or is no signature of `message` under this key.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let bytes: &[u8; 64] = signature.try_into().map_err(|_| SignatureError::Length {
            length: signature.len(),
        })?;
        self.0
            .verify_strict(message, &Signature::from_bytes(bytes))
            .map_err(|_| SignatureError::Mismatch)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.fingerprint().hex())
    }
}

/// A private key. Wiped from memory when dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Creates the private key from 32 random bytes, its seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Returns the public key.
    pub fn public(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// Signs a message (RFC 8032, pure Ed25519).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// Returns the key as PKCS#8 PEM, not encrypted. The public key is left out: OpenSSL does not
    /// read the form that includes it.
    ///
    /// # Errors
    ///
    /// [`KeyError::Encode`], which cannot happen for a valid key.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let document = self.to_document()?;
        document
            .to_pem(PLAIN, LineEnding::LF)
            .map_err(|_| KeyError::Encode)
    }

    /// Returns the key as PKCS#8 PEM, encrypted by PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC.
    /// Deliberately slow (`ROUNDS`), against guessing of passphrases.
    ///
    /// # Errors
    ///
    /// [`KeyError::Encode`], which cannot happen for a valid key.
    pub fn to_encrypted_pem(
        &self,
        passphrase: &[u8],
        random: &[u8; ENCRYPTION_RANDOMNESS],
    ) -> Result<Zeroizing<String>, KeyError> {
        let encode = |_| KeyError::Encode;
        let (salt, iv) = random.split_at(ENCRYPTION_RANDOMNESS / 2);
        let iv: [u8; 16] = iv.try_into().map_err(|_| KeyError::Encode)?;
        let scheme =
            pkcs8::pkcs5::pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ROUNDS, salt, iv)
                .map_err(|_| KeyError::Encode)?;
        let document = self.to_document()?;
        let info =
            PrivateKeyInfoRef::from_der(document.as_bytes()).map_err(|_| KeyError::Encode)?;
        let encrypted = info
            .encrypt_with_params(scheme, passphrase)
            .map_err(encode)?;
        encrypted
            .to_pem(ENCRYPTED, LineEnding::LF)
            .map_err(|_| KeyError::Encode)
    }

    fn to_document(&self) -> Result<SecretDocument, KeyError> {
        let pair = KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        };
        pair.to_pkcs8_der().map_err(|_| KeyError::Encode)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().fingerprint().hex())
    }
}

/// A private key as read from a file.
#[derive(Debug)]
pub enum PrivateKey {
    /// A key that is not encrypted.
    Plain(SigningKey),
    /// A key that needs a passphrase.
    Encrypted(EncryptedKey),
}

/// An encrypted private key.
pub struct EncryptedKey(SecretDocument);

impl EncryptedKey {
    /// Decrypts the key. May be called again with another passphrase.
    ///
    /// # Errors
    ///
    /// If the passphrase is wrong or the scheme is not PBES2 with a current cipher.
    pub fn open(&self, passphrase: &[u8]) -> Result<SigningKey, KeyError> {
        let info = encrypted_info(&self.0)?;
        let plain = info.decrypt(passphrase).map_err(|error| match error {
            pkcs8::Error::EncryptedPrivateKey(
                pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. }
                | pkcs8::pkcs5::Error::NoPbes1CryptSupport,
            ) => KeyError::Scheme,
            // Some wrong passphrases decrypt to nonsense with valid padding; `signing_key` finds
            // those.
            _ => KeyError::Passphrase,
        })?;
        signing_key(&plain, ENCRYPTED)
    }
}

impl fmt::Debug for EncryptedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptedKey(..)")
    }
}

/// Reads a private key file: one PEM block; text around it is ignored.
///
/// # Errors
///
/// If the file holds anything else; the error says what.
pub fn parse_private(file: &[u8]) -> Result<PrivateKey, KeyError> {
    let (label, document) = only_block(file)?;
    match label {
        Label::Plain => Ok(PrivateKey::Plain(signing_key(&document, PLAIN)?)),
        Label::Encrypted => {
            encrypted_info(&document)?;
            Ok(PrivateKey::Encrypted(EncryptedKey(document)))
        }
        Label::Public => Err(KeyError::PublicGiven),
    }
}

/// Reads a public key file: one PEM block; text around it is ignored.
///
/// # Errors
///
/// If the file holds anything else; the error says what.
pub fn parse_public(file: &[u8]) -> Result<VerifyingKey, KeyError> {
    let (label, document) = only_block(file)?;
    if label != Label::Public {
        return Err(KeyError::PrivateGiven);
    }
    let malformed = KeyError::Malformed { label: PUBLIC };
    let info =
        SubjectPublicKeyInfoRef::from_der(document.as_bytes()).map_err(|_| malformed.clone())?;
    ed25519_only(&info.algorithm.oid)?;
    // The structure has a single encoding of 44 bytes, and the fingerprint is computed over it.
    match document
        .as_bytes()
        .strip_prefix(&SPKI_HEAD)
        .map(<&[u8; 32]>::try_from)
    {
        Some(Ok(key)) => VerifyingKey::from_bytes(key),
        _ => Err(malformed),
    }
}

/// Formats a hash for reading aloud: 16 groups of 4 digits in 4 lines, each ending with LF.
pub fn spoken(hash: &[u8; 32]) -> String {
    let mut text = String::with_capacity(80);
    for (index, pair) in hash.chunks(2).enumerate() {
        text.push_str(&hex::encode(pair));
        text.push(if index % 4 == 3 { '\n' } else { ' ' });
    }
    text
}

/// The PEM labels that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Plain,
    Encrypted,
    Public,
}

/// Finds and decodes the file's only PEM block (RFC 7468).
fn only_block(file: &[u8]) -> Result<(Label, SecretDocument), KeyError> {
    const BEGIN: &str = "-----BEGIN ";
    if file.len() as u64 > Limits::KEY_FILE {
        return Err(KeyError::TooLong);
    }
    let text = std::str::from_utf8(file).map_err(|_| KeyError::NoPem)?;
    let begins: Vec<usize> = text
        .match_indices(BEGIN)
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || text.as_bytes().get(at - 1) == Some(&b'\n'))
        .collect();
    let begin = match begins.as_slice() {
        [] => return Err(KeyError::NoPem),
        [one] => *one,
        several => {
            return Err(KeyError::Several {
                count: several.len(),
            });
        }
    };
    let block = text.get(begin..).unwrap_or_default();
    let name = block
        .strip_prefix(BEGIN)
        .and_then(|rest| rest.split_once("-----"))
        .map_or("", |(name, _)| name);
    let (label, name) = match name {
        PLAIN => (Label::Plain, PLAIN),
        ENCRYPTED => (Label::Encrypted, ENCRYPTED),
        PUBLIC => (Label::Public, PUBLIC),
        other => {
            let label = other.chars().take(40).collect();
            return Err(KeyError::OtherLabel { label });
        }
    };
    let damaged = KeyError::Damaged { label: name };
    let end_line = format!("-----END {name}-----");
    let end = block.find(&end_line).ok_or_else(|| damaged.clone())?;
    let block = block.get(..end + end_line.len()).unwrap_or_default();
    match SecretDocument::from_pem(block) {
        Ok((_, document)) => Ok((label, document)),
        Err(_) => Err(damaged),
    }
}

fn encrypted_info(document: &SecretDocument) -> Result<EncryptedPrivateKeyInfoRef<'_>, KeyError> {
    EncryptedPrivateKeyInfoRef::from_der(document.as_bytes()).map_err(|error| match error.kind() {
        pkcs8::der::ErrorKind::OidUnknown { .. }
        | pkcs8::der::ErrorKind::Value {
            tag: pkcs8::der::Tag::ObjectIdentifier,
        } => KeyError::Scheme,
        _ => KeyError::Malformed { label: ENCRYPTED },
    })
}

fn signing_key(document: &SecretDocument, label: &'static str) -> Result<SigningKey, KeyError> {
    // Nonsense after decryption means a wrong passphrase.
    let malformed = || match label {
        ENCRYPTED => KeyError::Passphrase,
        _ => KeyError::Malformed { label },
    };
    let info = PrivateKeyInfoRef::from_der(document.as_bytes()).map_err(|_| malformed())?;
    ed25519_only(&info.algorithm.oid)?;
    ed25519_dalek::SigningKey::try_from(info)
        .map(SigningKey)
        .map_err(|_| malformed())
}

fn ed25519_only(found: &ObjectIdentifier) -> Result<(), KeyError> {
    if *found == ED25519 {
        return Ok(());
    }
    let oid = found.to_string();
    let algorithm = match oid.as_str() {
        "1.2.840.113549.1.1.1" => "RSA".to_owned(),
        "1.2.840.10045.2.1" => "an elliptic-curve key (ECDSA)".to_owned(),
        "1.3.101.110" => "X25519".to_owned(),
        "1.3.101.113" => "Ed448".to_owned(),
        _ => format!("of the algorithm {oid}"),
    };
    Err(KeyError::OtherAlgorithm { algorithm })
}

#[cfg(test)]
mod tests;
