//! Reads and writes the text of statements and the names of their files (bundle-format.md, R-05,
//!

mod stem;

pub use stem::{StatementStem, StemError};

use std::fmt;

use super::{Rule, hash};
use crate::encoding::time::{parse_time, render_time};
use crate::model::{
    Blake3, BundleManifest, BundleStatement, Digest, FORMAT_VERSION, LabelText, Limits, Role,
    Statement, StatementType, Timestamp, Verdict, is_deceptive,
};

/// The reason why a text is not a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// The text is too long, not UTF-8, or has deceptive characters.
    #[error("The statement breaks R-50: {fault}")]
    Text {
        /// Description of the fault.
        fault: &'static str,
    },
    /// The first line names no type of statement that this version knows.
    #[error("The statement is of the type `{}`, which this version of airferry does not know", found.escape_debug())]
    Type {
        /// The first line, shortened.
        found: String,
    },
    /// The expected line is absent, or another one is in its place.
    #[error("The statement breaks R-50 in line {line}: expected `{key}`")]
    Key {
        /// Number of the line, from 1.
        line: usize,
        /// Key that is expected there.
        key: &'static str,
    },
    /// Lines follow the last allowed one.
    #[error("The statement breaks R-50 in line {line}: no further line should follow")]
    Trailing {
        /// Number of the line, from 1.
        line: usize,
    },
    /// The key does not allow this value.
    #[error("The statement breaks R-50 in line {line}: `{key}` has the value `{}`", value.escape_debug())]
    Value {
        /// Number of the line, from 1.
        line: usize,
        /// Key of the line.
        key: &'static str,
        /// The value, shortened.
        value: String,
    },
    /// The fields of this [`Statement`] cannot be written as a text.
    #[error("The statement cannot be written: {fault}")]
    Unwritable {
        /// The reason.
        fault: &'static str,
    },
}

impl StatementError {
    /// The rule that is broken.
    pub fn rule(&self) -> Rule {
        Rule(50)
    }
}

const BUNDLE: &str = "airferry-bundle-v1";
const PLAN: &str = "airferry-plan-v1";
const ALGORITHM: &str = "ed25519";

/// The keys whose names differ between statements about bundles and about plans.
struct DocumentKeys {
    length: &'static str,
    sha256: &'static str,
    blake3: &'static str,
}

impl DocumentKeys {
    fn of(subject: StatementType) -> Self {
        match subject {
            StatementType::Bundle => Self {
                length: "manifest-length",
                sha256: "manifest-sha256",
                blake3: "manifest-blake3",
            },
            StatementType::Plan => Self {
                length: "plan-length",
                sha256: "plan-sha256",
                blake3: "plan-blake3",
            },
        }
    }
}

/// Writes a statement.
///
/// # Errors
///
/// If fields contradict each other (a plan with a bundle's fields, a sequence without lineage) or
/// the year of a time does not have four digits.
pub fn render(statement: &Statement) -> Result<String, StatementError> {
    let unwritable = |fault| Err(StatementError::Unwritable { fault });
    if (statement.subject == StatementType::Bundle) != statement.bundle.is_some() {
        return unwritable("a bundle's fields belong into statements on bundles, and only there");
    }
    if statement.subject == StatementType::Plan && statement.report_sha256.is_some() {
        return unwritable("a statement on a plan names no report");
    }
    if statement.format != FORMAT_VERSION {
        return unwritable("this version writes statements on format version 1 alone");
    }
    let keys = DocumentKeys::of(statement.subject);
    let first = match statement.subject {
        StatementType::Bundle => BUNDLE,
        StatementType::Plan => PLAN,
    };
    let mut text = format!("{first}\n");
    let mut line = |key: &str, value: &dyn fmt::Display| {
        text.push_str(&format!("{key}: {value}\n"));
    };
    line("algorithm", &ALGORITHM);
    line("key", &statement.key.hex());
    line("format", &statement.format);
    line(keys.length, &statement.document_length);
    line(keys.sha256, &statement.document_sha256.hex());
    line(keys.blake3, &statement.document_blake3.hex());
    if let Some(bundle) = &statement.bundle {
        line("sums-sha256", &bundle.sums_sha256.hex());
        if let Some(lineage) = &bundle.lineage {
            line("lineage", &lineage.as_str());
        }
        match (bundle.sequence, &bundle.lineage) {
            (Some(sequence), Some(_)) => line("sequence", &sequence),
            (Some(_), None) => return unwritable("a sequence needs a lineage"),
            (None, _) => {}
        }
        if bundle.generation == 0 {
            return unwritable("generations begin at 1");
        }
        line("generation", &bundle.generation);
        line("complete", if bundle.complete { &"yes" } else { &"no" });
    }
    line("role", &statement.role);
    let verdict = match statement.verdict {
        Verdict::Approve => "approve",
        Verdict::Reject => "reject",
    };
    line("verdict", &verdict);
    line("time", &written(statement.time)?);
    if let Some(expires) = statement.expires {
        line("expires", &written(expires)?);
    }
    if let Some(report) = &statement.report_sha256 {
        line("report-sha256", &report.hex());
    }
    if let Some(comment) = &statement.comment {
        line("comment", &comment.as_str());
    }
    Ok(text)
}

/// Reads a statement. The caller should have checked its signature before.
///
/// # Errors
///
/// Names the first line that breaks R-50.
pub fn parse(bytes: &[u8]) -> Result<Statement, StatementError> {
    let text = checked_text(bytes)?;
    let mut lines = Lines {
        rest: text.split_terminator('\n').collect(),
        next: 0,
    };
    let subject = match lines.advance() {
        Some(BUNDLE) => StatementType::Bundle,
        Some(PLAN) => StatementType::Plan,
        other => {
            let found = other.unwrap_or_default().chars().take(60).collect();
            return Err(StatementError::Type { found });
        }
    };
    let keys = DocumentKeys::of(subject);
    lines.word("algorithm", &[(ALGORITHM, ())])?;
    let key = lines.digest("key")?;
    lines.word("format", &[("1", ())])?;
    let document_length = lines.number(keys.length, 0)?;
    let document_sha256 = lines.digest(keys.sha256)?;
    let document_blake3 = lines.required(keys.blake3, |text| Blake3::from_hex(text).ok())?;
    let bundle = match subject {
        StatementType::Bundle => Some(parse_bundle(&mut lines)?),
        StatementType::Plan => None,
    };
    let role = lines.required("role", |text| text.parse::<Role>().ok())?;
    let verdicts = [("approve", Verdict::Approve), ("reject", Verdict::Reject)];
    let verdict = lines.word("verdict", &verdicts)?;
    let time = lines.required("time", parse_time)?;
    let expires = lines.optional("expires", parse_time)?;
    let report_sha256 = match subject {
        StatementType::Bundle => {
            lines.optional("report-sha256", |text| Digest::from_hex(text).ok())?
        }
        StatementType::Plan => None,
    };
    let comment = lines.optional("comment", |text| text.parse::<LabelText>().ok())?;
    if lines.peek().is_some() {
        return Err(StatementError::Trailing {
            line: lines.next + 1,
        });
    }
    Ok(Statement {
        subject,
        key,
        format: FORMAT_VERSION,
        document_length,
        document_sha256,
        document_blake3,
        bundle,
        role,
        verdict,
        time,
        expires,
        report_sha256,
        comment,
    })
}

fn parse_bundle(lines: &mut Lines<'_>) -> Result<BundleStatement, StatementError> {
    let sums_sha256 = lines.digest("sums-sha256")?;
    let lineage = lines.optional("lineage", |text| text.parse::<LabelText>().ok())?;
    let sequence = match lineage {
        Some(_) => lines.optional("sequence", parse_number)?,
        None => None,
    };
    Ok(BundleStatement {
        sums_sha256,
        lineage,
        sequence,
        generation: lines.number("generation", 1)?,
        complete: lines.word("complete", &[("yes", true), ("no", false)])?,
    })
}

/// Checks the rules of R-50 about the text as a whole.
fn checked_text(bytes: &[u8]) -> Result<&str, StatementError> {
    let refused = |fault| Err(StatementError::Text { fault });
    if bytes.len() as u64 > Limits::STATEMENT {
        return refused("it has more than 16384 bytes");
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return refused("it is not UTF-8");
    };
    if text.chars().any(|c| c != '\n' && is_deceptive(c)) {
        return refused("it holds control or bidirectional characters");
    }
    if !text.ends_with('\n') {
        return refused("its last line does not end with LF");
    }
    Ok(text)
}

/// The lines of a statement, read in order.
struct Lines<'a> {
    rest: Vec<&'a str>,
    next: usize,
}

impl<'a> Lines<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.rest.get(self.next).copied()
    }

    fn advance(&mut self) -> Option<&'a str> {
        let line = self.peek();
        self.next += 1;
        line
    }

    /// Reads the value of the next line if the line has this key; otherwise leaves the line.
    fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&'a str) -> Option<T>,
    ) -> Result<Option<T>, StatementError> {
        let value = self
            .peek()
            .and_then(|line| line.strip_prefix(key)?.strip_prefix(": "));
        let Some(value) = value else {
            return Ok(None);
        };
        self.next += 1;
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(StatementError::Value {
                line: self.next,
                key,
                value: value.chars().take(80).collect(),
            }),
        }
    }

    fn required<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&'a str) -> Option<T>,
    ) -> Result<T, StatementError> {
        let line = self.next + 1;
        self.optional(key, read)?
            .ok_or(StatementError::Key { line, key })
    }

    fn digest(&mut self, key: &'static str) -> Result<Digest, StatementError> {
        self.required(key, |text| Digest::from_hex(text).ok())
    }

    fn number(&mut self, key: &'static str, least: u64) -> Result<u64, StatementError> {
        self.required(key, |text| {
            parse_number(text).filter(|number| *number >= least)
        })
    }

    fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
    ) -> Result<T, StatementError> {
        self.required(key, |text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, meaning)| *meaning)
        })
    }
}

/// Parses a decimal number without sign or leading zeros.
fn parse_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Formats a time so that [`parse_time`] reads it back.
fn written(time: Timestamp) -> Result<String, StatementError> {
    render_time(time).ok_or(StatementError::Unwritable {
        fault: "the year of its time has no four digits",
    })
}

/// The first line in which a statement differs from the files that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The statement's `{key}` is not that of the {document}")]
pub struct Disagreement {
    /// Key of the line.
    pub key: &'static str,
    /// Name of the document that it was compared with.
    pub document: &'static str,
}

/// Compares length and hashes in a statement with the document that it should be about,
/// `manifest.cbor` or `export.plan`.
///
/// # Errors
///
/// Names the first line that differs.
pub fn check_document(statement: &Statement, document: &[u8]) -> Result<(), Disagreement> {
    let keys = DocumentKeys::of(statement.subject);
    let entry = hash::file_entry(document);
    let document = match statement.subject {
        StatementType::Bundle => "bundle manifest",
        StatementType::Plan => "plan",
    };
    let disagrees = |key| Err(Disagreement { key, document });
    if statement.document_length != entry.length {
        return disagrees(keys.length);
    }
    if statement.document_sha256 != entry.sha256 {
        return disagrees(keys.sha256);
    }
    if statement.document_blake3 != entry.blake3 {
        return disagrees(keys.blake3);
    }
    Ok(())
}

/// Compares a statement about a bundle with the parsed manifest and with the text of
/// `SHA256SUMS`.
///
/// # Errors
///
/// Names the first line that differs. A statement about a plan always differs.
pub fn check_manifest(
    statement: &Statement,
    manifest: &BundleManifest,
    sums: &[u8],
) -> Result<(), Disagreement> {
    let document = "bundle manifest";
    let Some(bundle) = &statement.bundle else {
        let key = "type";
        return Err(Disagreement { key, document });
    };
    if bundle.generation != manifest.generation {
        let key = "generation";
        return Err(Disagreement { key, document });
    }
    if bundle.complete != manifest.complete {
        let key = "complete";
        return Err(Disagreement { key, document });
    }
    if bundle.sums_sha256 != hash::sha256(sums) {
        return Err(Disagreement {
            key: "sums-sha256",
            document: "file SHA256SUMS",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
