//! What lies beside a bundle and does not belong to it (bundle-format.md, R-06).

use super::names;
use crate::model::Limits;
use crate::ops::finding::{Finding, FindingKind};
use crate::sys::media::{Entry, EntryKind, Weight};

/// What is to be said of something that is not the bundle's; `weight` is what a directory holds.
pub(super) fn finding(entry: &Entry, weight: Option<&Weight>) -> Finding {
    let path = entry.path.as_str();
    let (mut kind, mut message) = match entry.kind {
        _ if is_system_file(path) => (
            FindingKind::SystemFile,
            "left by an operating system".to_owned(),
        ),
        EntryKind::File(length) if path == names::VOLUME && length <= Limits::VOLUME => (
            FindingKind::SystemFile,
            "a note about this medium, which nobody has signed".to_owned(),
        ),
        _ if is_left_over(path) => (
            FindingKind::ForeignFile,
            "left over from an export that has ended; the same export command removes it"
                .to_owned(),
        ),
        _ => (
            FindingKind::ForeignFile,
            "it does not belong to the bundle".to_owned(),
        ),
    };
    if let Some(weight) = weight {
        let (files, bytes) = (weight.files, weight.bytes);
        message.push_str(&format!(" (a directory with {files} files, {bytes} bytes)"));
        if !weight.is_whole {
            // Whatever its name is: nobody knows what it holds.
            kind = FindingKind::ForeignFile;
            message.push_str("; not all of it could be counted");
        }
    }
    Finding::new(kind, message).in_file(path)
}

/// Whether a name is one of an export's own files, which end with the export.
pub(super) fn is_left_over(path: &str) -> bool {
    matches!(
        path,
        names::PLAN
            | names::PLAN_STATEMENT
            | names::PLAN_SIGNATURE
            | names::MADE
            | crate::sys::journal::PATH
    ) || names::is_made(path)
}

/// How many files that are not the bundle's are listed one by one.
const LISTED: usize = 1000;

/// Files that are not the bundle's: the first are listed, the others counted.
#[derive(Default)]
pub(super) struct ForeignFiles {
    listed: Vec<Finding>,
    more: usize,
}

impl ForeignFiles {
    pub(super) fn add(&mut self, finding: Finding) {
        match self.listed.len() < LISTED {
            true => self.listed.push(finding),
            false => self.more += 1,
        }
    }

    pub(super) fn into_findings(self) -> Vec<Finding> {
        let mut findings = self.listed;
        if self.more > 0 {
            let message = format!("{} more do not belong to the bundle", self.more);
            findings.push(Finding::new(FindingKind::ForeignFile, message));
        }
        findings
    }
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
