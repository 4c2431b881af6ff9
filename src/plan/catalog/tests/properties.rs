//! Properties of every result of the filter, for generated catalogs and filters.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::*;
use crate::content::catalog::{Bundle, Channel, Entry, Gvk, Package, Place, RequiredPackage};

/// A package with a chain of bundles in each of its channels.
#[derive(Debug, Clone)]
struct Draft {
    /// For each channel: its bundles from the tail up; true if the bundle is only skipped.
    channels: Vec<Vec<(u64, bool)>>,
    /// Requirements of packages: bundle, required package (by number), lowest version.
    requires: Vec<(u64, usize, u64)>,
    /// For each bundle, the numbers of the API that it provides and of the API that it requires.
    apis: Vec<(u64, u8, u8)>,
}

fn draft() -> impl Strategy<Value = Draft> {
    let channel = prop::collection::btree_set(1..12_u64, 1..8).prop_flat_map(|bundles| {
        let flags = prop::collection::vec(any::<bool>(), bundles.len());
        flags.prop_map(move |flags| bundles.iter().copied().zip(flags).collect::<Vec<_>>())
    });
    let requires = prop::collection::vec((1..12_u64, 0..4_usize, 1..14_u64), 0..3);
    let apis = prop::collection::vec((1..12_u64, 0..4_u8, 0..4_u8), 0..3);
    (prop::collection::vec(channel, 1..3), requires, apis).prop_map(|(channels, requires, apis)| {
        Draft {
            channels,
            requires,
            apis,
        }
    })
}

fn place(number: u64) -> Place {
    Place {
        table: None,
        file: "catalog".into(),
        number,
    }
}

fn api(number: u8) -> Gvk {
    Gvk {
        group: "g".to_owned(),
        version: "v1".to_owned(),
        kind: format!("K{number}"),
    }
}

fn build(drafts: &[Draft]) -> Catalog {
    let mut catalog = Catalog::default();
    for (index, draft) in drafts.iter().enumerate() {
        let package = format!("p{index}");
        let name = |version: u64| format!("{package}.v{version}");
        catalog.packages.push(Package {
            name: package.clone(),
            default_channel: Some("c0".to_owned()),
            place: place(0),
        });
        let mut versions = BTreeSet::new();
        for (number, bundles) in draft.channels.iter().enumerate() {
            let mut entries: Vec<Entry> = Vec::new();
            let mut replaces = None;
            let mut skips = Vec::new();
            for (position, (version, skipped)) in bundles.iter().enumerate() {
                versions.insert(*version);
                let is_head = position + 1 == bundles.len();
                let mut entry = Entry {
                    name: name(*version),
                    ..Entry::default()
                };
                if *skipped && !is_head {
                    skips.push(entry.name.clone());
                } else {
                    entry.replaces = replaces.replace(entry.name.clone());
                    entry.skips = std::mem::take(&mut skips);
                }
                entries.push(entry);
            }
            catalog.channels.push(Channel {
                package: package.clone(),
                name: format!("c{number}"),
                entries,
                place: place(number as u64),
            });
        }
        for version in versions {
            let required = draft.requires.iter().filter(|(of, _, _)| *of == version);
            let required = required.map(|(_, package, least)| RequiredPackage {
                name: format!("p{package}"),
                version_range: format!(">=1.{least}.0"),
            });
            let apis = || draft.apis.iter().filter(|(of, _, _)| *of == version);
            catalog.bundles.push(Bundle {
                package: package.clone(),
                name: name(version),
                image: None,
                version: Some(format!("1.{version}.0")),
                related_images: Vec::new(),
                required_packages: required.collect(),
                required_apis: apis().map(|(_, _, required)| api(*required)).collect(),
                provided_apis: apis().map(|(_, provided, _)| api(*provided)).collect(),
                has_constraints: false,
                object_files: Vec::new(),
                place: place(version),
            });
        }
    }
    catalog
}

/// Generates a catalog, and a filter of packages and channels that it has. Such a filter may
/// still keep nothing, but most filters keep something.
fn drawn() -> impl Strategy<Value = (Vec<Draft>, CatalogFilter)> {
    let drafts = prop::collection::vec(draft(), 1..5);
    drafts.prop_flat_map(|drafts| {
        let wanted = wanted(drafts.iter().map(|draft| draft.channels.len()).collect());
        (Just(drafts), wanted)
    })
}

/// Generates a filter of packages with these numbers of channels.
fn wanted(counts: Vec<usize>) -> impl Strategy<Value = CatalogFilter> {
    let versions = (prop::option::of(0..14_u64), prop::option::of(0..14_u64));
    let bounds = versions.prop_map(|(min, max)| {
        let (min, max) = match (min, max) {
            (Some(min), Some(max)) => (Some(min.min(max)), Some(max.max(min))),
            other => other,
        };
        let version = |minor| semver::Version::new(1, minor, 0);
        VersionBounds::new(min.map(version), max.map(version)).unwrap()
    });
    let channels = prop::collection::btree_map(0..2_usize, bounds.clone(), 0..3);
    let package = (channels, bounds, any::<bool>());
    let packages = prop::collection::btree_map(0..counts.len(), package, 0..3);
    let all = (packages, any::<bool>(), any::<bool>());
    all.prop_map(move |(packages, full, dependencies)| {
        let packages = packages
            .into_iter()
            .map(|(index, (channels, versions, full))| {
                let channels = channels
                    .into_iter()
                    .filter(|(number, _)| *number < counts[index]);
                let channels: BTreeMap<String, VersionBounds> = channels
                    .map(|(number, bounds)| (format!("c{number}"), bounds))
                    .collect();
                // The catalog's default channel is `c0`; a filter that does not keep it must set
                // another.
                let first = channels.keys().next().cloned();
                let package = PackageFilter {
                    channels,
                    versions,
                    default_channel: first.filter(|channel| channel != "c0"),
                    full,
                };
                (format!("p{index}"), package)
            });
        CatalogFilter {
            packages: packages.collect(),
            full,
            dependencies,
        }
    })
}

/// Reduces a catalog to what is kept.
fn cut(catalog: &Catalog, kept: &Kept) -> Catalog {
    let mut result = catalog.clone();
    result.packages.retain_mut(|package| {
        let kept = kept.packages.get(&package.name);
        package.default_channel = kept.and_then(|kept| kept.default_channel.clone());
        kept.is_some()
    });
    result
        .bundles
        .retain(|bundle| kept.has(&bundle.package, &bundle.name));
    result.channels.retain_mut(|channel| {
        let package = kept.packages.get(&channel.package);
        let entries = package.and_then(|package| package.channels.get(&channel.name));
        channel
            .entries
            .retain(|entry| entries.is_some_and(|kept| kept.contains(&entry.name)));
        entries.is_some()
    });
    result
}

/// Checks the rules of `opm validate` about references between documents.
fn validate(catalog: &Catalog) {
    assert_eq!(catalog.problems(), []);
    let mut in_channels = BTreeSet::new();
    for channel in &catalog.channels {
        let entries: BTreeMap<&str, &Entry> = channel
            .entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry))
            .collect();
        let mut reached = BTreeSet::new();
        let mut at = Some(channel.heads()[0].name.as_str());
        while let Some(entry) = at.and_then(|name| entries.get(name)) {
            reached.insert(entry.name.as_str());
            reached.extend(entry.skips.iter().map(String::as_str));
            at = entry.replaces.as_deref();
        }
        for name in entries.keys() {
            assert!(
                reached.contains(name),
                "{name} is stranded in {}",
                channel.name
            );
            in_channels.insert((channel.package.as_str(), *name));
        }
    }
    for bundle in &catalog.bundles {
        let key = (bundle.package.as_str(), bundle.name.as_str());
        assert!(
            in_channels.contains(&key),
            "{} is in no channel",
            bundle.name
        );
    }
}

/// Allows as many rejected inputs as cases: at least half of the generated inputs must be usable.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig {
        failure_persistence: None,
        max_global_rejects: config.cases,
        ..config
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn results_are_valid_closed_and_the_same_each_time(
        (drafts, wanted) in drawn(),
    ) {
        let mut catalog = build(&drafts);
        let result = filter(&catalog, &wanted);
        catalog.packages.reverse();
        catalog.channels.reverse();
        catalog.bundles.reverse();
        prop_assert_eq!(&result, &filter(&catalog, &wanted));
        prop_assume!(result.is_ok());
        let kept = result.unwrap();
        let small = cut(&build(&drafts), &kept);
        validate(&small);
        for (name, package) in &kept.packages {
            let default = package.default_channel.as_ref().unwrap();
            prop_assert!(package.channels.contains_key(default), "{}", name);
            for bundle in package.bundles.values() {
                prop_assert!(!bundle.reasons.is_empty());
            }
        }
        // A filter that keeps everything of the result gives the result.
        let again = CatalogFilter { full: true, ..CatalogFilter::default() };
        let again = filter(&small, &again).unwrap();
        for (name, package) in &kept.packages {
            prop_assert_eq!(&package.channels, &again.packages[name].channels);
        }
    }

    #[test]
    fn heads_survive(drafts in prop::collection::vec(draft(), 1..5)) {
        let catalog = build(&drafts);
        let kept = filter(&catalog, &CatalogFilter::default()).unwrap();
        for channel in &catalog.channels {
            let entries = &kept.packages[&channel.package].channels[&channel.name];
            let heads: Vec<String> = channel.heads().iter().map(|head| head.name.clone()).collect();
            prop_assert_eq!(entries.iter().cloned().collect::<Vec<_>>(), heads);
        }
    }

    #[test]
    fn what_was_asked_for_is_there(
        (drafts, mut wanted) in drawn(),
    ) {
        wanted.dependencies = true;
        let catalog = build(&drafts);
        let result = filter(&catalog, &wanted);
        prop_assume!(result.is_ok());
        let kept = result.unwrap();
        // Every requirement is met or reported.
        let told: BTreeSet<&Requirement> = kept.warnings.iter().filter_map(|warning| match warning {
            FilterWarning::Unsatisfied { requirement, .. } => Some(requirement),
            _ => None,
        }).collect();
        for bundle in catalog.bundles.iter().filter(|b| kept.has(&b.package, &b.name)) {
            for required in &bundle.required_packages {
                let range: VersionRange = required.version_range.parse().unwrap();
                let package = kept.packages.get(&required.name);
                let mut versions = package.iter().flat_map(|p| p.bundles.values());
                let met = versions.any(|b| b.version.as_ref().is_some_and(|v| range.contains(v)));
                let requirement = Requirement::Package {
                    name: required.name.clone(),
                    range: required.version_range.clone(),
                };
                prop_assert!(met || told.contains(&requirement), "{}", requirement);
            }
            for api in &bundle.required_apis {
                let met = catalog.bundles.iter().any(|b| {
                    kept.has(&b.package, &b.name) && b.provided_apis.contains(api)
                });
                let requirement = Requirement::Api(api.clone());
                prop_assert!(met || told.contains(&requirement), "{}", requirement);
            }
        }
        // Every version between the bounds of a named channel is kept, if it can be reached.
        for (name, package) in &wanted.packages {
            for (channel, bounds) in &package.channels {
                let in_range = catalog.channels_of(name).filter(|c| c.name == *channel);
                let in_range = in_range.flat_map(|c| &c.entries).filter(|entry| {
                    let bundle = catalog.bundle(name, &entry.name);
                    let version = bundle.and_then(|b| b.version.as_ref()).unwrap().parse().unwrap();
                    !bounds.is_unbounded() && bounds.contains(&version)
                });
                for entry in in_range {
                    prop_assert!(kept.has(name, &entry.name), "{}", entry.name);
                }
            }
        }
    }
}
