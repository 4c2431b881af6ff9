//! Signed statements of a person or a machine about a bundle (bundle-format.md, section 8).

use std::fmt;
use std::str::FromStr;

use super::bundle::LabelText;
use super::{Blake3, Digest};

/// Fingerprint of a public key: SHA-256 of its SubjectPublicKeyInfo in DER.
pub type KeyFingerprint = Digest;

/// The kind of document that a statement is about; the first line of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatementType {
    /// A sealed bundle: `airferry-bundle-v1`.
    Bundle,
    /// The plan of an unfinished bundle: `airferry-plan-v1`.
    Plan,
}

/// Capacity in which the signer signs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(String);

/// The error for a text that is not a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a role: 1 to 32 of a-z, 0-9 and hyphen, beginning with a letter", .0.escape_debug())]
pub struct RoleError(String);

impl Role {
    /// Role of the exporter, who made the bundle.
    pub const EXPORTER: &'static str = "exporter";
    /// Role of a reviewer, who inspected the bundle.
    pub const REVIEWER: &'static str = "reviewer";

    /// Returns the exporter's role.
    pub fn exporter() -> Self {
        Self(Self::EXPORTER.to_owned())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.len() > 32
            || !text.starts_with(|c: char| c.is_ascii_lowercase())
            || !text.bytes().all(ok)
        {
            return Err(RoleError(text.chars().take(40).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The signer's verdict on the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The bundle may be imported.
    Approve,
    /// The bundle must not be imported.
    Reject,
}

/// A point in time: seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// The fields of a statement. Their text form is in `format::statement`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The kind of document that was signed.
    pub subject: StatementType,
    /// Fingerprint of the signing key.
    pub key: KeyFingerprint,
    /// Format version of the signed document.
    pub format: u64,
    /// Length in bytes of the signed document (`manifest.cbor`, or `export.plan`).
    pub document_length: u64,
    /// SHA-256 of the signed document.
    pub document_sha256: Digest,
    /// BLAKE3 of the signed document.
    pub document_blake3: Blake3,
    /// Present in statements on bundles, absent in statements on plans.
    pub bundle: Option<BundleStatement>,
    /// Capacity in which the signer signs.
    pub role: Role,
    /// The signer's verdict.
    pub verdict: Verdict,
    /// Time of signing, by the signer's clock.
    pub time: Timestamp,
    /// Time after which readers should not rely on the statement.
    pub expires: Option<Timestamp>,
    /// SHA-256 of an audit report that the signer refers to.
    pub report_sha256: Option<Digest>,
    /// Comment of the signer, one line.
    pub comment: Option<LabelText>,
}

/// Fields that only statements about bundles have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleStatement {
    /// SHA-256 of `SHA256SUMS`.
    pub sums_sha256: Digest,
    /// Name of the series of bundles that this one belongs to. Reserved: this version writes
    /// `None`.
    pub lineage: Option<LabelText>,
    /// Position in that series.
    pub sequence: Option<u64>,
    /// `generation` of the bundle's manifest.
    pub generation: u64,
    /// `complete` of the bundle's manifest.
    pub complete: bool,
}
