//! Lists the packages and bundles kept of a filtered catalog, with reasons, for reports.

use serde::Serialize;

use crate::model::Reference;
use crate::plan::catalog::{Kept, KeptBundle, Reason};

/// Content kept of a catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogSelection {
    /// The catalog's image.
    pub image: Reference,
    /// The packages, sorted by name.
    pub packages: Vec<PackageSelection>,
}

/// Content kept of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageSelection {
    /// Its name.
    pub name: String,
    /// Its default channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_channel: Option<String>,
    /// The channels, sorted.
    pub channels: Vec<String>,
    /// The bundles, sorted by version, then name.
    pub bundles: Vec<BundleSelection>,
}

/// A bundle that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BundleSelection {
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Reasons for keeping it.
    pub reasons: Vec<String>,
}

impl CatalogSelection {
    /// Converts a filter's result, with reasons as text.
    pub(super) fn of(image: Reference, kept: &Kept) -> Self {
        let packages = kept.packages.iter().map(|(name, package)| {
            let mut bundles: Vec<(&String, &KeptBundle)> = package.bundles.iter().collect();
            bundles.sort_by(|a, b| match (&a.1.version, &b.1.version) {
                (Some(x), Some(y)) => x.cmp_precedence(y).then_with(|| a.0.cmp(b.0)),
                (x, y) => (x.is_some(), a.0).cmp(&(y.is_some(), b.0)),
            });
            let bundles = bundles.into_iter().map(|(name, bundle)| BundleSelection {
                name: name.clone(),
                version: bundle.version.as_ref().map(ToString::to_string),
                reasons: bundle.reasons.iter().map(Reason::to_string).collect(),
            });
            PackageSelection {
                name: name.clone(),
                default_channel: package.default_channel.clone(),
                channels: package.channels.keys().cloned().collect(),
                bundles: bundles.collect(),
            }
        });
        Self {
            image,
            packages: packages.collect(),
        }
    }
}
