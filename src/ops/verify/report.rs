//! The report of a verification.

use serde::Serialize;

use crate::bundle::finding::{Finding, FindingKind, worst};
use crate::bundle::open::add_hints;
use crate::bundle::trust::Vouched;
use crate::bundle::verify::Accounting;
use crate::error::{Class, Error};
use crate::model::{
    BundleId, ImageEntry, Inventory, LeftOut, MalformedImage, NeededBy, Reference, Verdict,
};
use crate::ops::release::ReleaseLine;
use crate::ops::release::proof::ReleaseProof;

/// Report of `airferry verify`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Id of the bundle; absent if it has no manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleId>,
    /// True if a trusted exporter approves it.
    pub authenticated: bool,
    /// Statements under trusted keys.
    pub signers: Vec<TrustedSigner>,
    /// Names of statements that no trusted key verifies; anyone could have put them there.
    pub claimed: Vec<String>,
    /// Names of statements on other manifests than this one: those of earlier generations, or of
    /// unknown origin.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_generations: Vec<String>,
    /// True if nothing was read beyond the statements, because no trusted key signed the bundle.
    pub stopped: bool,
    /// True if its export has not finished.
    pub unfinished: bool,
    /// True if every byte is as expected; absent if that was not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intact: Option<bool>,
    /// True if every image is complete; absent if the manifest could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
    /// Releases among the images; `release_proofs` has the judgements about their signatures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<ReleaseLine>,
    /// Judgements about the releases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub release_proofs: Vec<ReleaseProof>,
    /// Number of images.
    pub images: usize,
    /// Number of images whose attached artifacts are not fully known.
    #[serde(skip_serializing_if = "crate::model::is_zero")]
    pub attachments_unknown: usize,
    /// Incomplete images, according to the inventory.
    pub missing: Vec<MissingImage>,
    /// Strings in place of catalogs' image references that are no references; nothing is carried
    /// for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub malformed: Vec<MalformedImage>,
    /// Images that the exporter left out on purpose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Number of carried blobs.
    pub blobs: usize,
    /// Number of bytes by what they belong to.
    pub bytes: Accounting,
    /// All problems found.
    pub findings: Vec<Finding>,
    #[serde(skip)]
    pub(super) strict: bool,
    #[serde(skip)]
    pub(super) waived: Vec<FindingKind>,
}

/// An incomplete image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingImage {
    /// The reference as requested.
    pub reference: Reference,
    /// Reason why it is incomplete.
    pub problem: String,
    /// The catalog bundles that need it, limited to the first ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<NeededBy>,
}

impl MissingImage {
    pub(super) fn of(image: &ImageEntry, inventory: &Inventory) -> Option<Self> {
        Some(Self {
            reference: image.requested.clone(),
            problem: image.problem.clone()?,
            needed_by: inventory.needed_by(&image.requested),
        })
    }
}

/// A statement under a trusted key.
#[derive(Debug, Clone, Serialize)]
pub struct TrustedSigner {
    /// The key's fingerprint, in hexadecimal.
    pub key: String,
    /// Role of the signer.
    pub role: String,
    /// True if it approves the bundle, false if it rejects it.
    pub approves: bool,
    /// True if it has expired, and so has no effect.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// Comment in one line, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl Report {
    /// True if an import with the same arguments would accept the releases.
    pub fn releases_accepted(&self) -> bool {
        let refused = |finding: &Finding| {
            is_about_release(&finding.kind) && !self.waived.contains(&finding.kind)
        };
        !self.findings.iter().any(refused)
    }

    /// Returns the error for the findings; `None` if none of them is a failure.
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
        // With `--strict`, a release that was not compared is a failure.
        let not_compared = || {
            let is_it = |finding: &Finding| finding.kind == FindingKind::ReleaseNotCompared;
            (self.strict && counted.iter().any(is_it)).then_some(Class::NotAuthenticated)
        };
        let class = worst(&counted).or_else(not_compared).or_else(foreign)?;
        let kinds: Vec<FindingKind> = counted.iter().map(|finding| finding.kind).collect();
        let mut failed = kinds.clone();
        failed.retain(|kind| kind.class() == Some(class));
        let what = match class {
            Class::NotAuthenticated
                if !kinds.contains(&FindingKind::NotAuthenticated)
                    && kinds.iter().any(is_about_release) =>
            {
                "A release in this bundle is not signed by a trusted key, or differs from its \
                 signed image"
            }
            Class::NotAuthenticated if !kinds.contains(&FindingKind::NotAuthenticated) => {
                "A release in this bundle could not be compared with its image"
            }
            Class::NotAuthenticated => counted
                .iter()
                .find(|finding| finding.kind == FindingKind::NotAuthenticated)
                .map_or("NOT AUTHENTICATED", |finding| &finding.message),
            Class::Incomplete if self.unfinished => "The export was not finished",
            Class::Incomplete => "The bundle is incomplete",
            Class::Foreign => "There are files that do not belong to the bundle",
            Class::Media => "The medium cannot be read",
            _ if kinds.contains(&FindingKind::Rejected) && self.intact != Some(false) => {
                "A statement by a trusted key rejects this bundle"
            }
            _ if kinds.contains(&FindingKind::BadStatement) && self.intact != Some(false) => {
                "A statement in a trusted key's name is not valid"
            }
            _ if failed.iter().all(|kind| *kind == FindingKind::MissingFile) => {
                "Files of this bundle are missing"
            }
            _ => "The bundle is damaged or was tampered with",
        };
        Some(add_hints(Error::new(class, what), &counted))
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

impl TrustedSigner {
    pub(super) fn of(vouched: &Vouched) -> Self {
        let statement = &vouched.statement;
        Self {
            key: statement.key.hex(),
            role: statement.role.to_string(),
            approves: statement.verdict == Verdict::Approve,
            expired: vouched.expired,
            comment: statement
                .comment
                .as_ref()
                .map(|comment| comment.as_str().to_owned()),
        }
    }
}
