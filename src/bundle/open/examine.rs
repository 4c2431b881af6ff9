//! Reads a bundle from its root inwards, and says how far that went
//! (bundle-format.md, section 10, steps 1 to 5).
//!
//! Nothing is interpreted before the step that authenticates it. What is wrong is collected, so
//! that a person learns everything at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::beside::{Beside, is_left_over};
use super::hits::Hits;
use crate::bundle::finding::{Finding, FindingKind, Findings, as_error};
use crate::bundle::names;
use crate::bundle::trust::{Authentication, Trust};
use crate::error::{Class, Error, Result, chain};
use crate::format::hash::sha256;
use crate::format::texts::Texts;
use crate::format::{DocumentError, bundle};
use crate::model::{BundleId, BundleManifest, ChunkEntry, Inventory, Limits};
use crate::sys::IoAt;
use crate::sys::media::{DirMedia, Entry, EntryKind, Media, Weight};

/// A bundle as far as it could be read.
pub(crate) struct Examination {
    /// The medium.
    pub media: Arc<dyn Media>,
    /// SHA-256 of `manifest.cbor`, when it is there.
    pub id: Option<BundleId>,
    /// The root, when it is well-formed.
    pub manifest: Option<BundleManifest>,
    /// What is in it, when it is there, right and well-formed.
    pub inventory: Option<Inventory>,
    /// Who vouches for it.
    pub authentication: Authentication,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// What lies in the bundle's directory and in its own directories there.
    pub entries: Vec<Entry>,
    /// What lies in other directories.
    pub weights: BTreeMap<String, Weight>,
    /// Whether an export here was not finished: its plan is there.
    pub unfinished: bool,
    /// Whether nothing was read beyond the statements, because no trusted key has signed.
    pub stopped: bool,
}

/// A bundle of which everything but the chunks' content was found right.
pub(crate) struct Bundle {
    /// The medium.
    pub media: Arc<dyn Media>,
    /// Its identity.
    pub id: BundleId,
    /// The root.
    pub manifest: BundleManifest,
    /// What is in it.
    pub inventory: Inventory,
    /// Who vouches for it.
    pub authentication: Authentication,
    /// What is worth telling, and no failure.
    pub notes: Vec<Finding>,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What a file in the bundle's directory belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The bundle's documents.
    Document,
    /// A whole pair of statement and signature.
    Statement,
    /// Nothing of the bundle's.
    Nobody,
}

/// How much of a bundle has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of it.
    Everything,
    /// Manifest, inventory and statements: what a copy of a base consists of.
    Documents,
}

/// What to do with a bundle that no trusted key has signed (bundle-format.md, section 10, step 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unproven {
    /// Nothing of it is interpreted.
    Refuse,
    /// Nothing of it is interpreted, but a verifier says whether `manifest.cbor` was changed.
    Report,
    /// It is read all the same: the person was told what that means, or trusts nobody.
    GoOn,
}

impl Unproven {
    /// For who acts on bundles, and was told to accept unsigned ones or not.
    pub(crate) fn accepted(unsigned: bool) -> Self {
        match unsigned {
            true => Self::GoOn,
            false => Self::Refuse,
        }
    }

    /// For who looks at bundles: without a key everything is looked at.
    pub(crate) fn reported(trust: &Trust, unsigned: bool) -> Self {
        match unsigned || trust.exporters.is_empty() {
            true => Self::GoOn,
            false => Self::Report,
        }
    }
}

/// What a person accepts of a bundle that is acted on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waivers {
    /// That no trusted key has signed it.
    pub(crate) unsigned: bool,
    /// That some of its images are not whole.
    pub(crate) incomplete: bool,
}

/// Opens the bundle in a directory to act on it.
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
    let unproven = Unproven::accepted(waivers.unsigned);
    examine(media, trust, scope, unproven)?.into_bundle(&waived)
}

/// Reads root, statements, inventory and texts, and looks at all files' lengths.
pub(crate) fn examine(
    media: Arc<dyn Media>,
    trust: &Trust,
    scope: Scope,
    unproven: Unproven,
) -> Result<Examination> {
    let entries = media.list()?;
    refuse_other_directories(media.as_ref(), &entries)?;
    // Present is enough: nobody reads what an unfinished export says of itself.
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
        examination.weights = media.weigh_others(&names::OWN_DIRECTORIES);
        examination.look_at_files();
    }
    examination.findings.sort();
    Ok(examination)
}

/// Whether something lies in the bundle's directory, or in one of the bundle's own there. What
/// lies in others is counted and not listed.
fn is_in_own_place(entry: &Entry) -> bool {
    match entry.path.split_once('/') {
        Some((directory, _)) => names::OWN_DIRECTORIES.contains(&directory),
        None => true,
    }
}

/// Says of a directory that holds nothing of a bundle's that it was named by mistake: a bundle
/// that lost all of it is no less refused.
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
    fn read_root(&mut self, trust: &Trust, scope: Scope, unproven: Unproven) -> Result<()> {
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
            let message = "some images are missing, and the manifest says so";
            let images = self
                .inventory
                .iter()
                .flat_map(|inventory| &inventory.images);
            let missing = images.filter(|image| image.problem.is_some());
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

    /// Steps 1 to 3: the manifest's bytes, who vouches for them, and only then what they say.
    fn read_manifest(
        &mut self,
        trust: &Trust,
        scope: Scope,
        unproven: Unproven,
    ) -> Result<Option<BundleManifest>> {
        let media = Arc::clone(&self.media);
        let bytes = match media.read(names::MANIFEST, Limits::MANIFEST) {
            Ok(bytes) => bytes,
            // An export writes it last: that it is not there yet is no damage.
            Err(error) if self.unfinished && error.is_not_found() => return Ok(None),
            Err(error) => {
                self.findings.push(unreadable(names::MANIFEST, &error));
                return Ok(None);
            }
        };
        let id = sha256(&bytes);
        self.id = Some(id);
        self.authentication = trust.authenticate(media.as_ref(), &bytes)?;
        self.findings.append(&mut self.authentication.findings);
        let is_vouched_for = self.authentication.is_authenticated();
        self.stopped = !is_vouched_for && unproven != Unproven::GoOn;
        // A manifest that a statement vouches for is right: then SHA256SUMS is what was changed.
        let may_compare = !self.stopped || unproven == Unproven::Report;
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

    /// Compares the manifest with the line of `SHA256SUMS` about it. Both follow from the
    /// manifest, so a damaged one blames all others; this says where to look.
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

    /// Reads a file whole; what prevents it is a finding.
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
            let message = "it is not what follows from the manifest";
            self.findings
                .push(Finding::new(FindingKind::WrongHash, message).in_file(file));
        }
        Ok(())
    }

    /// Compares what lies in the directory with what should lie there.
    fn look_at_files(&mut self) {
        let chunks = self.manifest.iter().flat_map(|manifest| &manifest.chunks);
        let mut expected: BTreeMap<String, &ChunkEntry> =
            chunks.map(|chunk| (chunk.path(), chunk)).collect();
        let mut findings = Findings::default();
        let mut damaged = Vec::new();
        let mut beside = Beside::default();
        for entry in &self.entries {
            match (expected.remove(&entry.path), entry.kind) {
                (Some(chunk), EntryKind::File(found)) if found == chunk.length => {}
                (Some(chunk), EntryKind::File(found)) => {
                    let length = chunk.length;
                    let message = format!("it has {found} bytes, the manifest says {length}");
                    damaged.push((chunk, FindingKind::WrongLength, message));
                }
                (Some(chunk), _) => {
                    let message = "it is no regular file".to_owned();
                    damaged.push((chunk, FindingKind::MissingFile, message));
                }
                (None, EntryKind::File(_) | EntryKind::Other) if entry.path == names::CHUNKS => {
                    let finding = Finding::new(FindingKind::MissingFile, "it is no directory");
                    findings.add(finding.in_file(names::CHUNKS));
                }
                (None, _) if self.is_known(entry) => {}
                (None, _) => beside.add(entry, self.weights.get(&entry.path)),
            }
        }
        for chunk in expected.into_values() {
            let message = "it is missing".to_owned();
            damaged.push((chunk, FindingKind::MissingFile, message));
        }
        let hits = self.inventory.as_ref().map(Hits::new);
        for (chunk, kind, message) in damaged {
            findings.add_with(kind, || {
                let hit = hits.as_ref().map(|hits| hits.chunk(chunk.number));
                let finding = Finding::new(kind, message).in_file(chunk.path());
                finding.hitting(hit.unwrap_or_default())
            });
        }
        self.findings.extend(beside.into_findings());
        self.findings.extend(findings.into_vec());
    }

    /// Whether something in the directory, which is no chunk of the manifest's, has its place
    /// there.
    fn is_known(&self, entry: &Entry) -> bool {
        let path = entry.path.as_str();
        let known = match entry.kind {
            EntryKind::Directory => match path {
                names::CHUNKS | names::SIGNATURES => true,
                names::MADE => self.unfinished,
                _ => false,
            },
            // Of signatures the authentication says so.
            _ if path == names::SIGNATURES => true,
            EntryKind::Other => false,
            EntryKind::File(_) => self.owner(path) != Owner::Nobody,
        };
        // Without a manifest nobody knows which chunks belong here.
        known || (self.manifest.is_none() && path.starts_with("chunks/"))
    }

    /// What a file that is no chunk belongs to.
    pub(crate) fn owner(&self, path: &str) -> Owner {
        match path {
            names::MANIFEST | names::INVENTORY | names::LABEL | names::SUMS => Owner::Document,
            _ if self.unfinished && is_left_over(path) => Owner::Document,
            _ if self.authentication.knows_file(path) => Owner::Statement,
            _ => Owner::Nobody,
        }
    }

    /// Turns the examination into a bundle to act on: every failure is an error, all of them
    /// together. `waived` are kinds that the person chose to accept.
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
                "The bundle could not be read whole",
            )),
        }
    }
}

/// What the person can do about findings.
pub(crate) fn add_hints(mut error: Error, findings: &[Finding]) -> Error {
    for finding in findings {
        if let Some(hint) = finding.hint {
            error = error.hint(hint);
        }
    }
    let kinds: Vec<FindingKind> = findings.iter().map(|finding| finding.kind).collect();
    if kinds.contains(&FindingKind::Incomplete) {
        error = error.hint("--allow-incomplete goes on with the images that are whole");
    }
    if kinds.contains(&FindingKind::Unfinished) {
        error = error.hint("run the export command again where the bundle was made");
    }
    error
}

/// What it means that a file cannot be read.
pub(crate) fn unreadable(path: &str, error: &IoAt) -> Finding {
    let (kind, message) = if error.is_not_found() {
        (FindingKind::MissingFile, "it is missing".to_owned())
    } else if error.is_not_regular() {
        (FindingKind::MissingFile, "it is no regular file".to_owned())
    } else if let Some(refusal) = error.refusal().filter(|_| error.is_too_long()) {
        // The medium reads well; nothing of ours has this length.
        (FindingKind::WrongLength, refusal.to_string())
    } else {
        (FindingKind::Unreadable, chain(error))
    };
    Finding::new(kind, message).in_file(path)
}
