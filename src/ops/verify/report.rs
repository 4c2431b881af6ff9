//! What a verification found.

use serde::Serialize;

use crate::bundle::finding::{Finding, FindingKind, worst};
use crate::bundle::open::add_hints;
use crate::bundle::trust::Vouched;
use crate::bundle::verify::Accounting;
use crate::error::{Class, Error};
use crate::model::{BundleId, ImageEntry, Inventory, MalformedImage, NeededBy, Reference, Verdict};
use crate::ops::release::ReleaseLine;
use crate::ops::release::proof::ReleaseProof;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The bundle; absent when it has no manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleId>,
    /// Whether a trusted exporter approves it.
    pub authenticated: bool,
    /// Statements under trusted keys.
    pub signers: Vec<TrustedSigner>,
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
    pub(super) strict: bool,
    #[serde(skip)]
    pub(super) waived: Vec<FindingKind>,
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
