//! The keys that have signed a release, as people are told of them.

use std::fmt;

use serde::Serialize;

use crate::content::release::judgement::Signed;
use crate::content::release::signature::SatisfiedKeyring;
use crate::content::release::trust::ReleaseTrust;
use crate::encoding::time::render_time;

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
    /// When the key expired, where signatures from before are accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_expired: Option<String>,
    /// Under which name, by its own word.
    pub reference: String,
}

impl ReleaseSigner {
    /// The keys that have signed, each once.
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

/// The key, its name, and that it has expired.
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
