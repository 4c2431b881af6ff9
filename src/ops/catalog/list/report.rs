//! The report of a listing of catalogs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::sizes::Sizes;
use crate::content::catalog::{Bundle, BundleIndex, Catalog, Channel};
use crate::error::{Class, Error};
use crate::image::catalog::PlatformImage;
use crate::model::{CatalogFormat, Digest, Platform, Reference};

/// Report of `airferry catalog list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// True if a trusted key signed the bundle; absent for a registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<bool>,
    /// The catalogs, sorted by image.
    pub catalogs: Vec<CatalogReport>,
    /// True if the operator allowed an unsigned bundle.
    #[serde(skip)]
    pub(super) allow_unsigned: bool,
    /// Hint to show when no trusted key signed the bundle.
    #[serde(skip)]
    pub(super) hint: Option<&'static str>,
}

impl Report {
    /// Returns an error if no trusted key signed the bundle, as `airferry verify` does.
    pub fn failure(&self) -> Option<Error> {
        let is_unsigned = self.authenticated == Some(false) && !self.allow_unsigned;
        is_unsigned.then(|| {
            let error = Error::new(
                Class::NotAuthenticated,
                "NOT AUTHENTICATED: no trusted key has signed this bundle",
            );
            match self.hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }
}

/// Contents of a catalog.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CatalogReport {
    /// The catalog's image.
    pub image: Reference,
    /// Digest of its top manifest.
    pub digest: Digest,
    /// Filter that the exporter applied; in a bundle, absent if the catalog is unfiltered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Digest of the original, if the exporter made the image. Signatures apply to the original.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<Digest>,
    /// Platform of the image that was read, if the index names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Format of the catalog.
    pub format: CatalogFormat,
    /// Number of packages.
    pub packages: usize,
    /// Number of bundles.
    pub bundles: usize,
    /// Number of different images that it names.
    pub images: usize,
    /// Number of empty strings in place of image references; not counted in `images`.
    #[serde(skip_serializing_if = "crate::model::is_zero")]
    pub empty_images: usize,
    /// Compressed bytes of all these images, each blob counted once; only for a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The packages, sorted by name.
    pub package: Vec<PackageReport>,
    /// Problems found in the catalog, one line each.
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
    /// Compressed bytes of its images, each blob counted once; only for a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChannelReport {
    /// Its name.
    pub name: String,
    /// Its heads; a well-formed channel has exactly one.
    pub heads: Vec<Head>,
    /// Number of its bundles.
    pub bundles: usize,
}

/// A channel's head.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Head {
    /// Name of the head bundle.
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
    /// Number of different images that it names, its own included.
    pub images: usize,
    /// Compressed bytes of these images, each blob counted once; only for a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

fn images_of(bundle: &Bundle) -> BTreeSet<&str> {
    let related = bundle
        .related_images
        .iter()
        .map(|related| related.image.as_str());
    bundle.image.as_deref().into_iter().chain(related).collect()
}

pub(super) fn catalog_report(
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
        let mut channels_by_bundle: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for channel in &channels {
            for entry in &channel.entries {
                channels_by_bundle
                    .entry(&entry.name)
                    .or_default()
                    .insert(&channel.name);
            }
        }
        reports = catalog
            .bundles_of(name)
            .map(|bundle| {
                bundle_report(bundle, channels_by_bundle.get(bundle.name.as_str()), sizes)
            })
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

/// Sort key: semantic version, then name. Bundles without a valid version come first.
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
