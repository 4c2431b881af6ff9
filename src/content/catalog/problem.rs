//! Faults of a catalog that do not prevent reading it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::{Catalog, Channel, Place};

/// Maximum number of names in a message.
const SHOWN: usize = 5;

/// A fault that OLM refuses, or that makes the catalog ambiguous.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Problem {
    /// A package, channel or bundle has two documents.
    Duplicate {
        /// `package`, `channel` or `bundle`.
        what: &'static str,
        /// Name of the package.
        package: String,
        /// Name of the channel, bundle or package.
        name: String,
        /// The second document.
        place: Place,
    },
    /// Channels or bundles of a package that has no package document.
    NoPackage {
        /// Name of the package.
        package: String,
    },
    /// A package has no default channel, or one that does not exist.
    DefaultChannel {
        /// Name of the package.
        package: String,
        /// Name of the default channel, if there is one.
        channel: Option<String>,
    },
    /// A channel has no head, or several.
    Heads {
        /// Name of the package.
        package: String,
        /// Name of the channel.
        channel: String,
        /// Names of the heads, sorted.
        heads: Vec<String>,
    },
    /// The `replaces` edges of a channel form a cycle.
    Cycle {
        /// Name of the package.
        package: String,
        /// Name of the channel.
        channel: String,
        /// Name of a bundle on the cycle.
        bundle: String,
    },
    /// A channel's entry names a bundle that does not exist.
    NoBundle {
        /// Name of the package.
        package: String,
        /// Name of the channel.
        channel: String,
        /// Name of the entry.
        bundle: String,
    },
    /// Bundles of a database that are in no channel, so that they cannot be installed.
    InNoChannel {
        /// Names of the bundles, sorted.
        bundles: Vec<String>,
    },
    /// A document lacks a text that OLM requires. `opm render` and `oc` read it nevertheless.
    MissingKey {
        /// The document.
        place: Place,
        /// The incomplete item: a schema, or a part of a document.
        what: &'static str,
        /// The missing key.
        key: &'static str,
    },
    /// A document has a duplicate key; the last one counts, as in `opm`.
    KeyTwice {
        /// The document.
        place: Place,
        /// The key, shortened.
        key: String,
    },
    /// A line of an ignore file is invalid and matches nothing.
    IgnoreLine {
        /// Path of the file.
        file: Arc<str>,
        /// Line number, from 1.
        line: u64,
        /// The fault, as a clause.
        why: &'static str,
    },
    /// A property of a bundle is invalid, so that its version or dependencies may be unknown.
    Property {
        /// Name of the package; empty for a bundle of a database that is in no channel.
        package: String,
        /// Name of the bundle.
        bundle: String,
        /// Type of the property.
        kind: String,
        /// The fault, as a clause.
        wrong: String,
        /// The document.
        place: Place,
    },
    /// A bundle has no version.
    NoVersion {
        /// Name of the package.
        package: String,
        /// Name of the bundle.
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
                    "The {what} `{name}` of package `{package}` is defined twice; the second is \
                     {place}"
                )
            }
            Self::NoPackage { package } => {
                write!(
                    f,
                    "The package `{}` has channels or bundles, but no `olm.package` document",
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
                    "The default channel `{channel}` of package `{package}` does not exist"
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
                    "In the channel `{channel}` of package `{package}` the `replaces` edges form \
                     a cycle through `{bundle}`"
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
                    "The channel `{channel}` of package `{package}` names the bundle `{bundle}`, \
                     which is not in the catalog"
                )
            }
            Self::InNoChannel { bundles } => {
                let shown: Vec<String> = bundles.iter().take(SHOWN).map(|name| esc(name)).collect();
                let shown = shown.join(", ");
                write!(
                    f,
                    "Bundles in no channel, so that they cannot be installed: {shown}"
                )?;
                match bundles.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                    Some(more) => write!(f, " and {more} more"),
                    None => Ok(()),
                }
            }
            Self::MissingKey { place, what, key } => {
                write!(
                    f,
                    "{what} has no `{key}`; OLM refuses such a catalog: {place}"
                )
            }
            Self::KeyTwice { place, key } => {
                let key = esc(key);
                write!(
                    f,
                    "The key `{key}` occurs twice in one map; the last one counts: {place}"
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
                write!(f, "The property {kind} of bundle `{bundle}` ")?;
                if !package.is_empty() {
                    write!(f, "of package `{package}` ")?;
                }
                write!(f, "is ignored: {wrong} ({place})")
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
    /// The document in which the problem was found; `None` for problems that concern several.
    pub(super) fn place(&self) -> Option<&Place> {
        match self {
            Self::MissingKey { place, .. }
            | Self::KeyTwice { place, .. }
            | Self::Property { place, .. } => Some(place),
            _ => None,
        }
    }
}

/// Finds all problems, sorted.
pub(super) fn find(catalog: &Catalog) -> Vec<Problem> {
    let mut problems = duplicates(catalog);
    problems.extend(catalog.problems_found.iter().cloned());
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
    let in_no_channel = catalog.bundles.iter().filter(|b| b.package.is_empty());
    let in_no_channel: Vec<String> = in_no_channel.map(|bundle| bundle.name.clone()).collect();
    if !in_no_channel.is_empty() {
        problems.push(Problem::InNoChannel {
            bundles: in_no_channel,
        });
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

/// Finds duplicates: the lists are sorted, so equal names are adjacent.
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

/// Returns the smallest name on a cycle of `replaces` edges. Follows every edge once, so that the
/// time is linear.
fn cycle(channel: &Channel) -> Option<&str> {
    let edges: BTreeMap<&str, &str> = channel
        .entries
        .iter()
        .filter_map(|entry| Some((entry.name.as_str(), entry.replaces.as_deref()?)))
        .collect();
    // The first walk that visited each entry.
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut smallest: Option<&str> = None;
    for (walk, start) in edges.keys().enumerate() {
        let mut at = *start;
        loop {
            match seen.get(at) {
                Some(other) if *other == walk => {
                    smallest = smallest
                        .into_iter()
                        .chain(smallest_on_cycle(at, &edges))
                        .min();
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

/// The smallest name on the cycle that contains `start`.
fn smallest_on_cycle<'a>(start: &'a str, edges: &BTreeMap<&'a str, &'a str>) -> Option<&'a str> {
    let mut smallest = start;
    let mut at = *edges.get(start)?;
    while at != start {
        smallest = smallest.min(at);
        at = edges.get(at)?;
    }
    Some(smallest)
}
