//! Classifies files beside a bundle that do not belong to it (bundle-format.md, R-06).

use crate::bundle::finding::{Finding, FindingKind, Findings};
use crate::bundle::names;
use crate::model::Limits;
use crate::sys::media::{DirectoryTotals, Entry, EntryKind};

/// Findings about files beside a bundle, added in the order in which they are listed.
#[derive(Default)]
pub(super) struct ForeignFiles {
    findings: Findings,
    /// Bytes accepted so far as files that operating systems leave.
    system_bytes: u64,
}

impl ForeignFiles {
    /// Adds a file or directory that is not the bundle's. `weight` is the content of a directory.
    pub(super) fn add(&mut self, entry: &Entry, weight: Option<&DirectoryTotals>) {
        let path = entry.path.as_str();
        let (kind, mut message) = match entry.kind {
            EntryKind::File(length) if path == names::VOLUME && length <= Limits::VOLUME => (
                FindingKind::SystemFile,
                "a note about this medium; it is not signed".to_owned(),
            ),
            _ if is_left_over(path) => (
                FindingKind::ForeignFile,
                "left over from an export that has ended; the same export command removes it"
                    .to_owned(),
            ),
            _ => match self.judge_system(entry, weight) {
                Some(true) => (
                    FindingKind::SystemFile,
                    "left by an operating system".to_owned(),
                ),
                Some(false) => (
                    FindingKind::ForeignFile,
                    "it has the name of an operating system's file, but its type, size or number \
                     is unusual"
                        .to_owned(),
                ),
                None => (
                    FindingKind::ForeignFile,
                    "it does not belong to the bundle".to_owned(),
                ),
            },
        };
        if let Some(weight) = weight {
            let (files, bytes) = (weight.files, weight.bytes);
            message.push_str(&format!(" (a directory with {files} files, {bytes} bytes)"));
            if !weight.is_whole {
                message.push_str("; not all of it could be counted");
            }
        }
        self.findings.add(Finding::new(kind, message).in_file(path));
    }

    /// Returns true if an entry is accepted as one that an operating system left, false if it
    /// only has such a name, and `None` if it has no such name.
    fn judge_system(&mut self, entry: &Entry, weight: Option<&DirectoryTotals>) -> Option<bool> {
        let expected = SystemName::of(&entry.path)?;
        let bytes = match (expected, entry.kind) {
            (SystemName::File, EntryKind::File(length)) => Some(length),
            (SystemName::Directory, EntryKind::Directory) => weight
                .filter(|weight| weight.is_whole && weight.others == 0)
                .filter(|weight| weight.entries <= Limits::SYSTEM_ENTRIES)
                .map(|weight| weight.bytes),
            _ => None,
        };
        let sum = bytes
            .filter(|bytes| *bytes <= Limits::SYSTEM)
            .map(|bytes| self.system_bytes.saturating_add(bytes))
            .filter(|sum| *sum <= Limits::SYSTEM_ALL);
        self.system_bytes = sum.unwrap_or(self.system_bytes);
        Some(sum.is_some())
    }

    pub(super) fn into_findings(self) -> Vec<Finding> {
        self.findings.into_vec()
    }
}

/// Returns true if a name is one of an export's own files, which are removed when the export
/// ends.
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

/// The type of file that an operating system leaves under a name (bundle-format.md, R-06).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SystemName {
    /// A regular file, in the bundle's directory or in one of its own directories.
    File,
    /// A directory, in the bundle's top directory only.
    Directory,
}

impl SystemName {
    /// Looks up a name without regard to case, as FAT does.
    fn of(path: &str) -> Option<Self> {
        let (is_on_top, name) = match path.rsplit_once('/') {
            Some((_, name)) => (false, name),
            None => (true, path),
        };
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            ".ds_store" | "thumbs.db" | "desktop.ini" => Some(Self::File),
            "system volume information"
            | "$recycle.bin"
            | ".spotlight-v100"
            | ".trashes"
            | ".fseventsd"
            | "lost+found"
                if is_on_top =>
            {
                Some(Self::Directory)
            }
            name if name.starts_with("._") => Some(Self::File),
            name if is_on_top && is_trash_of_user(name) => Some(Self::Directory),
            _ => None,
        }
    }
}

/// Returns true if a name is that of a user's trash directory on Linux: `.Trash-1000`.
fn is_trash_of_user(name: &str) -> bool {
    let user = name.strip_prefix(".trash-");
    user.is_some_and(|user| !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(entries: &[(&str, EntryKind, Option<DirectoryTotals>)]) -> Vec<FindingKind> {
        let mut foreign = ForeignFiles::default();
        for (path, kind, weight) in entries {
            let path = (*path).to_owned();
            foreign.add(&Entry { path, kind: *kind }, weight.as_ref());
        }
        let findings = foreign.into_findings().into_iter();
        findings.map(|finding| finding.kind).collect()
    }

    fn holds(files: u64, bytes: u64) -> Option<DirectoryTotals> {
        Some(DirectoryTotals {
            files,
            entries: files,
            others: 0,
            bytes,
            is_whole: true,
        })
    }

    #[test]
    fn only_what_operating_systems_leave_is_let_pass() {
        use EntryKind::{Directory, File, Other};
        use FindingKind::{ForeignFile, SystemFile};

        let mib = 1 << 20;
        let link_inside = holds(1, 0).map(|weight| DirectoryTotals {
            others: 1,
            ..weight
        });
        let unreadable = holds(0, 0).map(|weight| DirectoryTotals {
            is_whole: false,
            ..weight
        });
        let cases = [
            (".DS_Store", File(6148), None, SystemFile),
            ("THUMBS.DB", File(mib), None, SystemFile),
            ("Thumbs.db", File(mib + 1), None, ForeignFile),
            ("chunks/._000001.tar", File(4096), None, SystemFile),
            ("._payload", File(mib + 1), None, ForeignFile),
            ("._payload", Directory, holds(0, 0), ForeignFile),
            ("._payload", Other, None, ForeignFile),
            (".DS_Store", Directory, holds(0, 0), ForeignFile),
            ("desktop.ini", Other, None, ForeignFile),
            ("lost+found", Directory, holds(0, 0), SystemFile),
            ("LOST+FOUND", Directory, holds(0, 0), SystemFile),
            ("lost+found", File(10), None, ForeignFile),
            ("lost+found", Other, None, ForeignFile),
            ("lost+found", Directory, unreadable, ForeignFile),
            ("chunks/lost+found", Directory, holds(0, 0), ForeignFile),
            ("$RECYCLE.BIN", Directory, holds(1, 129), SystemFile),
            ("$RECYCLE.BIN", Directory, holds(1, mib + 1), ForeignFile),
            ("$RECYCLE.BIN", Directory, holds(1001, 0), ForeignFile),
            (".fseventsd", Directory, link_inside, ForeignFile),
            (".Trash-1000", Directory, holds(0, 0), SystemFile),
            (".Trash-x", Directory, holds(0, 0), ForeignFile),
            (".Trashy", Directory, holds(0, 0), ForeignFile),
            (".Trashes", File(3), None, ForeignFile),
        ];
        for (path, kind, weight, expected) in cases {
            assert_eq!(
                judged(&[(path, kind, weight)]),
                [expected],
                "{path} {kind:?}"
            );
        }
    }

    #[test]
    fn all_of_it_together_is_little() {
        let names: Vec<String> = (0..65).map(|number| format!("._{number:02}")).collect();
        let entries: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), EntryKind::File(1 << 20), None))
            .collect();
        let kinds = judged(&entries);
        let passed = kinds
            .iter()
            .filter(|kind| **kind == FindingKind::SystemFile);
        assert_eq!(passed.count(), 64);
    }
}
