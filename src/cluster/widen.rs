//! Widens the entries of mirror policies to the requested scope.
//!
//! A wider entry also redirects repositories that were not mirrored (docs/oc-compatibility.md,
//! section 6.4), so it is written only on request, and only if the same mirror is right for every
//! mirrored repository below it.

use std::collections::BTreeMap;

use super::expressible::ValidMirrors;
use super::{Entry, Location, Scope};

/// The entries of one policy at the requested scope, sorted. `all` holds every mirrored repository,
/// by digest and by tag; an entry is widened only if none of them contradicts it.
pub(super) fn entries(repositories: &[Entry], all: &[ValidMirrors], scope: Scope) -> Vec<Entry> {
    let mut wide: BTreeMap<&str, Option<Vec<Location>>> = BTreeMap::new();
    let mut entries: Vec<Entry> = repositories
        .iter()
        .filter(|entry| !entry.mirrors.is_empty())
        .map(|entry| {
            let Some(prefix) = scope.of(&entry.source) else {
                return entry.clone();
            };
            let mirrors = wide
                .entry(prefix)
                .or_insert_with(|| common_mirrors(prefix, entry, all));
            match mirrors {
                Some(mirrors) => Entry {
                    source: prefix.to_owned(),
                    mirrors: mirrors.clone(),
                },
                None => entry.clone(),
            }
        })
        .collect();
    entries.sort();
    entries.dedup();
    entries
}

/// The sources whose entries stay narrower than requested, sorted.
pub(super) fn narrow(all: &[ValidMirrors], scope: Scope) -> Vec<Location> {
    let mut wide: BTreeMap<&str, bool> = BTreeMap::new();
    let entries = all.iter().flat_map(ValidMirrors::all);
    let entries = entries.filter(|entry| !entry.mirrors.is_empty());
    let mut narrow: Vec<Location> = entries
        .filter(|entry| match scope.of(&entry.source) {
            None => false,
            Some(prefix) => !*wide
                .entry(prefix)
                .or_insert_with(|| common_mirrors(prefix, entry, all).is_some()),
        })
        .map(|entry| entry.source.clone())
        .collect();
    narrow.sort();
    narrow.dedup();
    narrow
}

/// The mirrors of `prefix`, derived from one entry below it; `None` unless they are right for every
/// other entry below it as well.
fn common_mirrors(prefix: &str, entry: &Entry, all: &[ValidMirrors]) -> Option<Vec<Location>> {
    let rest = below(prefix, &entry.source)?;
    let mirrors: Vec<&str> = entry
        .mirrors
        .iter()
        .map(|mirror| mirror.strip_suffix(rest))
        .collect::<Option<_>>()?;
    let same = |other: &Entry| match below(prefix, &other.source) {
        None => true,
        Some(rest) => {
            mirrors.len() == other.mirrors.len()
                && mirrors
                    .iter()
                    .zip(&other.mirrors)
                    .all(|(mirror, whole)| whole.strip_suffix(rest) == Some(*mirror))
        }
    };
    let agree = all.iter().flat_map(ValidMirrors::all).all(same);
    agree.then(|| mirrors.into_iter().map(str::to_owned).collect())
}

/// Returns the part of a source after the prefix, empty or beginning with `/`; `None` if the source
/// is not at or below the prefix.
fn below<'a>(prefix: &str, source: &'a str) -> Option<&'a str> {
    source
        .strip_prefix(prefix)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}
