//! Names of statement files (bundle-format.md, R-05).

use std::fmt;
use std::str::FromStr;

use crate::model::{BundleId, Digest, KeyFingerprint};

/// The name of a statement file without its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementStem {
    bundle: u64,
    key: u64,
    counter: u8,
}

/// The error for a name that is not that of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The name is not that of a statement")]
pub struct StemError;

impl StatementStem {
    /// Largest number of statements of one key about one bundle.
    pub const COUNTERS: u8 = 16;

    /// Returns all names that statements of this key about this bundle can have, in ascending
    /// order.
    pub fn all(bundle: &BundleId, key: &KeyFingerprint) -> impl Iterator<Item = Self> + use<> {
        let (bundle, key) = (prefix(bundle.digest()), prefix(key));
        (1..=Self::COUNTERS).map(move |counter| Self {
            bundle,
            key,
            counter,
        })
    }

    /// Returns true if the name is that of a statement about this bundle.
    pub fn names_bundle(&self, bundle: &BundleId) -> bool {
        self.bundle == prefix(bundle.digest())
    }

    /// Returns true if the name is that of a statement by this key.
    pub fn names_key(&self, key: &KeyFingerprint) -> bool {
        self.key == prefix(key)
    }

    /// Returns the path of the statement's text in the bundle.
    pub fn statement_path(&self) -> String {
        format!("signatures/{self}.statement")
    }

    /// Returns the path of the signature in the bundle.
    pub fn signature_path(&self) -> String {
        format!("signatures/{self}.sig")
    }
}

/// Returns the first 16 hexadecimal digits of a digest, as a number.
fn prefix(digest: &Digest) -> u64 {
    let bytes = digest.as_bytes().iter().take(8);
    bytes.fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

impl fmt::Display for StatementStem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:016x}-{:016x}-{:02}",
            self.bundle, self.key, self.counter
        )
    }
}

impl FromStr for StatementStem {
    type Err = StemError;

    fn from_str(text: &str) -> Result<Self, StemError> {
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(StemError);
        let stem = Self {
            bundle: u64::from_str_radix(part()?, 16).map_err(|_| StemError)?,
            key: u64::from_str_radix(part()?, 16).map_err(|_| StemError)?,
            counter: part()?.parse().map_err(|_| StemError)?,
        };
        // Rejects upper case, signs and other widths, which are not written back the same.
        let range = 1..=Self::COUNTERS;
        if range.contains(&stem.counter) && stem.to_string() == text {
            Ok(stem)
        } else {
            Err(StemError)
        }
    }
}
