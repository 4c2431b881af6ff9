//! Finds and checks the statements of trusted keys about a bundle (bundle-format.md, section
//! 8.3).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::bundle::finding::{Finding, FindingKind};
use crate::bundle::names;
use crate::encoding::time::render_time;
use crate::error::{Error, Result, chain};
use crate::format::hash::sha256;
use crate::format::keys::{SignatureError, VerifyingKey};
use crate::format::statement::{self, StatementStem};
use crate::model::{
    BundleId, BundleManifest, KeyFingerprint, Limits, Role, Statement, StatementType, Timestamp,
    Verdict,
};
use crate::sys::FileError;
use crate::sys::media::{DirMedia, EntryKind, Media};

/// Hint for a bundle that no trusted key has signed.
const NAME_KEY: &str =
    "give the exporter's public key with --trust; get that key another way than with the medium";

/// Hint for a trusted key's statement that is about another manifest or was changed.
const COPY_AGAIN: &str = "copy the bundle and its `signatures` again from where it was made, or have \
     it signed again there with `airferry sign`";

/// Hint for a trusted key's approval that has expired.
const SIGN_AGAIN: &str = "ask the holder of that key to sign the bundle again with `airferry sign`";

/// The keys that the operator trusts, and where else statements are.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Keys trusted for the role `exporter`. If empty, no bundle can be authenticated.
    pub exporters: Vec<VerifyingKey>,
    /// The present time, for statements that expire. `None` disables expiry.
    pub now: Option<Timestamp>,
    /// Further directories that hold statements below `signatures/`, for media that cannot be
    /// written. These statements weigh the same as those in the bundle, approvals and rejections
    /// alike.
    pub statements: Vec<PathBuf>,
}

/// A statement signed by a trusted key.
#[derive(Debug, Clone)]
pub struct Vouched {
    /// File name of the statement, without ending.
    pub stem: StatementStem,
    /// Path of the statement, for messages: in the bundle, or in a further directory.
    pub(crate) file: String,
    /// Content of the statement.
    pub statement: Statement,
    /// True if the statement has expired: it is shown, but does not count.
    pub expired: bool,
    /// False if the statement was found to differ from the manifest, and so does not count.
    pub(crate) agrees: bool,
}

/// The statements about a bundle, and the resulting authentication.
#[derive(Debug, Clone, Default)]
pub struct Authentication {
    /// Valid statements by trusted keys.
    pub vouched: Vec<Vouched>,
    /// Names of other well-formed statements about this bundle. Not verified: anyone may have
    /// written them.
    pub claimed: Vec<StatementStem>,
    /// Names of statements about other generations.
    pub other_generations: Vec<StatementStem>,
    /// Faults found in statements.
    pub(crate) findings: Vec<Finding>,
    known_files: BTreeSet<String>,
}

impl Authentication {
    /// Returns true if a trusted exporter approves this bundle.
    pub fn is_authenticated(&self) -> bool {
        self.vouched.iter().any(|vouched| {
            vouched.statement.role.as_str() == Role::EXPORTER
                && vouched.statement.verdict == Verdict::Approve
                && !vouched.expired
                && vouched.agrees
        })
    }

    /// Returns true if a file below `signatures/` belongs to the bundle.
    pub(crate) fn knows_file(&self, path: &str) -> bool {
        self.known_files.contains(path)
    }

    /// Compares the statements with the manifest, and with the text of `SHA256SUMS` that follows
    /// from it.
    ///
    /// A statement that differs no longer counts.
    pub(crate) fn check_fields(
        &mut self,
        manifest: &BundleManifest,
        sums: &str,
        findings: &mut Vec<Finding>,
    ) {
        let was_authenticated = self.is_authenticated();
        for vouched in &mut self.vouched {
            let agrees = statement::check_manifest(&vouched.statement, manifest, sums.as_bytes());
            if let Err(error) = agrees {
                vouched.agrees = false;
                let finding = Finding::new(FindingKind::BadStatement, chain(&error));
                findings.push(finding.in_file(vouched.file.clone()));
            }
        }
        if was_authenticated && !self.is_authenticated() {
            let message = "NOT AUTHENTICATED: a trusted key has signed, but its statement does not fit this manifest";
            let finding = Finding::new(FindingKind::NotAuthenticated, message);
            findings.push(finding.with_hint(COPY_AGAIN));
        }
    }
}

impl Trust {
    /// Finds the statements of trusted keys about these bytes of a manifest.
    ///
    /// Opens only files whose names follow from trusted keys; other names are listed and not
    /// opened.
    pub fn authenticate(&self, media: &dyn Media, manifest: &[u8]) -> Result<Authentication> {
        let id = BundleId::new(sha256(manifest));
        let mut found = Authentication::default();
        self.read_place(&Place::bundle(media)?, manifest, &mut found);
        for directory in &self.statements {
            let outside = DirMedia::open(directory)?;
            self.read_place(&Place::further(&outside)?, manifest, &mut found);
        }
        if !found.is_authenticated() {
            let (message, hint) = self.why_not_authenticated(&id, &found);
            let finding = Finding::new(FindingKind::NotAuthenticated, message);
            found.findings.push(finding.with_hint(hint));
        }
        Ok(found)
    }

    /// Returns the reason why a bundle is not authenticated, and a hint for the operator.
    fn why_not_authenticated(
        &self,
        id: &BundleId,
        found: &Authentication,
    ) -> (&'static str, &'static str) {
        let mut vouched = found.vouched.iter();
        let is_exporter = |vouched: &&Vouched| vouched.statement.role.as_str() == Role::EXPORTER;
        let wrong = |finding: &Finding| finding.kind == FindingKind::BadStatement;
        if found.findings.iter().any(wrong) {
            return (
                "NOT AUTHENTICATED: a file under a trusted key's name is not a valid statement about this bundle",
                COPY_AGAIN,
            );
        }
        match vouched.clone().find(is_exporter) {
            Some(exporter) if exporter.statement.verdict == Verdict::Reject => {
                return (
                    "NOT AUTHENTICATED: the trusted exporter rejects this bundle",
                    "ask the exporter why it was rejected, and for another bundle",
                );
            }
            Some(_) => {
                return (
                    "NOT AUTHENTICATED: the trusted exporter's approval has expired",
                    SIGN_AGAIN,
                );
            }
            None => {}
        }
        if vouched.next().is_some() {
            (
                "NOT AUTHENTICATED: trusted keys have signed this bundle, but not as its exporter",
                "give the exporter's public key with --trust as well; get that key another way than \
                 with the medium",
            )
        } else if self.knows_signer_of_another(id, found) {
            (
                "NOT AUTHENTICATED: a trusted key has signed a different manifest.cbor: this one was \
                 changed, or is of another generation",
                COPY_AGAIN,
            )
        } else if self.exporters.is_empty() {
            (
                "NOT AUTHENTICATED: no exporter's key was given, so no signature can be checked",
                NAME_KEY,
            )
        } else {
            (
                "NOT AUTHENTICATED: none of the trusted keys has signed this bundle",
                NAME_KEY,
            )
        }
    }

    /// Returns true if there are statements about another manifest under a trusted key's name.
    fn knows_signer_of_another(&self, id: &BundleId, found: &Authentication) -> bool {
        found.other_generations.iter().any(|stem| {
            let by_known = |key: &VerifyingKey| stem.names_key(&key.fingerprint());
            !stem.names_bundle(id) && self.exporters.iter().any(by_known)
        })
    }

    /// Reads the statements of trusted keys in one place, and classifies the names of the others.
    fn read_place(&self, place: &Place<'_>, manifest: &[u8], found: &mut Authentication) {
        if !place.is_readable {
            let message = "it is not a directory, so no statement was read";
            let finding = Finding::new(FindingKind::BadStatement, message);
            found
                .findings
                .push(finding.in_file(place.shown(names::SIGNATURES)));
            return;
        }
        let id = BundleId::new(sha256(manifest));
        for key in &self.exporters {
            for stem in StatementStem::all(&id, &key.fingerprint()) {
                match read_one(place.media, key, &stem, manifest) {
                    Ok(Some(statement)) => self.judge(place, &stem, statement, found),
                    Ok(None) => {}
                    Err(InvalidStatement { file, message }) => {
                        let finding = Finding::new(FindingKind::BadStatement, message);
                        found.findings.push(finding.in_file(place.shown(&file)));
                    }
                }
            }
        }
        place.sort_names(&id, found);
    }

    fn judge(
        &self,
        place: &Place<'_>,
        stem: &StatementStem,
        statement: Statement,
        found: &mut Authentication,
    ) {
        let same = |known: &Vouched| known.stem == *stem && known.statement == statement;
        if found.vouched.iter().any(same) {
            // Ignores a copy of a statement that was already read in another place.
            return;
        }
        let file = place.shown(&stem.statement_path());
        if statement.verdict == Verdict::Reject {
            let message = format!(
                "the {} rejected this bundle: do not import it",
                statement.role
            );
            let finding = Finding::new(FindingKind::Rejected, message);
            found.findings.push(finding.in_file(file.clone()));
        }
        let expired = has_expired(statement.expires, self.now);
        if expired {
            let expires = statement.expires.and_then(render_time).unwrap_or_default();
            let message = format!("this approval expired on {expires}");
            let finding = Finding::new(FindingKind::Expired, message);
            found.findings.push(finding.in_file(file.clone()));
        }
        found.vouched.push(Vouched {
            stem: *stem,
            file,
            statement,
            expired,
            agrees: true,
        });
    }
}

/// Returns true if `expires` does not lie in the future (R-53, step 8). Without `now` nothing
/// expires.
fn has_expired(expires: Option<Timestamp>, now: Option<Timestamp>) -> bool {
    expires
        .zip(now)
        .is_some_and(|(expires, now)| expires <= now)
}

/// A directory that holds statements.
struct Place<'a> {
    media: &'a dyn Media,
    /// Path of a further directory; `None` for the bundle itself.
    further: Option<&'a Path>,
    /// True if `signatures` is a directory or does not exist.
    is_readable: bool,
    /// All regular files of the place, with their lengths in bytes.
    files: BTreeMap<String, u64>,
}

impl<'a> Place<'a> {
    /// Lists the bundle itself.
    fn bundle(media: &'a dyn Media) -> Result<Self> {
        let entries = media.list()?;
        let signatures = entries
            .iter()
            .find(|entry| entry.path == names::SIGNATURES)
            .map(|entry| entry.kind);
        Ok(Self {
            media,
            further: None,
            is_readable: matches!(signatures, None | Some(EntryKind::Directory)),
            files: entries
                .into_iter()
                .filter_map(|entry| match entry.kind {
                    EntryKind::File(length) => Some((entry.path, length)),
                    EntryKind::Directory | EntryKind::Other => None,
                })
                .collect(),
        })
    }

    /// Lists a further directory. Without any statement it was named by mistake, and that is an
    /// error. Statements about another manifest are no error here: they lead to a more specific
    /// finding.
    fn further(media: &'a DirMedia) -> Result<Self> {
        let place = Self {
            further: Some(media.root()),
            ..Self::bundle(media)?
        };
        if place.is_readable && place.pairs().next().is_none() {
            let message = format!("`{}` holds no statements", media.root().display());
            return Err(Error::usage(message)
                .hint("name the directory that was given to `airferry sign --statements`"));
        }
        Ok(place)
    }

    /// Returns a path of this place for findings.
    fn shown(&self, path: &str) -> String {
        match self.further {
            Some(directory) => directory.join(path).display().to_string(),
            None => path.to_owned(),
        }
    }

    /// Returns the names of complete pairs of statement and signature.
    fn pairs(&self) -> impl Iterator<Item = StatementStem> {
        self.files.keys().filter_map(|path| {
            let name = path.strip_prefix("signatures/")?;
            let stem: StatementStem = name.strip_suffix(".statement")?.parse().ok()?;
            self.files
                .contains_key(&stem.signature_path())
                .then_some(stem)
        })
    }

    /// Returns true if the two files of a pair have possible lengths.
    fn may_be_statement(&self, stem: &StatementStem) -> bool {
        let length = |path: &str| self.files.get(path).copied();
        let text = length(&stem.statement_path());
        let signature = length(&stem.signature_path());
        text.is_some_and(|length| (1..=Limits::STATEMENT).contains(&length))
            && signature == Some(Limits::SIGNATURE)
    }

    /// Classifies the names below `signatures/` by name and length, without opening the files.
    fn sort_names(&self, id: &BundleId, found: &mut Authentication) {
        let vouched: BTreeSet<StatementStem> = found.vouched.iter().map(|v| v.stem).collect();
        for stem in self.pairs() {
            if !vouched.contains(&stem) {
                // Pairs beyond the limit, or with other lengths, are foreign files.
                let listed = found.claimed.len() + found.other_generations.len();
                if listed >= Limits::STATEMENTS || !self.may_be_statement(&stem) {
                    continue;
                }
                let list = if stem.names_bundle(id) {
                    &mut found.claimed
                } else {
                    &mut found.other_generations
                };
                list.push(stem);
            }
            if self.further.is_none() {
                let both = [stem.statement_path(), stem.signature_path()];
                found.known_files.extend(both);
            }
        }
    }
}

/// Returns the number of bytes of all statements and signatures in a bundle.
pub(crate) fn statement_bytes(media: &dyn Media) -> Result<u64> {
    let place = Place::bundle(media)?;
    let both = |stem: StatementStem| [stem.statement_path(), stem.signature_path()];
    let lengths = place.pairs().flat_map(both);
    let lengths = lengths.filter_map(|path| place.files.get(&path));
    Ok(lengths.fold(0, |sum, length| sum.saturating_add(*length)))
}

/// The fault of an invalid statement, and the file that has it. No option waives it.
struct InvalidStatement {
    file: String,
    message: String,
}

/// Reads and checks one statement. `Ok(None)` if there is none, `Err` if there is an invalid one.
fn read_one(
    media: &dyn Media,
    key: &VerifyingKey,
    stem: &StatementStem,
    manifest: &[u8],
) -> std::result::Result<Option<Statement>, InvalidStatement> {
    let read = |file: String, cap| {
        media
            .read_if_present(&file, cap)
            .map_err(|error: FileError| InvalidStatement {
                message: chain(&error),
                file,
            })
    };
    let text = read(stem.statement_path(), Limits::STATEMENT)?;
    let signature = read(stem.signature_path(), Limits::SIGNATURE)?;
    // Half a pair is what a power cut leaves; it is ignored.
    let (Some(text), Some(signature)) = (text, signature) else {
        return Ok(None);
    };
    let signed = key.verify(&text, &signature);
    // Parses the text even if the signature is wrong. That gives it no trust, but tells which of
    // the two files is wrong.
    let read = statement::parse(&text)
        .map_err(|error| chain(&error))
        .and_then(|statement| agrees(statement, key, manifest));
    match (signed, read) {
        (Ok(()), Ok(statement)) => Ok(Some(statement)),
        (_, Err(message)) => Err(InvalidStatement {
            file: stem.statement_path(),
            message,
        }),
        (Err(error @ SignatureError::Length { .. }), Ok(_)) => Err(InvalidStatement {
            file: stem.signature_path(),
            message: chain(&error),
        }),
        (Err(error), Ok(_)) => Err(InvalidStatement {
            file: stem.statement_path(),
            message: format!(
                "the statement or its signature ({}) was changed: {}",
                stem.signature_path(),
                chain(&error)
            ),
        }),
    }
}

/// Checks that a statement is about this manifest and names this key.
fn agrees(
    statement: Statement,
    key: &VerifyingKey,
    manifest: &[u8],
) -> std::result::Result<Statement, String> {
    if statement.subject != StatementType::Bundle {
        return Err("it is a statement about something other than a bundle".to_owned());
    }
    if statement.key != key.fingerprint() {
        return Err("the key in the statement is not the key in its file name".to_owned());
    }
    statement::check_document(&statement, manifest).map_err(|error| chain(&error))?;
    Ok(statement)
}

/// Returns a free name for a statement by this key about this bundle: the first counter without a
/// complete pair of files; `None` if all 16 are taken.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_holds_until_the_second_of_its_end() {
        let [before, at, after] = [99, 100, 101].map(Timestamp);
        assert!(!has_expired(Some(at), Some(before)));
        assert!(has_expired(Some(at), Some(at)));
        assert!(has_expired(Some(at), Some(after)));
        assert!(!has_expired(None, Some(after)));
        assert!(!has_expired(Some(at), None));
    }
}
