//! Compares a release with its entry in a bundle's inventory.
//!
//! A signature covers a manifest, not the inventory. Version, architecture, components and keyrings
//! are in the image, and the inventory repeats them; this module checks that both agree.

use std::collections::BTreeMap;

use super::ImageReferences;
use super::contents::Contents;
use super::verification_config::VerificationConfig;
use crate::model::{Reference, ReleaseEntry};

/// A statement of the inventory about a release that the release contradicts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Difference {
    /// The versions differ.
    #[error(
        "the bundle's manifest states the version {claimed}, but the release image has {found}"
    )]
    Version { claimed: String, found: String },
    /// The architectures differ.
    #[error(
        "the bundle's manifest states the architecture {claimed}, but the release image is for {found}"
    )]
    Architecture { claimed: String, found: String },
    /// A component is missing, has another image, or does not belong to the release.
    #[error("the component {name} differs between the bundle's manifest and the release image")]
    Component { name: String },
    /// The keyrings of the verification ConfigMap differ.
    #[error("the signing keys differ between the bundle's manifest and the release image")]
    Keyrings,
}

impl Difference {
    /// Compares architecture, version, components and keyrings; `None` if all agree.
    pub(crate) fn of(entry: &ReleaseEntry, contents: &Contents) -> Option<Self> {
        if entry.architecture != contents.architecture {
            return Some(Self::Architecture {
                claimed: entry.architecture.clone(),
                found: contents.architecture.clone(),
            });
        }
        let keyrings = || of_keyrings(entry, contents.verification.as_ref());
        Self::of_lists(entry, &contents.references).or_else(keyrings)
    }

    /// Compares version and components.
    pub(crate) fn of_lists(entry: &ReleaseEntry, found: &ImageReferences) -> Option<Self> {
        if entry.version != found.version {
            return Some(Self::Version {
                claimed: entry.version.to_string(),
                found: found.version.to_string(),
            });
        }
        let claimed = entry.components.iter();
        let claimed: BTreeMap<&str, &Reference> =
            claimed.map(|c| (c.name.as_str(), &c.image)).collect();
        let found = found.components.iter();
        let found: BTreeMap<&str, &Reference> =
            found.map(|c| (c.name.as_str(), &c.image)).collect();
        let mut names = claimed.keys().chain(found.keys());
        let differs = names.find(|name| claimed.get(*name) != found.get(*name))?;
        let name = differs.escape_debug().to_string();
        Some(Self::Component { name })
    }
}

fn of_keyrings(entry: &ReleaseEntry, found: Option<&VerificationConfig>) -> Option<Difference> {
    let claimed = entry.keyrings.iter();
    let claimed = claimed.map(|keyring| (&keyring.name, &keyring.data));
    let found = found.into_iter().flat_map(|config| &config.keyrings);
    let found = found.map(|keyring| (&keyring.name, &keyring.data));
    match claimed.eq(found) {
        true => None,
        false => Some(Difference::Keyrings),
    }
}
