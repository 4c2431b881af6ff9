//! Keeps what kept bundles require, and what that requires in turn.
//!
//! OLM resolves dependencies again on the cluster, so one bundle that meets a requirement is
//! enough. A requirement that a kept bundle meets adds nothing. Otherwise one bundle is added:
//! from the default channel if one there meets the requirement, and of several the highest
//! version.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use semver::Version;

use super::facts::{Facts, PackageFacts};
use super::graph::Graph;
use super::select::add;
use super::{FilterProblem, FilterWarning, Kept, Reason, Requirement, VersionRange};
use crate::content::catalog::{Bundle, Channel, Gvk};
use crate::model::Count;

/// Adds to `kept` all bundles that its bundles require.
pub(super) fn resolve(facts: &Facts<'_>, kept: &mut Kept, problems: &mut Vec<FilterProblem>) {
    let mut resolver = Resolver {
        facts,
        waiting: VecDeque::new(),
        problems,
    };
    for (package, known) in &kept.packages {
        let bundles = known.bundles.keys();
        let names = bundles.map(|bundle| (package.clone(), bundle.clone()));
        resolver.waiting.extend(names);
    }
    while let Some((package, bundle)) = resolver.waiting.pop_front() {
        let known = facts.package(&package);
        if let Some(known) = known.and_then(|known| known.bundles.get(bundle.as_str())) {
            resolver.bundle(known.bundle, kept);
        }
    }
}

/// Returns a warning if kept bundles require packages or APIs that are not kept.
pub(super) fn unmet(facts: &Facts<'_>, kept: &Kept) -> Option<FilterWarning> {
    let is_met = |requirement: &Requirement| match requirement {
        Requirement::Package { name, range } => {
            let range: Option<VersionRange> = range.parse().ok();
            let known = kept.packages.get(name);
            let mut bundles = known.iter().flat_map(|known| known.bundles.values());
            range.is_some_and(|range| {
                bundles.any(|bundle| bundle.version.as_ref().is_some_and(|v| range.contains(v)))
            })
        }
        Requirement::Api(api) => {
            let mut providers = facts.providers(api).iter();
            providers.any(|bundle| kept.has(&bundle.package, &bundle.name))
        }
    };
    let mut first = None;
    let mut count = 0_usize;
    for (package, known) in &kept.packages {
        let Some(described) = facts.package(package) else {
            continue;
        };
        for name in known.bundles.keys() {
            let Some(bundle) = described
                .bundles
                .get(name.as_str())
                .map(|facts| facts.bundle)
            else {
                continue;
            };
            let packages = bundle
                .required_packages
                .iter()
                .map(|required| Requirement::Package {
                    name: required.name.clone(),
                    range: required.version_range.clone(),
                });
            let apis = bundle.required_apis.iter().cloned().map(Requirement::Api);
            for requirement in packages.chain(apis).filter(|one| !is_met(one)) {
                count = count.saturating_add(1);
                first.get_or_insert((package, name, requirement));
            }
        }
    }
    let (package, bundle, requirement) = first?;
    Some(FilterWarning::Unmet {
        package: package.clone(),
        bundle: bundle.clone(),
        requirement,
        count: Count::of(count, "requirement"),
    })
}

struct Resolver<'f, 'a> {
    facts: &'f Facts<'a>,
    /// Bundles whose requirements have not been resolved yet, by package and name.
    waiting: VecDeque<(String, String)>,
    problems: &'f mut Vec<FilterProblem>,
}

/// A bundle that meets a requirement.
struct Candidate<'a> {
    channel: &'a Channel,
    graph: Rc<Graph<'a>>,
    bundle: &'a Bundle,
}

impl<'a> Resolver<'_, 'a> {
    fn bundle(&mut self, bundle: &Bundle, kept: &mut Kept) {
        for required in &bundle.required_packages {
            let requirement = Requirement::Package {
                name: required.name.clone(),
                range: required.version_range.clone(),
            };
            let range: Option<VersionRange> = required.version_range.parse().ok();
            let found = range.is_some_and(|range| {
                let will_do =
                    |version: Option<&Version>| version.is_some_and(|v| range.contains(v));
                let known = kept.packages.get(&required.name);
                let mut versions = known.iter().flat_map(|known| known.bundles.values());
                versions.any(|bundle| will_do(bundle.version.as_ref()))
                    || self.keep_best(
                        kept,
                        &required.name,
                        bundle,
                        &requirement,
                        |package, name| will_do(package.version(name)),
                    )
            });
            if !found {
                kept.warnings.push(unsatisfied(bundle, requirement));
            }
        }
        for api in &bundle.required_apis {
            let requirement = Requirement::Api(api.clone());
            let providers = self.facts.providers(api);
            let there = providers.iter().any(|p| kept.has(&p.package, &p.name));
            if !there && !self.keep_provider(kept, api, bundle, &requirement) {
                kept.warnings.push(unsatisfied(bundle, requirement));
            }
        }
        if bundle.has_constraints {
            kept.warnings.push(FilterWarning::Constraints {
                package: bundle.package.clone(),
                bundle: bundle.name.clone(),
            });
        }
    }

    /// Keeps a bundle that provides an API. Prefers a package that is kept already, then one
    /// whose default channel provides the API, then the first by name.
    fn keep_provider(
        &mut self,
        kept: &mut Kept,
        api: &Gvk,
        by: &Bundle,
        requirement: &Requirement,
    ) -> bool {
        let provides = |name: &str, package: &PackageFacts<'_>| {
            let known = package.bundles.get(name);
            known.is_some_and(|known| known.bundle.provided_apis.contains(api))
        };
        let in_default = |name: &str| {
            let package = self.facts.package(name);
            package.is_some_and(|package| {
                let best = package.channels_by_rank().into_iter().next();
                let entries = best.iter().flat_map(|channel| &channel.entries);
                let mut entries = entries.map(|entry| entry.name.as_str());
                entries.any(|entry| provides(entry, package))
            })
        };
        let providers = self.facts.providers(api);
        let mut names: Vec<&str> = providers.iter().map(|p| p.package.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let is_kept = |name: &str| kept.packages.contains_key(name);
        names.sort_by_cached_key(|name| (!is_kept(name), !in_default(name)));
        let mut names = names.into_iter();
        let taken = names.find(|name| {
            self.keep_best(kept, name, by, requirement, |package, bundle| {
                provides(bundle, package)
            })
        });
        let (Some(taken), mut others) = (taken, names.map(str::to_owned).collect::<Vec<_>>())
        else {
            return false;
        };
        if !others.is_empty() {
            others.sort();
            kept.warnings.push(FilterWarning::SeveralProviders {
                requirement: requirement.clone(),
                taken: taken.to_owned(),
                others,
            });
        }
        true
    }

    /// Keeps the best bundle of a package for which `will_do` is true; returns false if there is
    /// none.
    fn keep_best(
        &mut self,
        kept: &mut Kept,
        name: &str,
        by: &Bundle,
        requirement: &Requirement,
        will_do: impl Fn(&PackageFacts<'a>, &str) -> bool,
    ) -> bool {
        let Some(package) = self.facts.package(name) else {
            return false;
        };
        let best = package.channels_by_rank().into_iter().find_map(|channel| {
            let graph = self.facts.graph(channel).ok()?;
            let there = kept.packages.get(name);
            let there = there.and_then(|there| there.channels.get(&channel.name));
            // Entries that are on the chain, or skipped by it, can be connected with each other.
            let held = there.is_none_or(|there| there.iter().all(|e| graph.place(e).is_some()));
            let fits = |entry: &str| there.is_none() || (held && graph.place(entry).is_some());
            let entries = graph.entries().map(|entry| entry.name.as_str());
            let candidates = entries.filter_map(|entry| {
                let known = package.bundles.get(entry)?;
                (will_do(package, entry) && fits(entry)).then_some(known)
            });
            let best = candidates.max_by(|a, b| {
                let by_version = match (&a.version, &b.version) {
                    (Some(a), Some(b)) => a.cmp_precedence(b),
                    (a, b) => a.is_some().cmp(&b.is_some()),
                };
                by_version.then_with(|| a.bundle.name.cmp(&b.bundle.name))
            });
            let bundle = best?.bundle;
            Some(Candidate {
                channel,
                graph,
                bundle,
            })
        });
        let Some(best) = best else {
            return false;
        };
        self.problems.extend(package.duplicates.iter().cloned());
        self.keep(
            kept,
            package,
            &best,
            Reason::Required {
                by: by.name.clone(),
                requirement: requirement.clone(),
            },
        );
        self.keep_default_channel(kept, name, package);
        true
    }

    /// Keeps a bundle in its channel, with the bundles that connect it to those already kept
    /// there.
    fn keep(
        &mut self,
        kept: &mut Kept,
        package: &PackageFacts<'a>,
        candidate: &Candidate<'a>,
        reason: Reason,
    ) {
        let Candidate {
            channel,
            graph,
            bundle,
        } = candidate;
        let result = kept.packages.entry(channel.package.clone()).or_default();
        let there = result.channels.get(&channel.name);
        let there = there.iter().flat_map(|there| there.iter());
        let together: Vec<&str> = there
            .map(String::as_str)
            .chain([bundle.name.as_str()])
            .collect();
        let connecting = match together.as_slice() {
            // A single bundle needs no others to connect it.
            [_] => &[],
            _ => graph
                .connecting(together.iter().copied())
                .unwrap_or_default(),
        };
        let together: BTreeSet<&str> = together.into_iter().collect();
        let new = |name: &str| !together.contains(name);
        let connecting: Vec<&str> = connecting
            .iter()
            .map(|entry| entry.name.as_str())
            .filter(|name| new(name))
            .collect();
        let connects = connecting.into_iter().map(|name| {
            let channel = channel.name.clone();
            (name, Reason::Connects { channel })
        });
        let own = std::iter::once((bundle.name.as_str(), reason));
        for (name, reason) in own.chain(connects.collect::<Vec<_>>()) {
            let before = result.bundles.contains_key(name);
            add(result, package, channel, name, reason, self.problems);
            if !before && result.bundles.contains_key(name) {
                let key = (channel.package.clone(), name.to_owned());
                self.waiting.push_back(key);
            }
        }
    }

    /// Keeps the head of the package's default channel, unless the channel is kept already: a
    /// package must have its default channel.
    fn keep_default_channel(&mut self, kept: &mut Kept, name: &str, package: &PackageFacts<'a>) {
        let described = package
            .package
            .and_then(|known| known.default_channel.as_ref());
        let Some(result) = kept.packages.get_mut(name) else {
            return;
        };
        if result.default_channel.is_none() {
            result.default_channel = described.cloned();
        }
        let Some(default) = result.default_channel.clone() else {
            return;
        };
        if result.channels.contains_key(&default) {
            return;
        }
        let graph = match package.channels.get(default.as_str()) {
            None => {
                self.problems.push(FilterProblem::DefaultChannel {
                    package: name.to_owned(),
                    channel: default,
                    kept: result.channels.keys().cloned().collect(),
                });
                return;
            }
            Some(channel) => self.facts.graph(channel).map(|graph| (*channel, graph)),
        };
        match graph {
            Err(problem) => self.problems.push(problem),
            Ok((channel, graph)) => {
                let head = graph
                    .head()
                    .and_then(|head| package.bundles.get(head.name.as_str()));
                if let Some(head) = head {
                    let candidate = Candidate {
                        channel,
                        graph,
                        bundle: head.bundle,
                    };
                    let reason = Reason::DefaultHead { channel: default };
                    self.keep(kept, package, &candidate, reason);
                }
            }
        }
    }
}

fn unsatisfied(bundle: &Bundle, requirement: Requirement) -> FilterWarning {
    FilterWarning::Unsatisfied {
        package: bundle.package.clone(),
        bundle: bundle.name.clone(),
        requirement,
    }
}
