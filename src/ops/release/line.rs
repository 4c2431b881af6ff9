//! Describes a release in reports.

use serde::Serialize;

use crate::model::{Inventory, Reference, ReleaseEntry};

/// Manifests over which a release has signatures. Their validity is not checked here: that takes a
/// verification with pinned keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignedOver {
    /// No signatures; the operator of the export accepted that.
    Nothing,
    /// The release image: the top manifest.
    Release,
    /// Not the list that is the top manifest, but every image in it.
    EachImage,
}

/// A component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentLine {
    /// Its name in the payload.
    pub name: String,
    /// Its image.
    pub image: Reference,
    /// True if the bundle lacks it or a part of it.
    pub missing: bool,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseLine {
    /// The release image as requested.
    pub image: Reference,
    /// Its version.
    pub version: String,
    /// Its architecture; `multi` for a list.
    pub architecture: String,
    /// Manifests that are signed.
    pub signed_over: SignedOver,
    /// Number of signatures.
    pub signatures: usize,
    /// Its components, sorted by name.
    pub components: Vec<ComponentLine>,
}

impl ReleaseLine {
    /// Returns the lines of all releases of a bundle.
    pub(crate) fn all(inventory: &Inventory) -> Vec<Self> {
        let releases = inventory.releases.iter();
        releases
            .map(|release| Self::of(release, inventory))
            .collect()
    }

    fn of(release: &ReleaseEntry, inventory: &Inventory) -> Self {
        let image = |reference| inventory.image(reference);
        let root = image(&release.image).and_then(|image| image.root);
        let is_over_root = |over| root.is_none_or(|root| root == over);
        let components = release.components.iter().map(|component| ComponentLine {
            name: component.name.clone(),
            image: component.image.clone(),
            missing: image(&component.image).is_none_or(|image| !image.is_whole()),
        });
        Self {
            image: release.image.clone(),
            version: release.version.to_string(),
            architecture: release.architecture.clone(),
            signed_over: match release.signatures.as_slice() {
                [] => SignedOver::Nothing,
                some if some.iter().any(|s| is_over_root(s.over)) => SignedOver::Release,
                _ => SignedOver::EachImage,
            },
            signatures: release.signatures.len(),
            components: components.collect(),
        }
    }
}
