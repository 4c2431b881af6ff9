//! A catalog, indexed by names.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use semver::Version;

use super::FilterProblem;
use super::graph::Graph;
use crate::content::catalog::{Bundle, Catalog, Channel, Gvk, Package};

/// A catalog, indexed by names.
pub(super) struct Facts<'a> {
    packages: BTreeMap<&'a str, PackageFacts<'a>>,
    providers: BTreeMap<&'a Gvk, Vec<&'a Bundle>>,
    graphs: RefCell<BTreeMap<(&'a str, &'a str), Rc<Graph<'a>>>>,
}

/// The documents about a package, by name.
#[derive(Default)]
pub(super) struct PackageFacts<'a> {
    pub(super) package: Option<&'a Package>,
    pub(super) channels: BTreeMap<&'a str, &'a Channel>,
    pub(super) bundles: BTreeMap<&'a str, BundleFacts<'a>>,
    /// Problems for things that the catalog describes twice.
    pub(super) duplicates: Vec<FilterProblem>,
}

/// A bundle with its version, if that can be parsed.
pub(super) struct BundleFacts<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) version: Option<Version>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(catalog: &'a Catalog) -> Self {
        let mut packages: BTreeMap<&str, PackageFacts<'_>> = BTreeMap::new();
        let twice = |what: &str, package: &str, name: &str| FilterProblem::Duplicate {
            what: what.to_owned(),
            package: package.to_owned(),
            name: name.to_owned(),
        };
        for package in &catalog.packages {
            let facts = packages.entry(&package.name).or_default();
            if facts.package.replace(package).is_some() {
                let problem = twice("package", &package.name, &package.name);
                facts.duplicates.push(problem);
            }
        }
        for channel in &catalog.channels {
            let facts = packages.entry(&channel.package).or_default();
            if facts.channels.insert(&channel.name, channel).is_some() {
                let problem = twice("channel", &channel.package, &channel.name);
                facts.duplicates.push(problem);
            }
        }
        let mut providers: BTreeMap<&Gvk, Vec<&Bundle>> = BTreeMap::new();
        for bundle in &catalog.bundles {
            let facts = packages.entry(&bundle.package).or_default();
            let version = bundle.version.as_deref().and_then(|text| text.parse().ok());
            let known = BundleFacts { bundle, version };
            if facts.bundles.insert(&bundle.name, known).is_some() {
                let problem = twice("bundle", &bundle.package, &bundle.name);
                facts.duplicates.push(problem);
            }
            for api in &bundle.provided_apis {
                providers.entry(api).or_default().push(bundle);
            }
        }
        Self {
            packages,
            providers,
            graphs: RefCell::default(),
        }
    }

    /// Returns the names of the packages that the catalog describes.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        let described = self
            .packages
            .iter()
            .filter(|(_, facts)| facts.package.is_some());
        described.map(|(name, _)| *name)
    }

    /// Returns a package; `None` if the catalog has no document that describes it.
    pub(super) fn package(&self, name: &str) -> Option<&PackageFacts<'a>> {
        self.packages
            .get(name)
            .filter(|facts| facts.package.is_some())
    }

    /// Returns the bundles that provide an API.
    pub(super) fn providers(&self, api: &Gvk) -> &[&'a Bundle] {
        self.providers
            .get(api)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Returns the graph of a channel, computed once.
    pub(super) fn graph(&self, channel: &'a Channel) -> Result<Rc<Graph<'a>>, FilterProblem> {
        let key = (channel.package.as_str(), channel.name.as_str());
        if let Some(graph) = self.graphs.borrow().get(&key) {
            return Ok(Rc::clone(graph));
        }
        let graph = Rc::new(Graph::new(channel)?);
        self.graphs.borrow_mut().insert(key, Rc::clone(&graph));
        Ok(graph)
    }
}

impl<'a> PackageFacts<'a> {
    /// Returns the version of a bundle; `None` if it has no valid one.
    pub(super) fn version(&self, bundle: &str) -> Option<&Version> {
        self.bundles.get(bundle)?.version.as_ref()
    }

    /// Returns the channels: the default channel first, the others by name.
    pub(super) fn channels_by_rank(&self) -> Vec<&'a Channel> {
        let default = self
            .package
            .and_then(|package| package.default_channel.as_deref());
        let mut channels: Vec<&Channel> = self.channels.values().copied().collect();
        channels.sort_by_key(|channel| Some(channel.name.as_str()) != default);
        channels
    }
}
