//! Reads a bundle from its root inwards, as far as possible (bundle-format.md, section 10, steps
//! 1 to 5).
//!
//! Nothing is interpreted before the step that authenticates it. Faults are collected, so that
//! the operator sees all of them at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::affected_images::AffectedImages;
use super::foreign_files::{ForeignFiles, is_left_over};
use crate::bundle::finding::{Finding, FindingKind, Findings, as_error};
use crate::bundle::names;
use crate::bundle::trust::{Authentication, Trust};
use crate::error::{Class, Error, Result, chain};
use crate::format::hash::sha256;
use crate::format::texts::Texts;
use crate::format::{DocumentError, bundle};
use crate::model::{BundleId, BundleManifest, ChunkEntry, Inventory, Limits};
use crate::sys::FileError;
use crate::sys::media::{DirMedia, DirectoryTotals, Entry, EntryKind, Media};

/// The parts of a bundle that could be read, with all findings.
pub(crate) struct Examination {
    /// Medium with the bundle.
    pub media: Arc<dyn Media>,
    /// SHA-256 of `manifest.cbor`; `None` if the file is not there.
    pub id: Option<BundleId>,
    /// The manifest; `None` if it is missing or malformed.
    pub manifest: Option<BundleManifest>,
    /// The inventory; `None` if it is missing, malformed, or not the one that the manifest names.
    pub inventory: Option<Inventory>,
    /// Statements about the bundle.
    pub authentication: Authentication,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// Files and directories in the bundle's directory and in its own directories there.
    pub entries: Vec<Entry>,
    /// Contents of other directories, counted.
    pub weights: BTreeMap<String, DirectoryTotals>,
    /// True if an export here is not finished: its plan is there.
    pub unfinished: bool,
    /// True if reading stopped after the statements, because no trusted key has signed.
    pub stopped: bool,
}

/// A bundle that passed all checks except those of the chunks' content.
pub(crate) struct Bundle {
    /// Medium with the bundle.
    pub media: Arc<dyn Media>,
    /// The bundle id.
    pub id: BundleId,
    /// The manifest.
    pub manifest: BundleManifest,
    /// The inventory.
    pub inventory: Inventory,
    /// Statements about the bundle.
    pub authentication: Authentication,
    /// Findings that are no failures, or were waived.
    pub notes: Vec<Finding>,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The part of the bundle that a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// One of the bundle's documents, or a file of an unfinished export.
    Document,
    /// A pair of statement and signature.
    Statement,
    /// None: a foreign file.
    Nobody,
}

/// The files of a bundle that must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All files.
    Everything,
    /// Manifest, inventory and statements: enough for a base.
    Documents,
}

/// How to treat a bundle that no trusted key has signed (bundle-format.md, section 10, step 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnsignedPolicy {
    /// Interpret nothing of it.
    Refuse,
    /// Interpret nothing of it, but let a verifier report if `manifest.cbor` was changed.
    Report,
    /// Read it anyway: the operator accepted that explicitly, or gave no key.
    GoOn,
}

impl UnsignedPolicy {
    /// Returns the treatment for commands that act on a bundle. `unsigned`: unsigned ones are
    /// accepted.
    pub(crate) fn accepted(unsigned: bool) -> Self {
        match unsigned {
            true => Self::GoOn,
            false => Self::Refuse,
        }
    }

    /// Returns the treatment for commands that only report. Without a key, the whole bundle is
    /// read.
    pub(crate) fn reported(trust: &Trust, unsigned: bool) -> Self {
        match unsigned || trust.exporters.is_empty() {
            true => Self::GoOn,
            false => Self::Report,
        }
    }
}

/// Faults that the operator accepts in a bundle that a command acts on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waivers {
    /// Accept that no trusted key has signed it.
    pub(crate) unsigned: bool,
    /// Accept that some of its images are incomplete.
    pub(crate) incomplete: bool,
}

/// Opens the bundle in a directory, for a command that acts on it.
pub(crate) fn open_bundle(
    directory: &Path,
    trust: &Trust,
    waivers: Waivers,
    scope: Scope,
) -> Result<Bundle> {
    let media = Arc::new(DirMedia::open(directory)?);
    let mut waived = Vec::new();
    if waivers.incomplete {
        waived.push(FindingKind::Incomplete);
    }
    if waivers.unsigned {
        waived.push(FindingKind::NotAuthenticated);
    }
    let unproven = UnsignedPolicy::accepted(waivers.unsigned);
    examine(media, trust, scope, unproven)?.into_bundle(&waived)
}

/// Reads manifest, statements, inventory and texts, and compares the lengths of all files.
pub(crate) fn examine(
    media: Arc<dyn Media>,
    trust: &Trust,
    scope: Scope,
    unproven: UnsignedPolicy,
) -> Result<Examination> {
    let entries = media.list()?;
    refuse_other_directories(media.as_ref(), &entries)?;
    // Only the existence of the plan matters: readers do not interpret an unfinished export's
    // files.
    let unfinished = entries.iter().any(|entry| entry.path == names::PLAN);
    let mut examination = Examination {
        media: Arc::clone(&media),
        id: None,
        manifest: None,
        inventory: None,
        authentication: Authentication::default(),
        findings: Vec::new(),
        entries: entries.into_iter().filter(is_in_own_place).collect(),
        weights: BTreeMap::new(),
        unfinished,
        stopped: false,
    };
    examination.read_root(trust, scope, unproven)?;
    if scope == Scope::Everything && !examination.stopped {
        examination.weights = media.count_other_directories(&names::OWN_DIRECTORIES);
        examination.look_at_files();
    }
    examination.findings.sort();
    Ok(examination)
}

/// Returns true for an entry in the bundle's directory or in one of its own directories. Entries
/// of other directories are counted and not listed.
fn is_in_own_place(entry: &Entry) -> bool {
    match entry.path.split_once('/') {
        Some((directory, _)) => names::OWN_DIRECTORIES.contains(&directory),
        None => true,
    }
}

/// Returns a usage error for a directory without any file of a bundle, which was probably named
/// by mistake. A bundle that lost all of its files is refused as well.
fn refuse_other_directories(media: &dyn Media, entries: &[Entry]) -> Result<()> {
    let own = [
        names::MANIFEST,
        names::INVENTORY,
        names::LABEL,
        names::SUMS,
        names::PLAN,
        names::CHUNKS,
        names::SIGNATURES,
    ];
    if entries.iter().any(|entry| own.contains(&&*entry.path)) {
        return Ok(());
    }
    let root = media.root();
    let error = Error::usage(format!("There is no bundle in `{}`", root.display()));
    let below = entries.iter().filter_map(|entry| {
        let (directory, name) = entry.path.split_once('/')?;
        (name == names::MANIFEST).then(|| root.join(directory))
    });
    let below: Vec<String> = below
        .take(5)
        .map(|path| format!("`{}`", path.display().to_string().escape_debug()))
        .collect();
    Err(match below.is_empty() {
        true => error.hint("check the path, and that the medium is plugged in and mounted"),
        false => error.hint(format!("there is one in {}", below.join(", "))),
    })
}

impl Examination {
    fn read_root(&mut self, trust: &Trust, scope: Scope, unproven: UnsignedPolicy) -> Result<()> {
        if self.unfinished {
            let message = "the export was not finished: run the same export command again";
            let finding = Finding::new(FindingKind::Unfinished, message);
            self.findings.push(finding.in_file(names::PLAN));
        }
        let Some(manifest) = self.read_manifest(trust, scope, unproven)? else {
            return Ok(());
        };
        self.read_inventory(&manifest)?;
        if !manifest.complete {
            let message = "INCOMPLETE: images are missing, as the exporter recorded";
            let images = self
                .inventory
                .iter()
                .flat_map(|inventory| &inventory.images);
            let missing = images.filter(|image| !image.is_whole());
            let missing = missing.map(|image| image.requested.to_string());
            let malformed = self.inventory.iter().flat_map(Inventory::malformed);
            let malformed = malformed.map(|(catalog, bad)| format!("{catalog}: {bad}"));
            let finding = Finding::new(FindingKind::Incomplete, message);
            self.findings
                .push(finding.hitting(missing.chain(malformed).collect()));
        }
        self.manifest = Some(manifest);
        Ok(())
    }

    /// Steps 1 to 3: reads the manifest's bytes, checks who signed them, and only then decodes
    /// them.
    fn read_manifest(
        &mut self,
        trust: &Trust,
        scope: Scope,
        unproven: UnsignedPolicy,
    ) -> Result<Option<BundleManifest>> {
        let media = Arc::clone(&self.media);
        let bytes = match media.read(names::MANIFEST, Limits::MANIFEST) {
            Ok(bytes) => bytes,
            // An export writes the manifest last: while unfinished, its absence is no damage.
            Err(error) if self.unfinished && error.is_not_found() => return Ok(None),
            Err(error) => {
                self.findings.push(unreadable(names::MANIFEST, &error));
                return Ok(None);
            }
        };
        let id = BundleId::new(sha256(&bytes));
        self.id = Some(id);
        self.authentication = trust.authenticate(media.as_ref(), &bytes)?;
        self.findings.append(&mut self.authentication.findings);
        let is_vouched_for = self.authentication.is_authenticated();
        self.stopped = !is_vouched_for && unproven != UnsignedPolicy::GoOn;
        // A manifest that a statement vouches for is right: then SHA256SUMS is what was changed.
        let may_compare = !self.stopped || unproven == UnsignedPolicy::Report;
        if scope == Scope::Everything && !is_vouched_for && may_compare {
            self.compare_with_sums(&id);
        }
        if self.stopped {
            return Ok(None);
        }
        let manifest = match bundle::decode_manifest(&bytes) {
            Ok(manifest) => manifest,
            Err(error) => {
                self.malformed(names::MANIFEST, &error);
                return Ok(None);
            }
        };
        drop(bytes);
        let texts = Texts::new(&id, &manifest);
        self.authentication
            .check_fields(&manifest, &texts.sums, &mut self.findings);
        if scope == Scope::Everything {
            self.compare_text(names::SUMS, Limits::SUMS, &texts.sums)?;
            self.compare_text(names::LABEL, Limits::LABEL, &texts.label)?;
        }
        Ok(Some(manifest))
    }

    /// Compares the manifest with its line in `SHA256SUMS`. Since all other files are checked
    /// against the manifest, a damaged manifest makes them all look wrong; this finding names the
    /// cause.
    fn compare_with_sums(&mut self, id: &BundleId) {
        let Ok(sums) = self.media.read(names::SUMS, Limits::SUMS) else {
            return;
        };
        let ending = format!("  {}", names::MANIFEST);
        let mut lines = sums.split(|byte| *byte == b'\n');
        let named = lines.find_map(|line| line.strip_suffix(ending.as_bytes()));
        if named.is_some_and(|hash| hash != id.hex().as_bytes()) {
            let message = "its SHA-256 is not the one that SHA256SUMS names";
            let finding = Finding::new(FindingKind::WrongHash, message);
            self.findings.push(finding.in_file(names::MANIFEST));
        }
    }

    fn read_inventory(&mut self, manifest: &BundleManifest) -> Result<()> {
        let Some(bytes) = self.read(names::INVENTORY, Limits::INVENTORY)? else {
            return Ok(());
        };
        if bytes.len() as u64 != manifest.inventory.length {
            let message = format!(
                "it has {} bytes, the manifest says {}",
                bytes.len(),
                manifest.inventory.length
            );
            let finding = Finding::new(FindingKind::WrongLength, message);
            self.findings.push(finding.in_file(names::INVENTORY));
            return Ok(());
        }
        match bundle::open_inventory(bytes, manifest) {
            Ok(inventory) => self.inventory = Some(inventory),
            Err(DocumentError::NotNamed { what }) => {
                let message = format!("its {what} is not the one that the manifest names");
                let finding = Finding::new(FindingKind::WrongHash, message);
                self.findings.push(finding.in_file(names::INVENTORY));
            }
            Err(error) => self.malformed(names::INVENTORY, &error),
        }
        Ok(())
    }

    /// Reads a whole file; a failure becomes a finding.
    fn read(&mut self, path: &str, cap: u64) -> Result<Option<Vec<u8>>> {
        match self.media.read(path, cap) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => {
                self.findings.push(unreadable(path, &error));
                Ok(None)
            }
        }
    }

    fn malformed(&mut self, file: &str, error: &(dyn std::error::Error + 'static)) {
        self.findings
            .push(Finding::new(FindingKind::Malformed, chain(error)).in_file(file));
    }

    fn compare_text(&mut self, file: &str, cap: u64, expected: &str) -> Result<()> {
        if self
            .read(file, cap)?
            .is_some_and(|found| found != expected.as_bytes())
        {
            let message = "it was changed: it differs from what the manifest implies";
            self.findings
                .push(Finding::new(FindingKind::WrongHash, message).in_file(file));
        }
        Ok(())
    }

    /// Compares the files in the directory with those that should be there.
    fn look_at_files(&mut self) {
        let chunks = self.manifest.iter().flat_map(|manifest| &manifest.chunks);
        let mut expected: BTreeMap<String, &ChunkEntry> =
            chunks.map(|chunk| (chunk.path(), chunk)).collect();
        let mut findings = Findings::default();
        let mut damaged = Vec::new();
        let mut foreign = ForeignFiles::default();
        for entry in &self.entries {
            match (expected.remove(&entry.path), entry.kind) {
                (Some(chunk), EntryKind::File(found)) if found == chunk.length => {}
                (Some(chunk), EntryKind::File(found)) => {
                    let length = chunk.length;
                    let message = format!("it has {found} bytes, the manifest says {length}");
                    damaged.push((chunk, FindingKind::WrongLength, message));
                }
                (Some(chunk), _) => {
                    let message = "it is not a regular file".to_owned();
                    damaged.push((chunk, FindingKind::MissingFile, message));
                }
                (None, EntryKind::File(_) | EntryKind::Other) if entry.path == names::CHUNKS => {
                    let finding = Finding::new(FindingKind::MissingFile, "it is not a directory");
                    findings.add(finding.in_file(names::CHUNKS));
                }
                (None, _) if self.is_known(entry) => {}
                (None, _) => foreign.add(entry, self.weights.get(&entry.path)),
            }
        }
        for chunk in expected.into_values() {
            let message = "it is missing".to_owned();
            damaged.push((chunk, FindingKind::MissingFile, message));
        }
        let hits = self.inventory.as_ref().map(AffectedImages::new);
        for (chunk, kind, message) in damaged {
            findings.add_with(kind, || {
                let hit = hits.as_ref().map(|hits| hits.chunk(chunk.number));
                let finding = Finding::new(kind, message).in_file(chunk.path());
                finding.hitting(hit.unwrap_or_default())
            });
        }
        self.findings.extend(foreign.into_findings());
        self.findings.extend(findings.into_vec());
    }

    /// Returns true if an entry, which is no chunk of the manifest, belongs in the directory.
    fn is_known(&self, entry: &Entry) -> bool {
        let path = entry.path.as_str();
        let known = match entry.kind {
            EntryKind::Directory => match path {
                names::CHUNKS | names::SIGNATURES => true,
                names::MADE => self.unfinished,
                _ => false,
            },
            // The authentication reports a `signatures` that is no directory.
            _ if path == names::SIGNATURES => true,
            EntryKind::Other => false,
            EntryKind::File(_) => self.owner(path) != Owner::Nobody,
        };
        // Without a manifest it is not known which chunks belong here.
        known || (self.manifest.is_none() && path.starts_with("chunks/"))
    }

    /// Returns the owner of a file that is no chunk.
    pub(crate) fn owner(&self, path: &str) -> Owner {
        match path {
            names::MANIFEST | names::INVENTORY | names::LABEL | names::SUMS => Owner::Document,
            _ if self.unfinished && is_left_over(path) => Owner::Document,
            _ if self.authentication.knows_file(path) => Owner::Statement,
            _ => Owner::Nobody,
        }
    }

    /// Turns the examination into a bundle that a command can act on. All failures become one
    /// error, except those of the `waived` kinds.
    pub(crate) fn into_bundle(self, waived: &[FindingKind]) -> Result<Bundle> {
        let (failures, notes): (Vec<_>, Vec<_>) = self
            .findings
            .into_iter()
            .partition(|f| f.kind.class().is_some() && !waived.contains(&f.kind));
        if let Some(error) = as_error("The bundle cannot be used:", &failures) {
            return Err(add_hints(error, &failures));
        }
        match (self.id, self.manifest, self.inventory) {
            (Some(id), Some(manifest), Some(inventory)) => Ok(Bundle {
                media: self.media,
                id,
                manifest,
                inventory,
                authentication: self.authentication,
                notes,
            }),
            _ => Err(Error::new(
                Class::VerificationFailed,
                "Parts of the bundle could not be read",
            )),
        }
    }
}

/// Adds the hints of findings to an error.
pub(crate) fn add_hints(mut error: Error, findings: &[Finding]) -> Error {
    for finding in findings {
        if let Some(hint) = finding.hint {
            error = error.hint(hint);
        }
    }
    let kinds: Vec<FindingKind> = findings.iter().map(|finding| finding.kind).collect();
    if kinds.contains(&FindingKind::Incomplete) {
        error = error.hint("--allow-incomplete continues with the images that are complete");
    }
    if kinds.contains(&FindingKind::Unfinished) {
        error = error.hint("run the export command again where the bundle was made");
    }
    error
}

/// Returns the finding for a file that cannot be read.
pub(crate) fn unreadable(path: &str, error: &FileError) -> Finding {
    let (kind, message) = if error.is_not_found() {
        (FindingKind::MissingFile, "it is missing".to_owned())
    } else if error.is_not_regular() {
        (
            FindingKind::MissingFile,
            "it is not a regular file".to_owned(),
        )
    } else if let Some(refusal) = error.refusal().filter(|_| error.is_too_long()) {
        // The medium is readable; but no file of a bundle is this long.
        (FindingKind::WrongLength, refusal.to_string())
    } else {
        (FindingKind::Unreadable, chain(error))
    };
    Finding::new(kind, message).in_file(path)
}
