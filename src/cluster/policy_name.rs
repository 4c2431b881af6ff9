//! Names of mirror policies (IDMS, ITMS, ICSP).
//!
//! A default name contains a hash of the object's entries. So two bundles with different content
//! never replace each other's mirrors, and the same content always gets the same name.

use super::Entry;
use super::object_name::short_hash;

/// Number of digits of the hash in a name.
const DIGITS: usize = 10;

/// The rule by which the mirror policies of a group are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PolicyName {
    /// `BASE-<hash of the entries>`.
    ByContent(String),
    /// `BASE-<number>`: chosen by the operator.
    Numbered(String),
    /// `<kind>-GROUP-<number>`, as oc-mirror (docs/oc-compatibility.md, section 5.5).
    OcMirror(&'static str),
}

impl PolicyName {
    /// Returns the name of one object. `kind` is the short name of its kind.
    pub(super) fn of(&self, kind: &str, number: usize, entries: &[&Entry]) -> String {
        match self {
            Self::ByContent(base) => format!("{base}-{}", hash(entries)),
            Self::Numbered(base) => format!("{base}-{number}"),
            Self::OcMirror(group) => format!("{kind}-{group}-{number}"),
        }
    }

    /// Returns a name that is at least as long as every name of the group.
    pub(super) fn longest(&self, kind: &str) -> String {
        self.of(kind, usize::MAX, &[])
    }
}

/// A hash of entries; no text is that of other entries, since names contain no spaces.
fn hash(entries: &[&Entry]) -> String {
    let line = |entry: &&Entry| format!("{} {}\n", entry.source, entry.mirrors.join(" "));
    let text: String = entries.iter().map(line).collect();
    short_hash(&text).chars().take(DIGITS).collect()
}
