//! What is wrong with a catalog without making it unreadable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::{Catalog, Channel, Place};

/// Names that a line shows.
const SHOWN: usize = 5;

/// Something that OLM refuses, or that can be understood in two ways.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Problem {
    /// The same package, channel or bundle is described twice.
    Duplicate {
        /// `package`, `channel` or `bundle`.
        what: &'static str,
        /// The package.
        package: String,
        /// The channel or bundle; the package's own name for a package.
        name: String,
        /// The second description.
        place: Place,
    },
    /// Channels or bundles of a package that is not described.
    NoPackage {
        /// The package.
        package: String,
    },
    /// A package without a default channel, or with one that it does not have.
    DefaultChannel {
        /// The package.
        package: String,
        /// The channel, when one is named.
        channel: Option<String>,
    },
    /// A channel without a head, or with several.
    Heads {
        /// The package.
        package: String,
        /// The channel.
        channel: String,
        /// The heads, sorted.
        heads: Vec<String>,
    },
    /// Entries that replace each other in a circle.
    Cycle {
        /// The package.
        package: String,
        /// The channel.
        channel: String,
        /// A bundle on the circle.
        bundle: String,
    },
    /// Entries that name no bundle.
    NoBundle {
        /// The package.
        package: String,
        /// The channel.
        channel: String,
        /// The entry.
        bundle: String,
    },
    /// Bundles of a database that are in no channel: nobody can install them.
    Stranded {
        /// The bundles, sorted.
        bundles: Vec<String>,
    },
    /// A document lacks a text that OLM needs. `opm render` and `oc` read it all the same.
    Lacks {
        /// The document.
        place: Place,
        /// What lacks it: a schema, or a part of a document.
        what: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A document has a key twice; the last one counts, as for `opm`.
    KeyTwice {
        /// The document.
        place: Place,
        /// The key, shortened.
        key: String,
    },
    /// A line of an ignore file that is a mistake and matches nothing.
    IgnoreLine {
        /// The file.
        file: Arc<str>,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A property of a bundle that cannot be understood: versions and dependencies may be
    /// unknown.
    Property {
        /// The package.
        package: String,
        /// The bundle.
        bundle: String,
        /// The property's type.
        kind: String,
        /// What is wrong with it.
        wrong: String,
        /// Where it stands.
        place: Place,
    },
    /// A bundle without a version.
    NoVersion {
        /// The package.
        package: String,
        /// The bundle.
        bundle: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let esc = |text: &str| text.escape_debug().to_string();
        match self {
            Self::Duplicate {
                what,
                package,
                name,
                place,
            } => {
                let (package, name) = (esc(package), esc(name));
                write!(
                    f,
                    "The {what} `{name}` of package `{package}` is described twice: {place}"
                )
            }
            Self::NoPackage { package } => {
                write!(
                    f,
                    "The package `{}` has channels or bundles and no description",
                    esc(package)
                )
            }
            Self::DefaultChannel {
                package,
                channel: None,
            } => {
                write!(f, "The package `{}` has no default channel", esc(package))
            }
            Self::DefaultChannel {
                package,
                channel: Some(channel),
            } => {
                let (package, channel) = (esc(package), esc(channel));
                write!(
                    f,
                    "The package `{package}` has no channel `{channel}`, its default channel"
                )
            }
            Self::Heads {
                package,
                channel,
                heads,
            } => {
                let (package, channel) = (esc(package), esc(channel));
                if heads.is_empty() {
                    return write!(
                        f,
                        "The channel `{channel}` of package `{package}` has no head"
                    );
                }
                let heads: Vec<String> = heads.iter().take(SHOWN).map(|head| esc(head)).collect();
                let heads = heads.join(", ");
                write!(
                    f,
                    "The channel `{channel}` of package `{package}` has several heads: {heads}"
                )
            }
            Self::Cycle {
                package,
                channel,
                bundle,
            } => {
                let (package, channel, bundle) = (esc(package), esc(channel), esc(bundle));
                write!(
                    f,
                    "In the channel `{channel}` of package `{package}` bundles replace each other in a circle: `{bundle}`"
                )
            }
            Self::NoBundle {
                package,
                channel,
                bundle,
            } => {
                let (package, channel, bundle) = (esc(package), esc(channel), esc(bundle));
                write!(
                    f,
                    "The channel `{channel}` of package `{package}` names the bundle `{bundle}`, which is not there"
                )
            }
            Self::Stranded { bundles } => {
                let shown: Vec<String> = bundles.iter().take(SHOWN).map(|name| esc(name)).collect();
                let shown = shown.join(", ");
                write!(
                    f,
                    "Bundles in no channel, which nobody can install: {shown}"
                )?;
                match bundles.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                    Some(more) => write!(f, " and {more} more"),
                    None => Ok(()),
                }
            }
            Self::Lacks { place, what, key } => {
                write!(f, "{what} has no `{key}`, which OLM refuses: {place}")
            }
            Self::KeyTwice { place, key } => {
                let key = esc(key);
                write!(
                    f,
                    "The key `{key}` stands twice in one map; the last one counts: {place}"
                )
            }
            Self::IgnoreLine { file, line, why } => {
                let file = esc(file);
                write!(f, "Line {line} of `{file}` matches nothing: {why}")
            }
            Self::Property {
                package,
                bundle,
                kind,
                wrong,
                place,
            } => {
                let (package, bundle) = (esc(package), esc(bundle));
                let (kind, wrong) = (esc(kind), esc(wrong));
                write!(
                    f,
                    "The property {kind} of bundle `{bundle}` of package `{package}` is ignored: {wrong} ({place})"
                )
            }
            Self::NoVersion { package, bundle } => {
                let (package, bundle) = (esc(package), esc(bundle));
                write!(
                    f,
                    "The bundle `{bundle}` of package `{package}` has no version"
                )
            }
        }
    }
}

impl Problem {
    /// Where it stands, when it was seen in one document.
    pub(super) fn place(&self) -> Option<&Place> {
        match self {
            Self::Lacks { place, .. }
            | Self::KeyTwice { place, .. }
            | Self::Property { place, .. } => Some(place),
            _ => None,
        }
    }
}

/// Finds what is wrong, sorted.
pub(super) fn find(catalog: &Catalog) -> Vec<Problem> {
    let mut problems = duplicates(catalog);
    problems.extend(catalog.odd.iter().cloned());
    let described: BTreeSet<&str> = catalog.packages.iter().map(|p| p.name.as_str()).collect();
    let undescribed = catalog.package_names();
    for package in undescribed.difference(&described) {
        problems.push(Problem::NoPackage {
            package: (*package).to_owned(),
        });
    }
    for package in &catalog.packages {
        let channel = package.default_channel.clone();
        let known = catalog
            .channels_of(&package.name)
            .any(|known| Some(&known.name) == channel.as_ref());
        if !known {
            problems.push(Problem::DefaultChannel {
                package: package.name.clone(),
                channel,
            });
        }
    }
    let bundles = catalog.bundle_index();
    for channel in &catalog.channels {
        channel_problems(channel, &mut problems);
        for entry in &channel.entries {
            let key = (channel.package.as_str(), entry.name.as_str());
            if !bundles.contains_key(&key) {
                problems.push(Problem::NoBundle {
                    package: channel.package.clone(),
                    channel: channel.name.clone(),
                    bundle: entry.name.clone(),
                });
            }
        }
    }
    let stranded = catalog.bundles.iter().filter(|b| b.package.is_empty());
    let stranded: Vec<String> = stranded.map(|bundle| bundle.name.clone()).collect();
    if !stranded.is_empty() {
        problems.push(Problem::Stranded { bundles: stranded });
    }
    let installable = catalog.bundles.iter().filter(|b| !b.package.is_empty());
    for bundle in installable.filter(|b| b.version.is_none()) {
        problems.push(Problem::NoVersion {
            package: bundle.package.clone(),
            bundle: bundle.name.clone(),
        });
    }
    problems.sort();
    problems.dedup();
    problems
}

/// The lists are sorted: what is there twice stands side by side.
fn duplicates(catalog: &Catalog) -> Vec<Problem> {
    let packages = catalog.packages.iter();
    let packages = packages.map(|p| ("package", &p.name, &p.name, &p.place));
    let channels = catalog.channels.iter();
    let channels = channels.map(|c| ("channel", &c.package, &c.name, &c.place));
    let bundles = catalog.bundles.iter();
    let bundles = bundles.map(|b| ("bundle", &b.package, &b.name, &b.place));
    let mut before = None;
    let mut problems = Vec::new();
    for (what, package, name, place) in packages.chain(channels).chain(bundles) {
        if before.replace((what, package, name)) == Some((what, package, name)) {
            problems.push(Problem::Duplicate {
                what,
                package: package.clone(),
                name: name.clone(),
                place: place.clone(),
            });
        }
    }
    problems
}

fn channel_problems(channel: &Channel, problems: &mut Vec<Problem>) {
    let heads = channel.heads();
    if heads.len() != 1 {
        problems.push(Problem::Heads {
            package: channel.package.clone(),
            channel: channel.name.clone(),
            heads: heads.iter().map(|head| head.name.clone()).collect(),
        });
    }
    if let Some(bundle) = cycle(channel) {
        problems.push(Problem::Cycle {
            package: channel.package.clone(),
            channel: channel.name.clone(),
            bundle: bundle.to_owned(),
        });
    }
}

/// A bundle from which `replaces` leads back to itself: the smallest one. Every edge is
/// followed once, so that neither circles nor long chains cost more than they are long.
fn cycle(channel: &Channel) -> Option<&str> {
    let edges: BTreeMap<&str, &str> = channel
        .entries
        .iter()
        .filter_map(|entry| Some((entry.name.as_str(), entry.replaces.as_deref()?)))
        .collect();
    // The walk that came by first.
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut smallest: Option<&str> = None;
    for (walk, start) in edges.keys().enumerate() {
        let mut at = *start;
        loop {
            match seen.get(at) {
                Some(other) if *other == walk => {
                    smallest = smallest.into_iter().chain(around(at, &edges)).min();
                    break;
                }
                Some(_) => break,
                None => seen.insert(at, walk),
            };
            match edges.get(at) {
                Some(next) => at = next,
                None => break,
            }
        }
    }
    smallest
}

/// The smallest name on the circle on which `start` is.
fn around<'a>(start: &'a str, edges: &BTreeMap<&'a str, &'a str>) -> Option<&'a str> {
    let mut smallest = start;
    let mut at = *edges.get(start)?;
    while at != start {
        smallest = smallest.min(at);
        at = edges.get(at)?;
    }
    Some(smallest)
}
