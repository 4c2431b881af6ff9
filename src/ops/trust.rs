//! Who vouches for a bundle, and whether that person is trusted
//! (bundle-format.md, section 8.3).

use std::collections::BTreeSet;

use super::error::{Result, chain};
use super::finding::{Finding, FindingKind};
use crate::format::hash::sha256;
use crate::format::keys::VerifyingKey;
use crate::format::statement::{self, StatementStem};
use crate::model::{
    BundleId, BundleManifest, KeyFingerprint, Limits, Role, Statement, StatementType, Timestamp,
    Verdict,
};
use crate::sys::IoAt;
use crate::sys::media::Media;

/// Whom the person trusts.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Keys trusted for the role `exporter`. Empty: nobody.
    pub exporters: Vec<VerifyingKey>,
    /// The time now, for statements that expire.
    pub now: Option<Timestamp>,
}

/// A statement under a trusted key.
#[derive(Debug, Clone)]
pub struct Vouched {
    /// File name without ending.
    pub stem: StatementStem,
    /// What it says.
    pub statement: Statement,
    /// Whether its time is over.
    pub expired: bool,
}

/// Who vouches for a bundle.
#[derive(Debug, Clone, Default)]
pub struct Authentication {
    /// Statements under trusted keys, with right signatures.
    pub vouched: Vec<Vouched>,
    /// Names of other well-formed statements on this bundle: anybody may have put them there.
    pub claimed: Vec<StatementStem>,
    /// Names of statements on other generations.
    pub other_generations: Vec<StatementStem>,
    /// What is wrong.
    pub(crate) findings: Vec<Finding>,
    known_files: BTreeSet<String>,
}

impl Authentication {
    /// Whether a trusted exporter approves this bundle.
    pub fn is_authenticated(&self) -> bool {
        self.vouched.iter().any(|vouched| {
            vouched.statement.role.as_str() == Role::EXPORTER
                && vouched.statement.verdict == Verdict::Approve
                && !vouched.expired
        })
    }

    /// Whether a file below `signatures/` belongs to the bundle.
    pub(crate) fn knows_file(&self, path: &str) -> bool {
        self.known_files.contains(path)
    }

    /// Compares what statements say with the manifest, and with the text of `SHA256SUMS` that
    /// follows from it.
    pub(crate) fn check_fields(
        &self,
        manifest: &BundleManifest,
        sums: &str,
        findings: &mut Vec<Finding>,
    ) {
        for vouched in &self.vouched {
            let agrees = statement::check_manifest(&vouched.statement, manifest, sums.as_bytes());
            if let Err(error) = agrees {
                let finding = Finding::new(FindingKind::BadStatement, chain(&error));
                findings.push(finding.in_file(vouched.stem.statement_path()));
            }
        }
    }
}

impl Trust {
    /// Finds the statements of trusted keys on these bytes of a manifest.
    ///
    /// Opens only the names that follow from trusted keys; other names are listed, not believed.
    pub fn authenticate(&self, media: &dyn Media, manifest: &[u8]) -> Result<Authentication> {
        let id = sha256(manifest);
        let mut found = Authentication::default();
        for key in &self.exporters {
            for stem in StatementStem::all(&id, &key.fingerprint()) {
                match read_one(media, key, &stem, manifest) {
                    Ok(Some(statement)) => {
                        self.judge(&stem, statement, &mut found);
                    }
                    Ok(None) => {}
                    Err(message) => {
                        let finding = Finding::new(FindingKind::BadStatement, message);
                        found.findings.push(finding.in_file(stem.statement_path()));
                    }
                }
            }
        }
        list_names(media, &id, &mut found)?;
        if found.is_authenticated() {
            // Somebody has signed again since.
            found.findings.retain(|f| f.kind != FindingKind::Expired);
        } else {
            let message = if self.knows_signer_of_another(&id, &found) {
                "NOT AUTHENTICATED: a trusted key has signed another manifest.cbor than this one: \
                 it was changed, or belongs to another generation"
            } else if self.exporters.is_empty() {
                "NOT AUTHENTICATED: no key was given that may vouch for this bundle"
            } else {
                "NOT AUTHENTICATED: none of the trusted keys has signed this bundle"
            };
            found
                .findings
                .push(Finding::new(FindingKind::NotAuthenticated, message));
        }
        Ok(found)
    }

    /// Whether a trusted key's name stands on statements about another manifest.
    fn knows_signer_of_another(&self, id: &BundleId, found: &Authentication) -> bool {
        found.other_generations.iter().any(|stem| {
            let by_known = |key: &VerifyingKey| stem.names_key(&key.fingerprint());
            !stem.names_bundle(id) && self.exporters.iter().any(by_known)
        })
    }

    fn judge(&self, stem: &StatementStem, statement: Statement, found: &mut Authentication) {
        let file = stem.statement_path();
        if statement.verdict == Verdict::Reject {
            let message = format!("the {} says: do not import this bundle", statement.role);
            let finding = Finding::new(FindingKind::Rejected, message);
            found.findings.push(finding.in_file(file.clone()));
        }
        let times = statement.expires.zip(self.now);
        let expired = times.is_some_and(|(expires, now)| expires < now);
        if expired {
            let finding = Finding::new(FindingKind::Expired, "its time is over");
            found.findings.push(finding.in_file(file));
        }
        found.vouched.push(Vouched {
            stem: *stem,
            statement,
            expired,
        });
    }
}

/// Reads and checks one statement. `None`: there is none. `Err`: there is one, and it is
/// wrong, which nothing waives.
fn read_one(
    media: &dyn Media,
    key: &VerifyingKey,
    stem: &StatementStem,
    manifest: &[u8],
) -> std::result::Result<Option<Statement>, String> {
    let read = |path: &str, cap| {
        media
            .read_if_present(path, cap)
            .map_err(|error: IoAt| chain(&error))
    };
    let text = read(&stem.statement_path(), Limits::STATEMENT)?;
    let signature = read(&stem.signature_path(), Limits::SIGNATURE)?;
    // Half a pair is what a power cut leaves; it says nothing.
    let (Some(text), Some(signature)) = (text, signature) else {
        return Ok(None);
    };
    key.verify(&text, &signature)
        .map_err(|error| chain(&error))?;
    let statement = statement::parse(&text).map_err(|error| chain(&error))?;
    if statement.subject != StatementType::Bundle {
        return Err("it is no statement on a bundle".to_owned());
    }
    if statement.key != key.fingerprint() {
        return Err("it names another key than the one that signed it".to_owned());
    }
    statement::check_document(&statement, manifest).map_err(|error| chain(&error))?;
    Ok(Some(statement))
}

/// Sorts the names below `signatures/` without believing any.
fn list_names(media: &dyn Media, id: &BundleId, found: &mut Authentication) -> Result<()> {
    let vouched: BTreeSet<StatementStem> = found.vouched.iter().map(|v| v.stem).collect();
    let entries = media.list()?;
    let paths: BTreeSet<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    for path in &paths {
        let Some(name) = path.strip_prefix("signatures/") else {
            continue;
        };
        let Some((stem, ending)) = name.rsplit_once('.') else {
            continue;
        };
        let Ok(stem) = stem.parse::<StatementStem>() else {
            continue;
        };
        if !matches!(ending, "statement" | "sig") {
            continue;
        }
        let (text, signature) = (stem.statement_path(), stem.signature_path());
        if !(paths.contains(text.as_str()) && paths.contains(signature.as_str())) {
            continue;
        }
        if !vouched.contains(&stem) && ending == "statement" {
            let list = if stem.names_bundle(id) {
                &mut found.claimed
            } else {
                &mut found.other_generations
            };
            if list.len() >= Limits::STATEMENTS {
                continue;
            }
            list.push(stem);
        }
        found.known_files.insert((*path).to_owned());
    }
    Ok(())
}

/// A free name for a statement by this key on this bundle: the first counter without a whole
/// pair of files.
pub(crate) fn free_stem(
    media: &dyn Media,
    id: &BundleId,
    key: &KeyFingerprint,
) -> Result<Option<StatementStem>> {
    for stem in StatementStem::all(id, key) {
        let text = media.read_if_present(&stem.statement_path(), Limits::STATEMENT)?;
        let signature = media.read_if_present(&stem.signature_path(), Limits::SIGNATURE)?;
        if text.is_none() || signature.is_none() {
            return Ok(Some(stem));
        }
    }
    Ok(None)
}
