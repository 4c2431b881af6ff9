//! What a person or a machine signs about a bundle (bundle-format.md, section 8).

use std::fmt;
use std::str::FromStr;

use super::bundle::LabelText;
use super::{Blake3, Digest};

/// Fingerprint of a public key: SHA-256 of its SubjectPublicKeyInfo in DER.
pub type KeyFingerprint = Digest;

/// What a statement is about; the first line of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatementType {
    /// A sealed bundle: `airferry-bundle-v1`.
    Bundle,
    /// The plan of an unfinished bundle: `airferry-plan-v1`.
    Plan,
}

/// In which capacity the signer speaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(String);

/// Why a text is not a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a role: 1 to 32 of a-z, 0-9 and hyphen, beginning with a letter", .0.escape_debug())]
pub struct RoleError(String);

impl Role {
    /// The role of who made the bundle.
    pub const EXPORTER: &'static str = "exporter";
    /// The role of who looked at it.
    pub const REVIEWER: &'static str = "reviewer";

    /// The maker's role.
    pub fn exporter() -> Self {
        Self(Self::EXPORTER.to_owned())
    }

    /// The text.
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

/// What the signer says of the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be imported.
    Approve,
    /// It must not be imported.
    Reject,
}

/// A point in time: seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// A statement's fields. The text form is `format::statement`'s business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it is about.
    pub subject: StatementType,
    /// The key that signs.
    pub key: KeyFingerprint,
    /// Format version of what is signed.
    pub format: u64,
    /// Length in bytes of the signed document (`manifest.cbor`, or `export.plan`).
    pub document_length: u64,
    /// SHA-256 of the signed document.
    pub document_sha256: Digest,
    /// BLAKE3 of the signed document.
    pub document_blake3: Blake3,
    /// Present in statements on bundles, absent in statements on plans.
    pub bundle: Option<BundleStatement>,
    /// In which capacity the signer speaks.
    pub role: Role,
    /// What the signer says.
    pub verdict: Verdict,
    /// When it was signed, by the signer's clock.
    pub time: Timestamp,
    /// After this time the statement should not be relied on.
    pub expires: Option<Timestamp>,
    /// SHA-256 of an audit report that the signer read.
    pub report_sha256: Option<Digest>,
    /// One line for people.
    pub comment: Option<LabelText>,
}

/// The part of a statement that only bundles have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleStatement {
    /// SHA-256 of `SHA256SUMS`.
    pub sums_sha256: Digest,
    /// The line of bundles that this one belongs to; `None` until lineages exist.
    pub lineage: Option<LabelText>,
    /// Place in that line.
    pub sequence: Option<u64>,
    /// The manifest's generation.
    pub generation: u64,
    /// The manifest's `complete`.
    pub complete: bool,
}
