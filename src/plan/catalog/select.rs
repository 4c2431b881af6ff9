//! Selects bundles of packages (docs/oc-compatibility.md, section 5.2).

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Facts, PackageFacts};
use super::graph::Graph;
use super::request::{CatalogFilter, ChannelSelection};
use super::{FilterProblem, FilterWarning, Kept, KeptPackage, Reason, VersionBounds};
use crate::content::catalog::Channel;
use crate::model::Count;

/// The selected entries of a channel, each with the reason.
type Chosen<'a> = BTreeMap<&'a str, Reason>;

/// Selects what the filter names; the requirements of these bundles are added later.
pub(super) fn select(facts: &Facts<'_>, filter: &CatalogFilter) -> (Kept, Vec<FilterProblem>) {
    let mut kept = Kept::default();
    let mut problems = Vec::new();
    let names: BTreeSet<&str> = if filter.packages.is_empty() {
        facts.names().collect()
    } else {
        filter.packages.keys().map(String::as_str).collect()
    };
    for name in names {
        let Some(package) = facts.package(name) else {
            problems.push(FilterProblem::NoPackage {
                package: name.to_owned(),
            });
            continue;
        };
        problems.extend(package.duplicates.iter().cloned());
        select_package(facts, filter, name, package, &mut kept, &mut problems);
    }
    (kept, problems)
}

fn select_package<'a>(
    facts: &Facts<'a>,
    filter: &CatalogFilter,
    name: &str,
    package: &PackageFacts<'a>,
    kept: &mut Kept,
    problems: &mut Vec<FilterProblem>,
) {
    let own = filter.packages.get(name);
    for channel in own.iter().flat_map(|own| own.channels.keys()) {
        if !package.channels.contains_key(channel.as_str()) {
            problems.push(FilterProblem::NoChannel {
                package: name.to_owned(),
                channel: channel.clone(),
                channels: package
                    .channels
                    .keys()
                    .map(|name| (*name).to_owned())
                    .collect(),
            });
        }
    }
    let before = problems.len();
    let mut result = KeptPackage::default();
    for channel in package.channels.values() {
        let Some(wanted) = filter.wanted(name, &channel.name) else {
            continue;
        };
        let graph = match facts.graph(channel) {
            Ok(graph) => graph,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let chosen = match wanted {
            ChannelSelection::All => whole(&graph, channel),
            ChannelSelection::Head => head(&graph, channel),
            ChannelSelection::Versions(bounds) => {
                let chosen = versions(&graph, package, channel, bounds);
                warn_of_versions(&chosen, &graph, package, channel, bounds, kept);
                chosen
            }
        };
        for (bundle, reason) in chosen {
            add(&mut result, package, channel, bundle, reason, problems);
        }
    }
    let default = own.and_then(|own| own.default_channel.as_ref());
    let described = package
        .package
        .and_then(|known| known.default_channel.as_ref());
    result.default_channel = default.or(described).cloned();
    let missing = result
        .default_channel
        .clone()
        .filter(|channel| !result.channels.contains_key(channel));
    if problems.len() > before {
        // The package already has problems: checks of what is left would report only their
        // consequences.
    } else if result.channels.is_empty() {
        problems.push(FilterProblem::Nothing {
            package: name.to_owned(),
        });
    } else if let Some(channel) = missing {
        problems.push(FilterProblem::DefaultChannel {
            package: name.to_owned(),
            channel,
            kept: result.channels.keys().cloned().collect(),
        });
    }
    kept.packages.insert(name.to_owned(), result);
}

/// Adds a bundle to a channel of the kept package.
pub(super) fn add(
    kept: &mut KeptPackage,
    package: &PackageFacts<'_>,
    channel: &Channel,
    bundle: &str,
    reason: Reason,
    problems: &mut Vec<FilterProblem>,
) {
    let Some(known) = package.bundles.get(bundle) else {
        problems.push(FilterProblem::NoBundle {
            package: channel.package.clone(),
            channel: channel.name.clone(),
            bundle: bundle.to_owned(),
        });
        return;
    };
    let entries = kept.channels.entry(channel.name.clone()).or_default();
    entries.insert(bundle.to_owned());
    let row = kept.bundles.entry(bundle.to_owned()).or_default();
    row.version.clone_from(&known.version);
    row.reasons.insert(reason);
}

fn whole<'a>(graph: &Graph<'a>, channel: &Channel) -> Chosen<'a> {
    let reason = Reason::Whole {
        channel: channel.name.clone(),
    };
    let entries = graph.entries().map(|entry| entry.name.as_str());
    entries.map(|name| (name, reason.clone())).collect()
}

fn head<'a>(graph: &Graph<'a>, channel: &Channel) -> Chosen<'a> {
    let reason = Reason::Head {
        channel: channel.name.clone(),
    };
    let head = graph.head().into_iter();
    head.map(|entry| (entry.name.as_str(), reason.clone()))
        .collect()
}

/// Selects the bundles in a range of versions, and the bundles that connect them.
///
/// The result is a part of the chain. Its head is the lowest bundle that has all bundles of the
/// range at or below it; its tail is the lowest bundle that has at least one of them at or below
/// it. All bundles of the chain from head to tail are kept, whatever their versions, so that
/// upgrades lead from one to the next; of the bundles that these skip, those in the range are
/// kept.
fn versions<'a>(
    graph: &Graph<'a>,
    package: &PackageFacts<'a>,
    channel: &Channel,
    bounds: &VersionBounds,
) -> Chosen<'a> {
    let in_range = |name: &str| package.version(name).is_some_and(|v| bounds.contains(v));
    let reason = Reason::versions(&channel.name, bounds);
    if let Some(version) = bounds.exact() {
        // Of several bundles with this version, prefers the one nearest to the head.
        let on_chain = graph.chain().iter().copied();
        let exact = on_chain.chain(graph.entries()).find(|entry| {
            let known = package.version(&entry.name);
            known.is_some_and(|known| known.cmp_precedence(version).is_eq())
        });
        let exact = exact.map(|entry| (entry.name.as_str(), reason));
        return exact.into_iter().collect();
    }
    // For each bundle of the chain, from the tail up: the number of bundles in the range that are
    // at or below it.
    let mut seen = BTreeSet::new();
    let mut counts = Vec::with_capacity(graph.chain().len());
    for entry in graph.chain().iter().rev() {
        let here = std::iter::once(*entry).chain(graph.skipped_by(entry));
        seen.extend(here.map(|entry| &entry.name).filter(|name| in_range(name)));
        counts.push(seen.len());
    }
    let all = seen.len();
    let piece = graph.chain().iter().zip(counts.into_iter().rev());
    // The new head is the last entry with the count `all`; every entry above it has this count
    // too.
    let above = piece.clone().filter(|(_, count)| *count == all).count();
    let piece = piece
        .skip(above.saturating_sub(1))
        .take_while(|(_, count)| *count > 0);
    let mut chosen = Chosen::new();
    for (entry, _) in piece {
        let own = if in_range(&entry.name) {
            reason.clone()
        } else {
            Reason::Connects {
                channel: channel.name.clone(),
            }
        };
        chosen.insert(&entry.name, own);
        for skipped in graph.skipped_by(entry) {
            if in_range(&skipped.name) {
                chosen.insert(&skipped.name, reason.clone());
            }
        }
    }
    chosen
}

/// Warns of bundles that a range of versions leaves out unexpectedly.
fn warn_of_versions(
    chosen: &Chosen<'_>,
    graph: &Graph<'_>,
    package: &PackageFacts<'_>,
    channel: &Channel,
    bounds: &VersionBounds,
    kept: &mut Kept,
) {
    let left_out = graph.entries().filter_map(|entry| {
        let version = package.version(&entry.name)?;
        let spanned = bounds.spans(version) && !bounds.contains(version);
        (spanned && !chosen.contains_key(entry.name.as_str())).then_some(version)
    });
    let left_out: Vec<_> = left_out.collect();
    if let Some(example) = left_out.iter().max_by(|a, b| a.cmp_precedence(b)) {
        kept.warnings.push(FilterWarning::PreReleases {
            package: channel.package.clone(),
            channel: channel.name.clone(),
            versions: bounds.to_string(),
            count: left_out.len(),
            example: (*example).clone(),
        });
    }
    let unversioned = graph.entries().filter_map(|entry| {
        let bundle = package.bundles.get(entry.name.as_str())?;
        let is_out = bundle.version.is_none() && !chosen.contains_key(entry.name.as_str());
        is_out.then_some(bundle.bundle)
    });
    let unversioned: Vec<_> = unversioned.collect();
    if let Some(example) = unversioned.iter().min_by_key(|bundle| &bundle.name) {
        kept.warnings.push(FilterWarning::NoVersion {
            package: channel.package.clone(),
            channel: channel.name.clone(),
            versions: bounds.to_string(),
            count: Count::of(unversioned.len(), "bundle"),
            example: example.name.clone(),
            text: example.version.clone().unwrap_or_default(),
        });
    }
    if chosen.is_empty() {
        kept.warnings.push(FilterWarning::EmptyChannel {
            package: channel.package.clone(),
            channel: channel.name.clone(),
            versions: bounds.to_string(),
        });
    }
}
