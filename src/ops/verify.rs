//! `airferry verify`: is every byte what a trusted person says it is?
//!
//! Reports everything that is wrong, not the first thing. Reads every chunk once, from its start
//! to its end, with as many threads as there are cores.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::context::Context;
use super::release::ReleaseLine;
use super::release::proof::{self, ReleaseKeys, ReleaseProof};
use crate::bundle::finding::{Finding, FindingKind, worst};
use crate::bundle::open::{Bundle, Scope, Unproven, examine};
use crate::bundle::trust::Trust;
use crate::bundle::verify::{Accounting, check_content, count_bytes};
use crate::error::{Class, Error, Result};
use crate::model::{
    BlobEntry, BlobPlace, BundleId, ImageEntry, Inventory, MalformedImage, NeededBy, Reference,
};
use crate::sys::media::{DirMedia, Media};

/// What `airferry verify` is asked for.
#[derive(Debug)]
pub struct Request {
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Whom to trust.
    pub trust: Trust,
    /// Accept that no trusted key has signed.
    pub allow_unsigned: bool,
    /// Accept that images are missing.
    pub allow_incomplete: bool,
    /// Foreign files are a failure.
    pub strict: bool,
    /// Whose word counts for releases.
    pub release_keys: ReleaseKeys,
    /// Accept releases that have no signatures.
    pub allow_unsigned_release: bool,
    /// Threads; all cores when absent.
    pub jobs: Option<usize>,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The bundle; absent when it has no manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleId>,
    /// Whether a trusted exporter approves it.
    pub authenticated: bool,
    /// Statements under trusted keys.
    pub signers: Vec<SignerLine>,
    /// Names of statements that anybody may have put there.
    pub claimed: Vec<String>,
    /// Names of statements on other manifests than this one: those of earlier generations, or
    /// anybody's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_generations: Vec<String>,
    /// Whether nothing was read beyond the statements, because none of the trusted keys has
    /// signed.
    pub stopped: bool,
    /// Whether the export that makes it has not ended yet.
    pub unfinished: bool,
    /// Whether every byte is what it should be; absent when that was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intact: Option<bool>,
    /// Whether every image is whole; absent when nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
    /// Releases among the images. What is known of their signatures is in
    /// `release_proofs`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<ReleaseLine>,
    /// Who vouches for the releases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub release_proofs: Vec<ReleaseProof>,
    /// Number of images.
    pub images: usize,
    /// Number of images of which it is unknown whether all that is attached to them is carried.
    #[serde(skip_serializing_if = "crate::model::is_zero")]
    pub attachments_unknown: usize,
    /// Images that are not whole, as the manifest says.
    pub missing: Vec<MissingImage>,
    /// Texts that catalogs name as images and that are no references: nothing is carried for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub malformed: Vec<MalformedImage>,
    /// Number of blobs that are carried.
    pub blobs: usize,
    /// Where every byte belongs.
    pub bytes: Accounting,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    #[serde(skip)]
    strict: bool,
    #[serde(skip)]
    waived: Vec<FindingKind>,
}

/// An image that is not whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingImage {
    /// The reference as asked for.
    pub reference: Reference,
    /// Why it is not whole.
    pub problem: String,
    /// The catalogs' bundles that need it, of many the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<NeededBy>,
}

impl MissingImage {
    fn of(image: &ImageEntry, inventory: &Inventory) -> Option<Self> {
        Some(Self {
            reference: image.requested.clone(),
            problem: image.problem.clone()?,
            needed_by: inventory.needed_by(&image.requested),
        })
    }
}

/// A statement under a trusted key.
#[derive(Debug, Clone, Serialize)]
pub struct SignerLine {
    /// The key's fingerprint, in hexadecimal.
    pub key: String,
    /// In which capacity.
    pub role: String,
    /// What it says.
    pub approves: bool,
    /// Whether it has expired, and counts for nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// One line for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl Report {
    /// Whether an import with the same arguments would take the releases.
    pub fn releases_accepted(&self) -> bool {
        let refused = |finding: &Finding| {
            is_about_release(&finding.kind) && !self.waived.contains(&finding.kind)
        };
        !self.findings.iter().any(refused)
    }

    /// The failure that the findings mean; `None` when all is well.
    pub fn failure(&self) -> Option<Error> {
        let counted: Vec<Finding> = self
            .findings
            .iter()
            .filter(|f| !self.waived.contains(&f.kind))
            .cloned()
            .collect();
        let foreign = || {
            let is_foreign = |finding: &Finding| finding.kind == FindingKind::ForeignFile;
            (self.strict && counted.iter().any(is_foreign)).then_some(Class::Foreign)
        };
        // Nothing is left open for who is strict.
        let not_compared = || {
            let is_it = |finding: &Finding| finding.kind == FindingKind::ReleaseNotCompared;
            (self.strict && counted.iter().any(is_it)).then_some(Class::NotAuthenticated)
        };
        let class = worst(&counted).or_else(not_compared).or_else(foreign)?;
        let kinds: Vec<FindingKind> = counted.iter().map(|finding| finding.kind).collect();
        let what = match class {
            Class::NotAuthenticated
                if !kinds.contains(&FindingKind::NotAuthenticated)
                    && kinds.iter().any(is_about_release) =>
            {
                "A release in this bundle is not known to be genuine"
            }
            Class::NotAuthenticated if !kinds.contains(&FindingKind::NotAuthenticated) => {
                "A release in this bundle could not be compared with its image"
            }
            Class::NotAuthenticated => "NOT AUTHENTICATED",
            Class::Incomplete if self.unfinished => "The export was not finished",
            Class::Incomplete => "The bundle is incomplete",
            Class::Foreign => "There are foreign files",
            Class::Media => "The medium cannot be read",
            _ if kinds.contains(&FindingKind::Rejected) && self.intact != Some(false) => {
                "A key that is trusted rejects this bundle"
            }
            _ if kinds.contains(&FindingKind::BadStatement) && self.intact != Some(false) => {
                "A statement under a trusted key's name is not right"
            }
            _ => "The bundle is damaged or was tampered with",
        };
        Some(crate::bundle::open::add_hints(
            Error::new(class, what),
            &counted,
        ))
    }
}

fn is_about_release(kind: &FindingKind) -> bool {
    matches!(
        kind,
        FindingKind::UnsignedRelease
            | FindingKind::ReleaseKeysUnknown
            | FindingKind::ReleaseNotGenuine
    )
}

/// Verifies a bundle.
pub fn verify(request: &Request, context: &Context) -> Result<Report> {
    let media: Arc<dyn Media> = Arc::new(DirMedia::open(&request.bundle)?);
    let unproven = Unproven::reported(&request.trust, request.allow_unsigned);
    let trust = &request.trust;
    let mut examination = examine(Arc::clone(&media), trust, Scope::Everything, unproven)?;
    let stopped = examination.stopped;
    let bytes = count_bytes(&examination);
    let mut findings = std::mem::take(&mut examination.findings);
    let authentication = examination.authentication.clone();
    let (id, complete) = (
        examination.id,
        examination
            .manifest
            .as_ref()
            .map(|manifest| manifest.complete),
    );
    let (mut images, mut blobs, mut attachments_unknown) = (0, 0, 0);
    let (mut releases, mut missing) = (Vec::new(), Vec::new());
    let mut malformed: Vec<MalformedImage> = Vec::new();
    let mut release_proofs = Vec::new();
    if let (Some(id), Some(manifest), Some(inventory)) =
        (examination.id, examination.manifest, examination.inventory)
    {
        images = inventory.images.len();
        let unknown = inventory.images.iter().filter(|image| image.is_unknown());
        attachments_unknown = unknown.count();
        blobs = carried(&inventory);
        releases = ReleaseLine::all(&inventory);
        let lacking = inventory.images.iter();
        missing.extend(lacking.filter_map(|image| MissingImage::of(image, &inventory)));
        malformed.extend(inventory.malformed().map(|(_, row)| row.clone()));
        let authentication = examination.authentication;
        let notes = Vec::new();
        let bundle = Arc::new(Bundle {
            media: Arc::clone(&media),
            id,
            manifest,
            inventory,
            authentication,
            notes,
        });
        findings.extend(check_content(
            &bundle,
            request.jobs,
            context.progress.as_ref(),
            &|| context.cancel.is_cancelled(),
        )?);
        // Why a release cannot be read is known by now, if the medium or a chunk is bad.
        match proof::judge_bundle(&bundle, &request.release_keys, context) {
            Ok(proofs) => release_proofs = proofs,
            Err(error) if worst(&findings).is_some_and(|known| known >= error.class()) => {}
            Err(error) => return Err(error),
        }
        findings.extend(proof::findings(&release_proofs));
    }
    findings.sort();
    findings.dedup();
    let harmless = |finding: &Finding| {
        matches!(
            finding.kind,
            FindingKind::ForeignFile
                | FindingKind::SystemFile
                | FindingKind::Incomplete
                | FindingKind::NotAuthenticated
                | FindingKind::Expired
                | FindingKind::Rejected
                | FindingKind::BadStatement
                | FindingKind::UnsignedRelease
                | FindingKind::ReleaseKeysUnknown
                | FindingKind::ReleaseNotCompared
                | FindingKind::ReleaseNotGenuine
        )
    };
    let mut waived = Vec::new();
    if request.allow_unsigned {
        waived.push(FindingKind::NotAuthenticated);
    }
    if request.allow_incomplete {
        waived.push(FindingKind::Incomplete);
    }
    if request.allow_unsigned_release {
        waived.push(FindingKind::UnsignedRelease);
    }
    Ok(Report {
        bundle: id,
        authenticated: authentication.is_authenticated(),
        signers: authentication.vouched.iter().map(signer).collect(),
        claimed: authentication
            .claimed
            .iter()
            .map(ToString::to_string)
            .collect(),
        other_generations: authentication
            .other_generations
            .iter()
            .map(ToString::to_string)
            .collect(),
        unfinished: findings.iter().any(|f| f.kind == FindingKind::Unfinished),
        // What was found wrong is wrong, however much else was not looked at.
        intact: match findings.iter().all(harmless) {
            true if stopped => None,
            intact => Some(intact),
        },
        stopped,
        complete,
        release_proofs,
        releases,
        images,
        attachments_unknown,
        missing,
        malformed,
        blobs,
        bytes,
        findings,
        strict: request.strict,
        waived,
    })
}

fn signer(vouched: &crate::bundle::trust::Vouched) -> SignerLine {
    let statement = &vouched.statement;
    SignerLine {
        key: statement.key.hex(),
        role: statement.role.to_string(),
        approves: statement.verdict == crate::model::Verdict::Approve,
        expired: vouched.expired,
        comment: statement
            .comment
            .as_ref()
            .map(|comment| comment.as_str().to_owned()),
    }
}

fn carried(inventory: &Inventory) -> usize {
    let is_carried = |blob: &&BlobEntry| matches!(blob.place, BlobPlace::Carried(_));
    inventory.blobs.iter().filter(is_carried).count()
}
