//! Makes, signs and writes statements about a bundle.

use std::sync::Arc;

use super::names;
use super::trust::free_stem;
use crate::error::{Error, Result};
use crate::format::hash::{file_entry, sha256};
use crate::format::keys::{SigningKey, VerifyingKey};
use crate::format::statement;
use crate::format::statement::StatementStem;
use crate::format::texts::Texts;
use crate::model::{
    BundleId, BundleManifest, BundleStatement, FORMAT_VERSION, FileEntry, LabelText, Limits, Role,
    Statement, StatementType, Timestamp, Verdict,
};
use crate::sys;
use crate::sys::media::Media;

/// A signing key: in memory, or behind a command.
#[derive(Clone)]
pub struct Signer {
    public: VerifyingKey,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    /// A key in this process's memory.
    Key(Arc<SigningKey>),
    /// A shell command that reads the statement and writes the 64 bytes of the signature, for
    /// example with a token.
    Command(String),
}

impl Signer {
    /// Creates a signer with a key in memory.
    pub fn with_key(key: SigningKey) -> Self {
        Self {
            public: key.public(),
            secret: Secret::Key(Arc::new(key)),
        }
    }

    /// Creates a signer that runs a shell command, which reads the statement on its standard
    /// input and writes the 64 bytes of the signature.
    pub fn with_command(public: VerifyingKey, command: String) -> Self {
        Self {
            public,
            secret: Secret::Command(command),
        }
    }

    /// Returns the public key.
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs a text, and verifies the signature before returning it.
    pub(crate) fn sign(&self, text: &[u8]) -> Result<Vec<u8>> {
        let signature = match &self.secret {
            Secret::Key(key) => key.sign(text).to_vec(),
            Secret::Command(command) => sys::process::filter(command, text, Limits::SIGNATURE + 1)
                .map_err(|error| Error::usage("The signer command failed").caused_by(error))?,
        };
        self.public.verify(text, &signature).map_err(|error| {
            Error::usage("The signer command's output is not a signature by the given key")
                .caused_by(error)
                .hint("the command must write the 64 raw bytes of an Ed25519 signature")
        })?;
        Ok(signature)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({:?})", self.public.fingerprint())
    }
}

/// The parts of a statement that the signer chooses.
#[derive(Debug, Clone)]
pub struct StatementTerms {
    /// Role of the signer.
    pub role: Role,
    /// Approval or rejection of the bundle.
    pub verdict: Verdict,
    /// A comment of one line.
    pub comment: Option<LabelText>,
    /// Time at which the statement expires.
    pub expires: Option<Timestamp>,
}

impl StatementTerms {
    /// Returns an exporter's approval of its own bundle.
    pub fn exporter(comment: Option<LabelText>) -> Self {
        Self {
            role: Role::exporter(),
            verdict: Verdict::Approve,
            comment,
            expires: None,
        }
    }
}

/// Builds the statement about a bundle.
pub(crate) fn bundle_statement(
    manifest: &BundleManifest,
    bytes: &[u8],
    key: &VerifyingKey,
    opinion: StatementTerms,
    time: Timestamp,
) -> Statement {
    Statement {
        bundle: Some(BundleStatement {
            sums_sha256: sha256(
                Texts::new(&BundleId::new(sha256(bytes)), manifest)
                    .sums
                    .as_bytes(),
            ),
            lineage: None,
            sequence: None,
            generation: manifest.generation,
            complete: manifest.complete,
        }),
        ..document_statement(
            StatementType::Bundle,
            &file_entry(bytes),
            key,
            opinion,
            time,
        )
    }
}

/// Builds a statement about a document, without the fields of a bundle.
pub(crate) fn document_statement(
    subject: StatementType,
    document: &FileEntry,
    key: &VerifyingKey,
    opinion: StatementTerms,
    time: Timestamp,
) -> Statement {
    Statement {
        subject,
        key: key.fingerprint(),
        format: FORMAT_VERSION,
        document_length: document.length,
        document_sha256: document.sha256,
        document_blake3: document.blake3,
        bundle: None,
        role: opinion.role,
        verdict: opinion.verdict,
        time,
        expires: opinion.expires,
        report_sha256: None,
        comment: opinion.comment,
    }
}

/// Returns a statement's text.
pub(crate) fn render(statement: &Statement) -> Result<String> {
    statement::render(statement)
        .map_err(|error| Error::usage("The statement cannot be written").caused_by(error))
}

/// Writes a statement and its signature into a bundle. Returns the file name without ending.
pub(crate) fn write_statement(
    media: &dyn Media,
    id: &BundleId,
    signer: &Signer,
    statement: &Statement,
) -> Result<StatementStem> {
    let stem = free_stem(media, id, &signer.public().fingerprint())?.ok_or_else(|| {
        Error::usage("This key has already signed this bundle 16 times, the maximum")
    })?;
    let text = render(statement)?;
    let signature = signer.sign(text.as_bytes())?;
    media.make_dir(names::SIGNATURES)?;
    // A power cut in between leaves half a pair, which readers ignore.
    media.write_atomically(&stem.statement_path(), text.as_bytes())?;
    media.write_atomically(&stem.signature_path(), &signature)?;
    Ok(stem)
}
