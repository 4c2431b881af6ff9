//! The index of a catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::Problem;
use super::images::{self, CatalogImages, NamedBy};

/// The place of a document in a catalog, or of a row in its database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file's path below the catalog's directory; the database's name for a database.
    pub file: Arc<str>,
    /// The table of a database; `None` for a file.
    pub table: Option<&'static str>,
    /// The document's number in the file, or the row's number in the table, from 1.
    pub number: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, number) = (self.file.escape_debug(), self.number);
        match self.table {
            Some(table) => write!(f, "{file}, row {number} of `{table}`"),
            None => write!(f, "{file}, document {number}"),
        }
    }
}

/// The index of a catalog: everything but the manifests. All lists are sorted by package and name,
/// then by place; names are as written and may repeat (see [`Catalog::problems`]).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// `olm.package`.
    pub packages: Vec<Package>,
    /// `olm.channel`.
    pub channels: Vec<Channel>,
    /// `olm.bundle`.
    pub bundles: Vec<Bundle>,
    /// `olm.deprecations`.
    pub deprecations: Vec<Deprecations>,
    /// Documents of every other schema.
    pub others: Vec<Other>,
    /// Images that documents other than bundles name.
    pub other_images: Vec<(NamedBy, String)>,
    /// Number of empty strings where images should be. They are ignored, as in `oc`.
    pub empty_images: usize,
    /// Problems found in single documents or rows while reading.
    pub(super) problems_found: Vec<Problem>,
}

/// An `olm.package`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name of the package.
    pub name: String,
    /// The channel of subscriptions that name none.
    pub default_channel: Option<String>,
    /// File and number of the document.
    pub place: Place,
}

/// An `olm.channel`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Name of the package.
    pub package: String,
    /// Name of the channel.
    pub name: String,
    /// The bundles and the edges between them, in the order written.
    pub entries: Vec<Entry>,
    /// File and number of the document.
    pub place: Place,
}

/// A bundle's entry in the upgrade graph of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Name of the bundle.
    pub name: String,
    /// The bundle that it upgrades.
    pub replaces: Option<String>,
    /// Other bundles that it upgrades, and that must not be installed any more.
    pub skips: Vec<String>,
    /// Range of versions that it upgrades.
    pub skip_range: Option<String>,
}

impl Channel {
    /// The entries that no other entry replaces or skips; a valid channel has exactly one.
    pub fn heads(&self) -> Vec<&Entry> {
        let mut below = BTreeSet::new();
        for entry in &self.entries {
            let replaced = entry.replaces.iter().chain(&entry.skips);
            below.extend(replaced.filter(|name| **name != entry.name));
        }
        let mut heads: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| !below.contains(&entry.name))
            .collect();
        heads.sort_by(|a, b| a.name.cmp(&b.name));
        heads.dedup_by(|a, b| a.name == b.name);
        heads
    }
}

/// An API: group, version and kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvk {
    /// The API group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind.
    pub kind: String,
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}", self.group, self.version, self.kind)
    }
}

/// A package that a bundle depends on (`olm.package.required`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequiredPackage {
    /// Name of the package.
    pub name: String,
    /// The acceptable versions, as written.
    pub version_range: String,
}

/// An image that a bundle's operator runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelatedImage {
    /// The image's name in the bundle; may be empty.
    pub name: String,
    /// The reference as written; not empty.
    pub image: String,
}

/// An `olm.bundle`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Name of the package; empty for a bundle of a database that is in no channel.
    pub package: String,
    /// Name of the bundle.
    pub name: String,
    /// The bundle image's reference as written; old databases have bundles without one.
    pub image: Option<String>,
    /// The version as written: the `version` of the `olm.package` property.
    pub version: Option<String>,
    /// The related images, in the order written.
    pub related_images: Vec<RelatedImage>,
    /// Packages that the bundle depends on.
    pub required_packages: Vec<RequiredPackage>,
    /// APIs that the bundle depends on.
    pub required_apis: Vec<Gvk>,
    /// APIs that the bundle provides.
    pub provided_apis: Vec<Gvk>,
    /// True if the bundle has compound constraints (`olm.constraint`), which the index does not
    /// keep.
    pub has_constraints: bool,
    /// Files with manifests of the bundle (`olm.bundle.object` with `ref`), as paths below the
    /// catalog's directory.
    pub object_files: Vec<String>,
    /// File and number of the document.
    pub place: Place,
}

/// An `olm.deprecations` document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deprecations {
    /// Name of the package.
    pub package: String,
    /// Deprecated packages, channels and bundles, in the order written.
    pub entries: Vec<DeprecatedEntry>,
    /// File and number of the document.
    pub place: Place,
}

/// A deprecated item: the `reference` of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeprecatedEntry {
    /// `olm.package`, `olm.channel` or `olm.bundle`.
    pub schema: String,
    /// Name of the channel or bundle; `None` for the package itself.
    pub name: Option<String>,
}

/// A document of a schema that is not one of OLM's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Schema of the document.
    pub schema: String,
    /// The package of the document; `None` if it belongs to the catalog as a whole.
    pub package: Option<String>,
    /// Name of the document.
    pub name: Option<String>,
    /// File and number of the document.
    pub place: Place,
}

impl Catalog {
    /// Every image that the catalog names, without duplicates (docs/oc-compatibility.md, section
    /// 4.1), and the texts that are not valid references.
    pub fn images(&self) -> CatalogImages {
        images::collect(self)
    }

    /// Returns faults of the catalog that OLM refuses or that make it ambiguous. They do not
    /// prevent carrying the catalog unchanged.
    pub fn problems(&self) -> Vec<Problem> {
        super::problem::find(self)
    }

    /// The channels of a package, sorted by name.
    pub fn channels_of<'a>(&'a self, package: &'a str) -> impl Iterator<Item = &'a Channel> {
        let start = self
            .channels
            .partition_point(|c| c.package.as_str() < package);
        let channels = self.channels.get(start..).unwrap_or_default();
        channels.iter().take_while(move |c| c.package == package)
    }

    /// The bundles of a package, sorted by name.
    pub fn bundles_of<'a>(&'a self, package: &'a str) -> impl Iterator<Item = &'a Bundle> {
        let start = self
            .bundles
            .partition_point(|b| b.package.as_str() < package);
        let bundles = self.bundles.get(start..).unwrap_or_default();
        bundles.iter().take_while(move |b| b.package == package)
    }

    /// The document of a package; the first if there are several.
    pub fn package(&self, name: &str) -> Option<&Package> {
        let start = self.packages.partition_point(|p| p.name.as_str() < name);
        self.packages
            .get(start)
            .filter(|package| package.name == name)
    }

    /// A bundle of a package; the first if several have the name.
    #[cfg(test)]
    pub(crate) fn bundle<'a>(&'a self, package: &'a str, name: &str) -> Option<&'a Bundle> {
        self.bundles_of(package).find(|bundle| bundle.name == name)
    }

    /// Names of all packages that have a package, channel or bundle document, sorted.
    pub fn package_names(&self) -> BTreeSet<&str> {
        let packages = self.packages.iter().map(|package| package.name.as_str());
        let channels = self.channels.iter().map(|channel| channel.package.as_str());
        let bundles = self.bundles.iter().map(|bundle| bundle.package.as_str());
        let bundles = bundles.filter(|package| !package.is_empty());
        packages.chain(channels).chain(bundles).collect()
    }

    /// Removes everything that comes from ignored files.
    pub(super) fn retain_files(&mut self, ignored: &dyn Fn(&str) -> bool) {
        let mut known: BTreeMap<Arc<str>, bool> = BTreeMap::new();
        let mut stays = |place: &Place| match known.get(&place.file) {
            Some(ignored) => !ignored,
            None => {
                let ignored = ignored(&place.file);
                known.insert(Arc::clone(&place.file), ignored);
                !ignored
            }
        };
        self.packages.retain(|package| stays(&package.place));
        self.channels.retain(|channel| stays(&channel.place));
        self.bundles.retain(|bundle| stays(&bundle.place));
        self.deprecations
            .retain(|deprecations| stays(&deprecations.place));
        self.others.retain(|other| stays(&other.place));
        self.problems_found
            .retain(|problem| problem.place().is_none_or(&mut stays));
        self.other_images.retain(|(by, _)| match by {
            NamedBy::Document { place, .. } => stays(place),
            NamedBy::Bundle { .. } => true,
        });
    }

    /// Sorts all lists.
    pub(super) fn sort(&mut self) {
        fn key<'a>(a: &'a str, b: &'a str, place: &'a Place) -> (&'a str, &'a str, &'a Place) {
            (a, b, place)
        }
        self.packages
            .sort_by(|a, b| key(&a.name, "", &a.place).cmp(&key(&b.name, "", &b.place)));
        self.channels.sort_by(|a, b| {
            key(&a.package, &a.name, &a.place).cmp(&key(&b.package, &b.name, &b.place))
        });
        self.bundles.sort_by(|a, b| {
            key(&a.package, &a.name, &a.place).cmp(&key(&b.package, &b.name, &b.place))
        });
        self.deprecations
            .sort_by(|a, b| key(&a.package, "", &a.place).cmp(&key(&b.package, "", &b.place)));
        self.others.sort_by(|a, b| a.place.cmp(&b.place));
        self.other_images.sort();
    }
}

/// Bundles of all packages by package and name, for repeated look-ups.
pub type BundleIndex<'a> = BTreeMap<(&'a str, &'a str), &'a Bundle>;

impl Catalog {
    /// All bundles by package and name; the first if several have the same.
    pub fn bundle_index(&self) -> BundleIndex<'_> {
        let mut index = BTreeMap::new();
        for bundle in &self.bundles {
            let key = (bundle.package.as_str(), bundle.name.as_str());
            index.entry(key).or_insert(bundle);
        }
        index
    }
}
