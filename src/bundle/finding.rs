//! Findings: faults of a bundle, each with its file, block and images.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::error::{Class, Error};

/// Number of images that a finding shows in text; JSON has up to [`KEPT`].
const SHOWN: usize = 20;

/// Number of images that a finding lists by name. The others are only counted.
const KEPT: usize = 100;

/// Number of findings of one kind that one step keeps. The others are only counted.
const KEPT_OF_A_KIND: usize = 1000;

/// The kind of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A file that does not belong to the bundle.
    ForeignFile,
    /// A file or directory that operating systems leave on media.
    SystemFile,
    /// An extended attribute or alternate stream of a file, which the format does not cover.
    ExtendedAttribute,
    /// Some images are missing, as the manifest states.
    Incomplete,
    /// The export was not finished.
    Unfinished,
    /// No statement of a trusted exporter counts for this bundle.
    NotAuthenticated,
    /// A trusted key's statement has expired and does not count. [`Self::NotAuthenticated`] tells
    /// if that matters.
    Expired,
    /// A trusted key's statement rejects the bundle.
    Rejected,
    /// A file has the name of a trusted key's statement but is no valid statement about this
    /// bundle.
    BadStatement,
    /// A file of the bundle is missing or is no regular file.
    MissingFile,
    /// A file has the wrong length.
    WrongLength,
    /// Bytes have the wrong hash.
    WrongHash,
    /// Bytes outside of content (headers, padding, trailer) are not those that the format
    /// prescribes.
    WrongFrame,
    /// A document breaks a rule of the format.
    Malformed,
    /// Documents contradict each other, or refer to something that is not there.
    NotClosed,
    /// The medium could not be read.
    Unreadable,
    /// A release has no signatures, which its exporter was told to accept.
    UnsignedRelease,
    /// A release is signed, but by no pinned key.
    ReleaseKeysUnknown,
    /// A release cannot be compared with its image, because a base carried the image. Its
    /// signatures may be good or absent.
    ReleaseNotCompared,
    /// A release has bad signatures, or differs from its row in the inventory.
    ReleaseNotGenuine,
}

impl FindingKind {
    /// Returns the class of failure of a finding; `None` if it is only worth reporting.
    pub fn class(self) -> Option<Class> {
        match self {
            Self::ForeignFile
            | Self::SystemFile
            | Self::ExtendedAttribute
            | Self::Expired
            | Self::ReleaseNotCompared => None,
            Self::Incomplete | Self::Unfinished => Some(Class::Incomplete),
            Self::NotAuthenticated
            | Self::UnsignedRelease
            | Self::ReleaseKeysUnknown
            | Self::ReleaseNotGenuine => Some(Class::NotAuthenticated),
            Self::Unreadable => Some(Class::Media),
            _ => Some(Class::VerificationFailed),
        }
    }

    /// Returns the word between a finding and the images that it names.
    fn relation(self) -> &'static str {
        match self {
            Self::Incomplete => "missing:",
            _ => "affects:",
        }
    }
}

/// A fault of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The kind of finding.
    pub kind: FindingKind,
    /// Path of the file, relative to the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Index of the damaged 4 MiB block in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    /// The message, in one sentence.
    pub message: String,
    /// References of the images that are damaged or missing: at most the first 100.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub images: BTreeSet<String>,
    /// Number of further images.
    #[serde(skip_serializing_if = "crate::model::is_zero")]
    pub more_images: usize,
    /// Number of further findings of this kind that are not listed. This finding stands for them.
    #[serde(skip_serializing_if = "crate::model::is_zero")]
    pub more_findings: usize,
    /// Advice for the operator.
    #[serde(skip)]
    pub(crate) hint: Option<&'static str>,
}

/// The images that a finding is about: some by name, and the number of the others.
#[derive(Debug, Default)]
pub(crate) struct HitImages {
    named: BTreeSet<String>,
    more: usize,
}

impl HitImages {
    /// Largest number of images listed by name.
    pub(crate) const NAMED: usize = KEPT;

    /// Takes the first images by name, and the number of the others.
    pub(crate) fn new(named: impl IntoIterator<Item = String>, more: usize) -> Self {
        let named = named.into_iter().collect();
        Self { named, more }
    }
}

impl FromIterator<String> for HitImages {
    fn from_iter<I: IntoIterator<Item = String>>(images: I) -> Self {
        let mut hit = Self::default();
        for image in images {
            hit.named.insert(image);
            if hit.named.len() > KEPT {
                hit.named.pop_last();
                hit.more += 1;
            }
        }
        hit
    }
}

impl Finding {
    /// Creates a finding about the bundle as a whole.
    pub fn new(kind: FindingKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            file: None,
            block: None,
            message: message.into(),
            images: BTreeSet::new(),
            more_images: 0,
            more_findings: 0,
            hint: None,
        }
    }

    /// Sets the file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Sets the block.
    #[must_use]
    pub fn in_block(mut self, block: u64) -> Self {
        self.block = Some(block);
        self
    }

    /// Sets the images.
    #[must_use]
    pub(crate) fn hitting(mut self, images: HitImages) -> Self {
        self.images = images.named;
        self.more_images = images.more;
        self
    }

    /// Sets the advice for the operator.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            // Escaped: a name found on the medium may hold any character.
            write!(f, "{}: ", file.escape_debug())?;
        }
        if let Some(block) = self.block {
            write!(f, "block {block}: ")?;
        }
        f.write_str(&self.message)?;
        if !self.images.is_empty() {
            write!(f, " ({} ", self.kind.relation())?;
            for (number, image) in self.images.iter().take(SHOWN).enumerate() {
                let comma = if number == 0 { "" } else { ", " };
                write!(f, "{comma}{image}")?;
            }
            let more = self.images.len().saturating_sub(SHOWN) + self.more_images;
            if more > 0 {
                write!(f, " and {more} more")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// Collects findings: the first 1000 of each kind, and the number of the others. So a bundle full
/// of faults needs no more memory than a good one.
#[derive(Debug, Default)]
pub(crate) struct Findings(BTreeMap<FindingKind, OfOneKind>);

#[derive(Debug, Default)]
struct OfOneKind {
    listed: Vec<Finding>,
    more: usize,
}

impl Findings {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        self.add_with(finding.kind, || finding);
    }

    /// Calls `finding`, which must return this kind, only if the finding is kept.
    pub(crate) fn add_with(&mut self, kind: FindingKind, finding: impl FnOnce() -> Finding) {
        let own = self.0.entry(kind).or_default();
        match own.listed.len() < KEPT_OF_A_KIND {
            true => own.listed.push(finding()),
            false => own.more += 1,
        }
    }

    /// Returns the findings, and one more for each kind of which some were only counted.
    pub(crate) fn into_vec(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (kind, own) in self.0 {
            findings.extend(own.listed);
            if own.more > 0 {
                let message = format!("{} more findings of this kind are not listed", own.more);
                findings.push(Finding {
                    more_findings: own.more,
                    ..Finding::new(kind, message)
                });
            }
        }
        findings
    }
}

/// Returns the most severe class among findings.
pub(crate) fn worst(findings: &[Finding]) -> Option<Class> {
    findings
        .iter()
        .filter_map(|finding| finding.kind.class())
        .max()
}

/// Combines all findings that are failures into one error; `None` if there are none.
pub(crate) fn as_error(what: &str, findings: &[Finding]) -> Option<Error> {
    let class = worst(findings)?;
    let failures: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.kind.class().is_some())
        .collect();
    let mut message = what.to_owned();
    for finding in &failures {
        message.push_str("\n  - ");
        message.push_str(&finding.to_string());
    }
    Some(Error::new(class, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_counted_and_few_are_kept() {
        let names = (0..5000).map(|number| format!("r.example.com/app:{number:04}"));
        let finding = Finding::new(FindingKind::WrongHash, "x").hitting(names.rev().collect());
        assert_eq!(finding.images.len(), KEPT);
        assert_eq!(finding.more_images, 4900);
        let text = finding.to_string();
        assert!(text.contains("app:0000, "), "{text}");
        assert!(text.ends_with("app:0019 and 4980 more)"), "{text}");
    }

    #[test]
    fn findings_of_a_kind_are_counted_and_few_are_kept() {
        let mut findings = Findings::default();
        for number in 0..1500 {
            findings.add(Finding::new(FindingKind::WrongHash, number.to_string()));
        }
        findings.add_with(FindingKind::WrongHash, || unreachable!("it is not listed"));
        findings.add(Finding::new(FindingKind::WrongFrame, "y"));
        let findings = findings.into_vec();
        assert_eq!(findings.len(), 1002);
        let more: Vec<usize> = findings.iter().map(|f| f.more_findings).collect();
        assert_eq!(more.iter().sum::<usize>(), 501);
    }
}
