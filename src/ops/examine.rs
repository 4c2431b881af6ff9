//! Reads a bundle from its root inwards, and says how far that went
//! (bundle-format.md, section 10, steps 1 to 5).
//!
//! Nothing is interpreted before the step that authenticates it. What is wrong is collected, so
//! that a person learns everything at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::error::{Class, Error, Result, chain};
use super::finding::{Finding, FindingKind, as_error};
use super::hits::Hits;
use super::trust::{Authentication, Trust};
use crate::format::bundle;
use crate::format::hash::sha256;
use crate::format::texts::Texts;
use crate::model::{BundleId, BundleManifest, ChunkEntry, Inventory, Limits};
use crate::sys::IoAt;
use crate::sys::media::{DirMedia, Entry, EntryKind, Media};

/// Names in a bundle's directory.
pub(crate) mod names {
    /// The root.
    pub(crate) const MANIFEST: &str = "manifest.cbor";
    /// What is in the bundle.
    pub(crate) const INVENTORY: &str = "inventory.cbor";
    /// For people.
    pub(crate) const LABEL: &str = "LABEL.txt";
    /// For `sha256sum -c`.
    pub(crate) const SUMS: &str = "SHA256SUMS";
    /// The plan of an unfinished bundle.
    pub(crate) const PLAN: &str = "export.plan";
    /// The statement on the plan.
    pub(crate) const PLAN_STATEMENT: &str = "export.plan.statement";
    /// Its signature.
    pub(crate) const PLAN_SIGNATURE: &str = "export.plan.sig";
    /// What was made for an unfinished export and no registry has.
    pub(crate) const MADE: &str = "export.made";
    /// What is special to one medium.
    pub(crate) const VOLUME: &str = "VOLUME.txt";
    /// Directory of chunks.
    pub(crate) const CHUNKS: &str = "chunks";
    /// Directory of statements.
    pub(crate) const SIGNATURES: &str = "signatures";

    /// Whether a path is one of a blob in [`MADE`], or of one that is being written.
    pub(crate) fn is_made(path: &str) -> bool {
        let name = path
            .strip_prefix(MADE)
            .and_then(|rest| rest.strip_prefix("/sha256-"));
        let hex = name.map(|name| name.strip_suffix(".tmp").unwrap_or(name));
        hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }
}

/// A bundle as far as it could be read.
pub(super) struct Examination {
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
pub(super) enum Scope {
    /// All of it.
    Everything,
    /// Manifest, inventory and statements: what a copy of a base consists of.
    Documents,
}

/// What a person accepts of a bundle that is acted on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accepted {
    /// That no trusted key has signed it.
    pub(super) unsigned: bool,
    /// That some of its images are not whole.
    pub(super) incomplete: bool,
}

/// Opens the bundle in a directory to act on it.
pub(super) fn open(
    directory: &Path,
    trust: &Trust,
    accepted: Accepted,
    scope: Scope,
) -> Result<Bundle> {
    let media = Arc::new(DirMedia::open(directory)?);
    let mut waived = Vec::new();
    if accepted.incomplete {
        waived.push(FindingKind::Incomplete);
    }
    if accepted.unsigned {
        waived.push(FindingKind::NotAuthenticated);
    }
    examine(media, trust, scope)?.into_bundle(&waived)
}

/// Reads root, statements, inventory and texts, and looks at all files' lengths.
pub(super) fn examine(media: Arc<dyn Media>, trust: &Trust, scope: Scope) -> Result<Examination> {
    let mut examination = Examination {
        media: Arc::clone(&media),
        id: None,
        manifest: None,
        inventory: None,
        authentication: Authentication::default(),
        findings: Vec::new(),
    };
    refuse_other_directories(media.as_ref())?;
    examination.read_root(trust, scope)?;
    if scope == Scope::Everything {
        examination.look_at_files()?;
    }
    examination.findings.sort();
    Ok(examination)
}

/// Says of a directory that holds nothing of a bundle's that it was named by mistake: a bundle
/// that lost all of it is no less refused.
fn refuse_other_directories(media: &dyn Media) -> Result<()> {
    let entries = media.list()?;
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
    fn read_root(&mut self, trust: &Trust, scope: Scope) -> Result<()> {
        let media = Arc::clone(&self.media);
        let unfinished = media
            .read_if_present(names::PLAN, Limits::PLAN)
            .map_or(true, |plan| plan.is_some());
        if unfinished {
            let message = "the export was not finished: run the same export command again";
            let finding = Finding::new(FindingKind::Unfinished, message);
            self.findings.push(finding.in_file(names::PLAN));
        }
        let bytes = match media.read(names::MANIFEST, Limits::MANIFEST) {
            Ok(bytes) => bytes,
            // An export writes it last: that it is not there yet is no damage.
            Err(error) if unfinished && error.is_not_found() => return Ok(()),
            Err(error) => {
                self.findings.push(unreadable(names::MANIFEST, &error));
                return Ok(());
            }
        };
        let id = sha256(&bytes);
        self.id = Some(id);
        if scope == Scope::Everything {
            self.compare_with_sums(&id);
        }
        self.authentication = trust.authenticate(media.as_ref(), &bytes)?;
        self.findings.append(&mut self.authentication.findings);

        let manifest = match bundle::decode_manifest(&bytes) {
            Ok(manifest) => manifest,
            Err(error) => {
                self.malformed(names::MANIFEST, &error);
                return Ok(());
            }
        };
        let texts = Texts::new(&id, &manifest);
        self.authentication
            .check_fields(&manifest, &texts.sums, &mut self.findings);
        if scope == Scope::Everything {
            self.compare_text(names::SUMS, Limits::SUMS, &texts.sums)?;
            self.compare_text(names::LABEL, Limits::LABEL, &texts.label)?;
        }
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
                .push(finding.hitting(missing.chain(malformed)));
        }
        self.manifest = Some(manifest);
        Ok(())
    }

    /// Compares the manifest with the line of `SHA256SUMS` about it. Both follow from the
    /// manifest, so a damaged one blames all others; this says where to look.
    fn compare_with_sums(&mut self, id: &BundleId) {
        let Ok(sums) = self.media.read(names::SUMS, Limits::SUMS) else {
            return;
        };
        let sums = String::from_utf8_lossy(&sums);
        let mut lines = sums.lines().filter_map(|line| line.split_once("  "));
        let named = lines.find(|(_, path)| *path == names::MANIFEST);
        if named.is_some_and(|(hash, _)| hash != id.hex()) {
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
        } else if sha256(&bytes) != manifest.inventory.sha256 {
            let message = "its SHA-256 is not the one that the manifest names";
            let finding = Finding::new(FindingKind::WrongHash, message);
            self.findings.push(finding.in_file(names::INVENTORY));
        } else {
            match bundle::decode_inventory(&bytes, manifest) {
                Ok(inventory) => self.inventory = Some(inventory),
                Err(error) => self.malformed(names::INVENTORY, &error),
            }
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
    fn look_at_files(&mut self) -> Result<()> {
        let chunks = self.manifest.iter().flat_map(|manifest| &manifest.chunks);
        let mut expected: BTreeMap<String, &ChunkEntry> =
            chunks.map(|chunk| (chunk.path(), chunk)).collect();
        let mut findings = Vec::new();
        let mut damaged = Vec::new();
        for entry in self.media.list()? {
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
                (None, _) => findings.extend(self.judge_entry(entry)),
            }
        }
        for chunk in expected.into_values() {
            let message = "it is missing".to_owned();
            damaged.push((chunk, FindingKind::MissingFile, message));
        }
        let hits = self.inventory.as_ref().map(Hits::new);
        for (chunk, kind, message) in damaged {
            let hit = hits.as_ref().map(|hits| hits.chunk(chunk.number));
            let finding = Finding::new(kind, message).in_file(chunk.path());
            findings.push(finding.hitting(hit.unwrap_or_default()));
        }
        self.findings.append(&mut findings);
        Ok(())
    }

    /// What is to be said of something in the directory that is no chunk of the manifest's.
    fn judge_entry(&self, entry: Entry) -> Option<Finding> {
        let known = match entry.kind {
            EntryKind::Directory => {
                matches!(
                    &*entry.path,
                    names::CHUNKS | names::SIGNATURES | names::MADE
                )
            }
            // Of signatures the authentication says so.
            _ if entry.path == names::SIGNATURES => true,
            _ if entry.path == names::CHUNKS => {
                let finding = Finding::new(FindingKind::MissingFile, "it is no directory");
                return Some(finding.in_file(entry.path));
            }
            EntryKind::Other => false,
            EntryKind::File(_) => self.owner(&entry.path) != Owner::Nobody,
        };
        // Without a manifest nobody knows which chunks belong here.
        let unjudged = self.manifest.is_none() && entry.path.starts_with("chunks/");
        if known || unjudged {
            return None;
        }
        let (kind, message) = if is_system_file(&entry.path) {
            (FindingKind::SystemFile, "left by an operating system")
        } else {
            (FindingKind::ForeignFile, "it does not belong to the bundle")
        };
        Some(Finding::new(kind, message).in_file(entry.path))
    }

    /// What a file that is no chunk belongs to.
    pub(crate) fn owner(&self, path: &str) -> Owner {
        match path {
            names::MANIFEST
            | names::INVENTORY
            | names::LABEL
            | names::SUMS
            | names::VOLUME
            | names::PLAN
            | names::PLAN_STATEMENT
            | names::PLAN_SIGNATURE
            | crate::sys::journal::PATH => Owner::Document,
            _ if names::is_made(path) => Owner::Document,
            _ if self.authentication.knows_file(path) => Owner::Statement,
            _ => Owner::Nobody,
        }
    }

    /// Turns the examination into a bundle to act on: every failure is an error, all of them
    /// together. `waived` are kinds that the person chose to accept.
    pub(super) fn into_bundle(self, waived: &[FindingKind]) -> Result<Bundle> {
        let (failures, notes): (Vec<_>, Vec<_>) = self
            .findings
            .into_iter()
            .partition(|f| f.kind.class().is_some() && !waived.contains(&f.kind));
        if let Some(error) = as_error("The bundle cannot be used:", &failures) {
            let kinds: Vec<FindingKind> = failures.iter().map(|finding| finding.kind).collect();
            return Err(add_hints(error, &kinds));
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
pub(super) fn add_hints(mut error: Error, kinds: &[FindingKind]) -> Error {
    if kinds.contains(&FindingKind::NotAuthenticated) {
        error = error.hint(
            "name the maker's public key with --trust; it must have reached you another way than \
             the medium",
        );
    }
    if kinds.contains(&FindingKind::Incomplete) {
        error = error.hint("--allow-incomplete goes on with the images that are whole");
    }
    if kinds.contains(&FindingKind::Unfinished) {
        error = error.hint("run the export command again where the bundle was made");
    }
    error
}

/// What it means that a file cannot be read.
pub(super) fn unreadable(path: &str, error: &IoAt) -> Finding {
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

/// Whether a name is one that operating systems leave on media (bundle-format.md, R-06).
fn is_system_file(path: &str) -> bool {
    path.split('/').any(|name| {
        name.starts_with("._")
            || name.starts_with(".Trash")
            || matches!(
                name,
                "System Volume Information"
                    | "$RECYCLE.BIN"
                    | ".Spotlight-V100"
                    | ".fseventsd"
                    | "lost+found"
                    | ".DS_Store"
                    | "Thumbs.db"
                    | "desktop.ini"
            )
    })
}
