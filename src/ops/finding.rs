//! What is wrong with a bundle, one thing at a time.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::error::{Class, Error};

/// How many images are shown of those that a finding is about; JSON has all.
pub(super) const SHOWN: usize = 20;

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
    /// A release whose signatures are good, and which cannot be compared with its image because a
    /// base carried that.
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
    /// References of the images that it hits, or that are missing.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub images: BTreeSet<String>,
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
    pub fn hitting(mut self, images: impl IntoIterator<Item = String>) -> Self {
        self.images.extend(images);
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
            if let Some(more) = self
                .images
                .len()
                .checked_sub(SHOWN)
                .filter(|more| *more > 0)
            {
                write!(f, " and {more} more")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// The most severe class among findings.
pub(super) fn worst(findings: &[Finding]) -> Option<Class> {
    findings
        .iter()
        .filter_map(|finding| finding.kind.class())
        .max()
}

/// Makes one error of all findings that are failures; `None` when none is.
pub(super) fn as_error(what: &str, findings: &[Finding]) -> Option<Error> {
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
