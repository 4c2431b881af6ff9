//! Which repository is found where, and which of that a mirror policy can say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Entry, Mapping, Mirrors, Scope, grammar, location};
use crate::model::{Host, Reference, Repository};
use crate::plan::naming::SharedTag;

/// Sources that a warning about many names.
const NAMED: usize = 3;

/// A repository and where else its images are, the best place first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// What clusters call the repository.
    pub source: Repository,
    /// Where it was mirrored to.
    pub mirrors: Vec<Repository>,
}

/// Something that no mirror policy can express.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Warning {
    /// The registry of sources does not fit the grammar: these sources have no entry.
    SourceHost {
        /// The registry.
        host: Host,
        /// The sources, sorted.
        sources: Vec<Repository>,
    },
    /// The registry of mirrors does not fit the grammar: the entries of these sources, if
    /// they have one at all, do not name it.
    MirrorHost {
        /// The registry.
        host: Host,
        /// The sources, sorted.
        sources: Vec<Repository>,
    },
    /// A catalog image that no ClusterCatalog can name.
    ClusterCatalog {
        /// The image on the target.
        image: Reference,
    },
    /// A tag that became another one: mirror policies keep tags.
    OtherTag {
        /// The image as clusters ask for it, and its name on the target.
        mapping: Box<Mapping>,
    },
    /// A tag that is pinned to several digests.
    SharedTag {
        /// Which of them has it.
        shared: Box<SharedTag>,
    },
    /// Sources below which not everything went the same way: they keep entries of their own.
    Narrow {
        /// How wide the entries were to be.
        scope: Scope,
        /// The sources, sorted.
        sources: Vec<String>,
    },
    /// A source for which no mirror was given.
    NoMirror {
        /// The source.
        source: Repository,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WHY: &str = "IPv6 addresses and underscores do not fit the grammar";
        let (host, sources) = match self {
            Self::SourceHost { host, sources } => {
                write!(f, "Mirror policies cannot name the source registry ")?;
                (host, sources)
            }
            Self::MirrorHost { host, sources } => {
                write!(f, "Mirror policies cannot name the mirror registry ")?;
                (host, sources)
            }
            Self::ClusterCatalog { image } => {
                return write!(f, "A ClusterCatalog cannot name `{image}`, none is written");
            }
            Self::OtherTag { mapping } => {
                let Mapping { source, target } = mapping.as_ref();
                return write!(
                    f,
                    "Clusters do not find `{source}` by its tag: the mapping names it `{target}`, \
                     and mirror policies keep tags"
                );
            }
            Self::SharedTag { shared } => return write!(f, "{shared}"),
            Self::Narrow { scope, sources } => {
                return write!(
                    f,
                    "Entries for a whole {scope} cannot be had for {}, which keep entries of their \
                     own: not everything there has its path on the mirror (`--max-components 0` \
                     keeps paths)",
                    Shortened(sources)
                );
            }
            Self::NoMirror { source } => {
                return write!(f, "No mirror is known for `{source}`, it has no entry");
            }
        };
        write!(f, "`{host}` ({WHY}), left out for")?;
        for (index, source) in sources.iter().enumerate() {
            let before = if index == 0 { "" } else { "," };
            write!(f, "{before} `{source}`")?;
        }
        Ok(())
    }
}

/// The first few of many, in backquotes.
struct Shortened<'a>(&'a [String]);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, source) in self.0.iter().take(NAMED).enumerate() {
            let before = if index == 0 { "" } else { ", " };
            write!(f, "{before}`{source}`")?;
        }
        match self.0.len().checked_sub(NAMED) {
            Some(more) if more > 0 => write!(f, " and {more} more"),
            _ => Ok(()),
        }
    }
}

/// What mirror policies can say, one entry for each source. Entries without mirrors are
/// still there, because they forbid to widen a neighbour's.
#[derive(Default)]
pub(super) struct Expressible {
    pub(super) digests: Vec<Entry>,
    pub(super) tags: Vec<Entry>,
}

impl Expressible {
    /// Everything, by digest and by tag.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.digests.iter().chain(&self.tags)
    }
}

/// Sorts out what the grammar of mirror policies cannot say, for each group of images.
pub(super) fn expressible<'m>(
    groups: impl IntoIterator<Item = &'m Mirrors>,
) -> (Vec<Expressible>, Vec<Warning>) {
    let mut problems = Problems::default();
    let groups = groups.into_iter().map(|mirrors| Expressible {
        digests: problems.entries(&mirrors.digests),
        tags: problems.entries(&mirrors.tags),
    });
    let groups = groups.collect();
    (groups, problems.warnings())
}

/// What was left out so far.
#[derive(Default)]
struct Problems {
    source_hosts: BTreeMap<Host, BTreeSet<Repository>>,
    mirror_hosts: BTreeMap<Host, BTreeSet<Repository>>,
    no_mirror: BTreeSet<Repository>,
}

impl Problems {
    /// One entry for each source, mirrors in given order without repetitions.
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
