//! `airferry catalog list`: packages, channels, heads and versions of catalogs, and how large
//! their images are where a bundle says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::find_catalog;
use crate::bundle::finding::FindingKind;
use crate::bundle::open::{Bundle as Opened, Scope, Waivers, open_bundle};
use crate::bundle::trust::Trust;
use crate::content::catalog::{Bundle, BundleIndex, Catalog, Channel};
use crate::error::{Class, Error, Result};
use crate::image::Source;
use crate::image::catalog::{self, PlatformImage};
use crate::model::{CatalogEntry, CatalogFormat, Digest, Inventory, Platform, Reference};
use crate::ops::context::Context;
use crate::plan::index_filter::IndexFilter;
use crate::registry::Client;

/// Where catalogs are listed from.
#[derive(Debug)]
pub enum CatalogOrigin {
    /// A registry.
    Registry {
        /// The catalog.
        reference: Reference,
        /// Talks to the registry.
        client: Client,
    },
    /// A bundle: all its catalogs.
    Bundle {
        /// Its directory.
        directory: PathBuf,
        /// Whom to trust.
        trust: Trust,
        /// Accept that no trusted key has signed.
        allow_unsigned: bool,
    },
}

/// What `airferry catalog list` is asked for.
#[derive(Debug)]
pub struct Request {
    /// Where from.
    pub from: CatalogOrigin,
    /// The package to show in full; all in short when absent.
    pub package: Option<String>,
    /// Which platform's image is read.
    pub filter: IndexFilter,
}

/// What catalogs hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Whether a trusted key vouches for the bundle; absent for a registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<bool>,
    /// The catalogs, sorted by image.
    pub catalogs: Vec<CatalogReport>,
    /// Whether it was accepted that nobody vouches.
    #[serde(skip)]
    allow_unsigned: bool,
    /// What can be done where nobody vouches.
    #[serde(skip)]
    hint: Option<&'static str>,
}

impl Report {
    /// An error when nobody who is trusted has signed the bundle, as `airferry verify` has it.
    pub fn failure(&self) -> Option<Error> {
        let is_stranger_s = self.authenticated == Some(false) && !self.allow_unsigned;
        is_stranger_s.then(|| {
            let error = Error::new(Class::NotAuthenticated, "NOT AUTHENTICATED");
            match self.hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }
}

/// What a catalog holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CatalogReport {
    /// The catalog's image.
    pub image: Reference,
    /// Its top manifest.
    pub digest: Digest,
    /// What was kept of the original; in a bundle, absent when that is everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The original's digest, when the exporter made the image. Signatures are about that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<Digest>,
    /// The platform of the image that was read, where the index names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// How it is kept.
    pub format: CatalogFormat,
    /// Number of packages.
    pub packages: usize,
    /// Number of bundles.
    pub bundles: usize,
    /// Number of images that it names.
    pub images: usize,
    /// Number of empty texts where images should be; they are no references.
    #[serde(skip_serializing_if = "crate::model::is_zero")]
    pub empty_images: usize,
    /// Compressed bytes of all these images, each blob once; in a bundle only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The packages, sorted by name.
    pub package: Vec<PackageReport>,
    /// What is wrong with the catalog, in one line each.
    pub problems: Vec<String>,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PackageReport {
    /// Its name.
    pub name: String,
    /// Its default channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_channel: Option<String>,
    /// Its channels, sorted by name.
    pub channels: Vec<ChannelReport>,
    /// Its bundles, sorted by version and name; with `--package` only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bundles: Vec<BundleReport>,
    /// Compressed bytes of its images, each blob once; in a bundle only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChannelReport {
    /// Its name.
    pub name: String,
    /// Its heads; a sound channel has one.
    pub heads: Vec<Head>,
    /// Number of its bundles.
    pub bundles: usize,
}

/// A channel's head.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Head {
    /// The bundle.
    pub bundle: String,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A bundle.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BundleReport {
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The channels that it is in, sorted.
    pub channels: Vec<String>,
    /// The bundle's image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Number of images that it names, its own included.
    pub images: usize,
    /// Compressed bytes of these, each blob once; in a bundle only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// Lists.
pub async fn list(request: Request, context: &Context) -> Result<Report> {
    let Request {
        from,
        package,
        filter,
    } = request;
    let wanted = package.clone();
    let context = context.clone();
    let found = match from {
        CatalogOrigin::Registry { reference, client } => {
            let (source, image) = find_catalog(&client, &reference, &filter, &context).await?;
            crate::ops::blocking(move || {
                let catalog = catalog::read(&source, &image)?;
                let package = package.as_deref();
                Ok(Report {
                    authenticated: None,
                    catalogs: vec![report(&catalog, reference, &image, package, None)],
                    allow_unsigned: false,
                    hint: None,
                })
            })
            .await?
        }
        CatalogOrigin::Bundle {
            directory,
            trust,
            allow_unsigned,
        } => {
            let list = move || {
                // Without a key the list says that nobody vouches, as `verify` does. With keys that
                // did not sign, nothing of the bundle is read.
                let waivers = Waivers {
                    unsigned: allow_unsigned || trust.exporters.is_empty(),
                    incomplete: true,
                };
                let bundle = open_bundle(&directory, &trust, waivers, Scope::Documents)?;
                let report = list_bundle(bundle, package.as_deref(), &filter, &context)?;
                Ok(Report {
                    allow_unsigned,
                    ..report
                })
            };
            crate::ops::blocking(list).await?
        }
    };
    check_package(&found.catalogs, wanted.as_deref())?;
    Ok(found)
}

fn list_bundle(
    bundle: Opened,
    package: Option<&str>,
    filter: &IndexFilter,
    context: &Context,
) -> Result<Report> {
    let bundle = Arc::new(bundle);
    // Who vouches, the report says.
    let notes = bundle.notes.iter();
    for note in notes.filter(|note| note.kind != FindingKind::NotAuthenticated) {
        context.warn(note.to_string());
    }
    let source = Source::bundle(Arc::clone(&bundle), context.cancel.clone())?;
    let inventory = &bundle.inventory;
    if inventory.catalogs.is_empty() {
        let directory = bundle.media.root().display();
        return Err(Error::usage(format!(
            "The bundle in `{directory}` carries no catalog"
        )));
    }
    let mut catalogs = Vec::new();
    for entry in &inventory.catalogs {
        let root = inventory.image(&entry.image).and_then(|image| image.root);
        let Some(root) = root else {
            context.warn(format!("{} is missing from the bundle", entry.image));
            continue;
        };
        let name = format!("`{}`", entry.image);
        let image = PlatformImage::of(&source, name, source.manifest(&root)?, filter)?;
        let catalog = catalog::read(&source, &image)?;
        let sizes = Sizes::new(inventory, entry);
        let listed = report(&catalog, entry.image.clone(), &image, package, Some(&sizes));
        catalogs.push(CatalogReport {
            filter: entry.filter.clone(),
            original: entry.original,
            ..listed
        });
    }
    Ok(Report {
        authenticated: Some(bundle.authentication.is_authenticated()),
        catalogs,
        allow_unsigned: false,
        hint: bundle.notes.iter().find_map(|note| note.hint),
    })
}

/// A package that no catalog has is a mistake.
fn check_package(reports: &[CatalogReport], package: Option<&str>) -> Result<()> {
    match package {
        Some(name) if reports.iter().all(|report| report.package.is_empty()) => {
            let name = name.escape_debug();
            let message = format!("There is no package `{name}` in the catalog");
            Err(Error::new(Class::Usage, message)
                .hint("`catalog list` without --package shows all"))
        }
        _ => Ok(()),
    }
}

/// Sizes of a catalog's images in a bundle.
struct Sizes<'a> {
    inventory: &'a Inventory,
    /// Top manifests by text as the catalog writes it.
    roots: BTreeMap<&'a str, Digest>,
}

impl<'a> Sizes<'a> {
    fn new(inventory: &'a Inventory, entry: &'a CatalogEntry) -> Self {
        let root = |image: &Reference| inventory.image(image)?.root;
        let roots = entry.members.iter();
        let roots =
            roots.filter_map(|member| Some((member.written.as_str(), root(&member.image)?)));
        Self {
            inventory,
            roots: roots.collect(),
        }
    }

    /// Bytes of all blobs of some images, each blob once.
    fn of<'b>(&self, images: impl Iterator<Item = &'b str>) -> u64 {
        let mut waiting: Vec<Digest> = images
            .filter_map(|image| self.roots.get(image).copied())
            .collect();
        let mut manifests = BTreeSet::new();
        let mut blobs = BTreeSet::new();
        while let Some(digest) = waiting.pop() {
            let Some(manifest) = self.inventory.manifest(&digest) else {
                continue;
            };
            if manifests.insert(digest) {
                waiting.extend(&manifest.children);
                blobs.extend(&manifest.blobs);
            }
        }
        let sizes = blobs.iter().filter_map(|blob| self.inventory.blob(blob));
        sizes.fold(0, |sum, blob| sum.saturating_add(blob.size))
    }
}

fn images_of(bundle: &Bundle) -> BTreeSet<&str> {
    let related = bundle
        .related_images
        .iter()
        .map(|related| related.image.as_str());
    bundle.image.as_deref().into_iter().chain(related).collect()
}

fn report(
    catalog: &Catalog,
    image: Reference,
    read: &PlatformImage,
    package: Option<&str>,
    sizes: Option<&Sizes<'_>>,
) -> CatalogReport {
    let index = catalog.bundle_index();
    let names = catalog.package_names();
    let packages: Vec<PackageReport> = names
        .iter()
        .filter(|name| package.is_none_or(|package| package == **name))
        .map(|name| package_report(catalog, &index, name, package.is_some(), sizes))
        .collect();
    let all: BTreeSet<&str> = catalog
        .bundles
        .iter()
        .flat_map(images_of)
        .chain(catalog.other_images.iter().map(|(_, image)| image.as_str()))
        .collect();
    let bad = catalog.images().bad;
    let problems = catalog.problems();
    let problems = problems.iter().map(ToString::to_string);
    CatalogReport {
        image,
        digest: read.root,
        filter: None,
        original: None,
        platform: read.platform.clone(),
        format: read.format(),
        packages: names.len(),
        bundles: catalog.bundles.len(),
        images: all.len(),
        empty_images: catalog.empty_images,
        bytes: sizes.map(|sizes| sizes.of(all.iter().copied())),
        package: packages,
        problems: problems
            .chain(bad.iter().map(ToString::to_string))
            .collect(),
    }
}

fn package_report(
    catalog: &Catalog,
    index: &BundleIndex<'_>,
    name: &str,
    in_full: bool,
    sizes: Option<&Sizes<'_>>,
) -> PackageReport {
    let description = catalog.package(name);
    let channels: Vec<&Channel> = catalog.channels_of(name).collect();
    let bundles = catalog.bundles_of(name);
    let images: BTreeSet<&str> = bundles.flat_map(images_of).collect();
    let mut reports = Vec::new();
    if in_full {
        let mut homes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for channel in &channels {
            for entry in &channel.entries {
                homes.entry(&entry.name).or_default().insert(&channel.name);
            }
        }
        reports = catalog
            .bundles_of(name)
            .map(|bundle| bundle_report(bundle, homes.get(bundle.name.as_str()), sizes))
            .collect();
        reports.sort_by(|a, b| by_version(a).cmp(&by_version(b)));
    }
    PackageReport {
        name: name.to_owned(),
        default_channel: description.and_then(|package| package.default_channel.clone()),
        channels: channels
            .iter()
            .map(|channel| channel_report(channel, index))
            .collect(),
        bundles: reports,
        bytes: sizes.map(|sizes| sizes.of(images.iter().copied())),
    }
}

/// Versions by their precedence; what is none comes first.
fn by_version(bundle: &BundleReport) -> (Option<semver::Version>, &str) {
    let version = bundle.version.as_deref().and_then(|text| text.parse().ok());
    (version, &bundle.name)
}

fn channel_report(channel: &Channel, index: &BundleIndex<'_>) -> ChannelReport {
    let head = |name: &str| Head {
        bundle: name.to_owned(),
        version: index
            .get(&(channel.package.as_str(), name))
            .and_then(|bundle| bundle.version.clone()),
    };
    let names: BTreeSet<&str> = channel.entries.iter().map(|e| e.name.as_str()).collect();
    ChannelReport {
        name: channel.name.clone(),
        heads: channel
            .heads()
            .iter()
            .map(|entry| head(&entry.name))
            .collect(),
        bundles: names.len(),
    }
}

fn bundle_report(
    bundle: &Bundle,
    channels: Option<&BTreeSet<&str>>,
    sizes: Option<&Sizes<'_>>,
) -> BundleReport {
    let images = images_of(bundle);
    BundleReport {
        name: bundle.name.clone(),
        version: bundle.version.clone(),
        channels: channels
            .into_iter()
            .flatten()
            .map(|c| (*c).to_owned())
            .collect(),
        image: bundle.image.clone(),
        images: images.len(),
        bytes: sizes.map(|sizes| sizes.of(images.iter().copied())),
    }
}
