//! Describes the keys that signed a release, for reports.

use std::fmt;

use serde::Serialize;

use crate::content::release::judgement::Signed;
use crate::content::release::signature::SatisfiedKeyring;
use crate::content::release::trust::ReleaseTrust;
use crate::encoding::time::render_time;

/// A pinned key that signed a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ReleaseSigner {
    /// Fingerprint of the primary key.
    pub key: String,
    /// Name of the key, if it is known to the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'static str>,
    /// Time of the signature, as the signature says.
    pub signed_at: String,
    /// Expiry of the key, if it expired and earlier signatures are accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_expired: Option<String>,
    /// Name of the signed image, as the signature says.
    pub reference: String,
}

impl ReleaseSigner {
    /// Returns the keys that signed, each once.
    pub(super) fn all(signed: &[Signed], trust: &ReleaseTrust) -> Vec<Self> {
        let keyrings = signed.iter().flat_map(|signed| &signed.verified.keyrings);
        let mut signers: Vec<Self> = keyrings.map(|keyring| Self::of(keyring, trust)).collect();
        signers.sort();
        signers.dedup();
        signers
    }

    fn of(keyring: &SatisfiedKeyring, trust: &ReleaseTrust) -> Self {
        Self {
            key: keyring.key.to_string(),
            name: trust.name(&keyring.key),
            signed_at: render_time(keyring.signed_at).unwrap_or_default(),
            key_expired: keyring
                .key_expired
                .map(|at| render_time(at).unwrap_or_else(|| "long ago".to_owned())),
            reference: keyring.reference.clone(),
        }
    }
}

/// Shows the key, its name, and its expiry.
impl fmt::Display for ReleaseSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(name) = self.name {
            write!(f, " ({name})")?;
        }
        if let Some(expired) = &self.key_expired {
            write!(f, ", a key that expired {expired}")?;
        }
        Ok(())
    }
}
