//! What is wrong with a bundle, one thing at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::error::{Class, Error};

/// How many images are shown of those that a finding is about; JSON has [`KEPT`].
const SHOWN: usize = 20;

/// How many images a finding names. Of more it knows how many they are.
const KEPT: usize = 100;

/// How many findings of one kind are kept by one step. Of more it is known how many they are.
const KEPT_OF_A_KIND: usize = 1000;

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A file that does not belong to the bundle.
    ForeignFile,
    /// What an operating system leaves on media.
    SystemFile,
    /// Some images are missing; the manifest says so.
    Incomplete,
    /// The export was not finished.
    Unfinished,
    /// No trusted key has signed.
    NotAuthenticated,
    /// A trusted key's statement has expired. It does not count; whether that matters is said by
    /// [`Self::NotAuthenticated`].
    Expired,
    /// A trusted key says: do not import.
    Rejected,
    /// A file under a trusted key's name that is no right statement on this bundle.
    BadStatement,
    /// A file that should be there is not, or is no regular file.
    MissingFile,
    /// A file has another length than it should have.
    WrongLength,
    /// Bytes have another hash than they should have.
    WrongHash,
    /// Bytes that are no content are not what the format prescribes.
    WrongFrame,
    /// A document breaks the format.
    Malformed,
    /// Documents contradict each other, or something is named and not there.
    NotClosed,
    /// The medium could not be read.
    Unreadable,
    /// A release without signatures, which its exporter was told to accept.
    UnsignedRelease,
    /// A release signed by keys of which none is pinned.
    ReleaseKeysUnknown,
    /// A release that cannot be compared with its image because a base carried that, whether its
    /// signatures are good or it has none.
    ReleaseNotCompared,
    /// A release whose signatures are not good, or that is not what the bundle calls it.
    ReleaseNotGenuine,
}

impl FindingKind {
    /// The class of failure that a finding means on its own; `None`: worth telling, no failure.
    pub fn class(self) -> Option<Class> {
        match self {
            Self::ForeignFile | Self::SystemFile | Self::Expired | Self::ReleaseNotCompared => None,
            Self::Incomplete | Self::Unfinished => Some(Class::Incomplete),
            Self::NotAuthenticated
            | Self::UnsignedRelease
            | Self::ReleaseKeysUnknown
            | Self::ReleaseNotGenuine => Some(Class::NotAuthenticated),
            Self::Unreadable => Some(Class::Media),
            _ => Some(Class::VerificationFailed),
        }
    }

    /// What a finding has to do with the images that it names.
    fn relation(self) -> &'static str {
        match self {
            Self::Incomplete => "lacks",
            _ => "hits",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// The file, relative to the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Index of the 4 MiB block in that file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    /// One sentence.
    pub message: String,
    /// References of the images that it hits, or that are missing; of many the first 100.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub images: BTreeSet<String>,
    /// How many images it hits besides those.
    #[serde(skip_serializing_if = "crate::model::is_zero")]
    pub more_images: usize,
    /// How many more findings of this kind there are than are listed. The finding stands for them.
    #[serde(skip_serializing_if = "crate::model::is_zero")]
    pub more_findings: usize,
    /// What the person can do about it.
    #[serde(skip)]
    pub(crate) hint: Option<&'static str>,
}

/// Images that a finding is about: few by name, and how many there are besides.
#[derive(Debug, Default)]
pub(crate) struct HitImages {
    named: BTreeSet<String>,
    more: usize,
}

impl HitImages {
    /// How many are named.
    pub(crate) const NAMED: usize = KEPT;

    /// The first images by name, and the number of the others.
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
    /// A finding about the bundle as a whole.
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

    /// Says in which file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Says in which block.
    #[must_use]
    pub fn in_block(mut self, block: u64) -> Self {
        self.block = Some(block);
        self
    }

    /// Says which images it hits.
    #[must_use]
    pub(crate) fn hitting(mut self, images: HitImages) -> Self {
        self.images = images.named;
        self.more_images = images.more;
        self
    }

    /// Says what the person can do.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            // A name found on the medium may hold anything.
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

/// Collects findings, of each kind as many as people read. It counts the others, so that a bundle
/// full of faults costs no more memory than a good one.
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

    /// Makes the finding, which must have this kind, only when it is listed.
    pub(crate) fn add_with(&mut self, kind: FindingKind, finding: impl FnOnce() -> Finding) {
        let own = self.0.entry(kind).or_default();
        match own.listed.len() < KEPT_OF_A_KIND {
            true => own.listed.push(finding()),
            false => own.more += 1,
        }
    }

    /// The findings, and one for each kind of which there are more.
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

/// The most severe class among findings.
pub(crate) fn worst(findings: &[Finding]) -> Option<Class> {
    findings
        .iter()
        .filter_map(|finding| finding.kind.class())
        .max()
}

/// Makes one error of all findings that are failures; `None` when none is.
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
