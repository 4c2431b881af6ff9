//! Makes the entries of mirror policies as wide as was asked for.
//!
//! A wider entry also redirects repositories that nobody mirrored (docs/oc-compatibility.md,
//! section 6.4), so it is only written when asked for, and only where all that is known below it
//! went the same way.

use std::collections::BTreeMap;

use super::expressible::Expressible;
use super::{Entry, Location, Scope};

/// The entries of one policy at the wanted scope, sorted. `all` is everything that was
/// mirrored, by digest or by tag: what it says decides how wide an entry may be.
pub(super) fn entries(repositories: &[Entry], all: &[Expressible], scope: Scope) -> Vec<Entry> {
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

/// The sources whose entries stay narrower than wanted, sorted.
pub(super) fn narrow(all: &[Expressible], scope: Scope) -> Vec<Location> {
    let mut wide: BTreeMap<&str, bool> = BTreeMap::new();
    let entries = all.iter().flat_map(Expressible::all);
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

/// The mirrors of `prefix`, taken from one entry below it, when they are right for every other
/// entry below it as well.
fn common_mirrors(prefix: &str, entry: &Entry, all: &[Expressible]) -> Option<Vec<Location>> {
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
    let agree = all.iter().flat_map(Expressible::all).all(same);
    agree.then(|| mirrors.into_iter().map(str::to_owned).collect())
}

/// What follows the prefix in a source at or below it: nothing, or `/` and a path.
fn below<'a>(prefix: &str, source: &'a str) -> Option<&'a str> {
    source
        .strip_prefix(prefix)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}
