//! Separates mirror entries that the grammar of mirror policies allows from those that it does not.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, Mirror, Mirrors, Warning, grammar, location};
use crate::model::{Host, Repository};

/// The entries that can be written, one for each source. Entries without mirrors are kept, because
/// they forbid widening an entry beside them.
#[derive(Default)]
pub(super) struct ValidMirrors {
    pub(super) digests: Vec<Entry>,
    pub(super) tags: Vec<Entry>,
}

impl ValidMirrors {
    /// All entries, by digest and by tag.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.digests.iter().chain(&self.tags)
    }
}

/// Drops what the grammar of mirror policies cannot express, for each group of images.
pub(super) fn valid_mirrors<'m>(
    groups: impl IntoIterator<Item = &'m Mirrors>,
) -> (Vec<ValidMirrors>, Vec<Warning>) {
    let mut problems = Problems::default();
    let groups = groups.into_iter().map(|mirrors| ValidMirrors {
        digests: problems.entries(&mirrors.digests),
        tags: problems.entries(&mirrors.tags),
    });
    let groups = groups.collect();
    (groups, problems.warnings())
}

/// The sources and mirrors left out so far.
#[derive(Default)]
struct Problems {
    source_hosts: BTreeMap<Host, BTreeSet<Repository>>,
    mirror_hosts: BTreeMap<Host, BTreeSet<Repository>>,
    no_mirror: BTreeSet<Repository>,
}

impl Problems {
    /// Merges the entries of equal sources. Mirrors keep their order, without duplicates.
    fn entries(&mut self, mirrors: &[Mirror]) -> Vec<Entry> {
        let mut merged: BTreeMap<&Repository, Vec<&Repository>> = BTreeMap::new();
        for mirror in mirrors {
            let known = merged.entry(&mirror.source).or_default();
            for repository in &mirror.mirrors {
                if !known.contains(&repository) {
                    known.push(repository);
                }
            }
        }
        merged
            .into_iter()
            .filter_map(|(source, mirrors)| self.entry(source, &mirrors))
            .collect()
    }

    fn entry(&mut self, source: &Repository, mirrors: &[&Repository]) -> Option<Entry> {
        let note = |hosts: &mut BTreeMap<Host, BTreeSet<Repository>>, host: &Host| {
            let sources = hosts.entry(host.clone()).or_default();
            sources.insert(source.clone());
        };
        if !grammar::can_name(&source.host) {
            note(&mut self.source_hosts, &source.host);
            return None;
        }
        if mirrors.is_empty() {
            self.no_mirror.insert(source.clone());
        }
        let mut named = Vec::new();
        for mirror in mirrors {
            if grammar::can_name(&mirror.host) {
                named.push(location(mirror));
            } else {
                note(&mut self.mirror_hosts, &mirror.host);
            }
        }
        Some(Entry {
            source: location(source),
            mirrors: named,
        })
    }

    fn warnings(self) -> Vec<Warning> {
        let sources = |sources: BTreeSet<Repository>| sources.into_iter().collect();
        let mut warnings = Vec::new();
        warnings.extend(self.source_hosts.into_iter().map(|(host, of)| {
            let sources = sources(of);
            Warning::SourceHost { host, sources }
        }));
        warnings.extend(self.mirror_hosts.into_iter().map(|(host, of)| {
            let sources = sources(of);
            Warning::MirrorHost { host, sources }
        }));
        let no_mirror = self.no_mirror.into_iter();
        warnings.extend(no_mirror.map(|source| Warning::NoMirror { source }));
        warnings
    }
}
