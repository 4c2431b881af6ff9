//! OKD/OpenShift releases and operator catalogs, to which images of a bundle belong
//! (bundle-format.md, sections 6.7 and 6.8).
//!
//! The rows suffice to name all images on a target, to verify a release's signatures again and to
//! write the cluster's objects, without a network and without the command that made the bundle.
//! Fields are declared in the canonical order of their CBOR keys, as in `bundle`.

use serde::{Deserialize, Serialize};

use super::{Digest, Reference};

/// Feature name of a bundle with releases, in `requires`.
pub const RELEASES: &str = "releases";

/// Feature name of a bundle with operator catalogs, in `requires`.
pub const CATALOGS: &str = "catalogs";

/// A release payload with its components.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseEntry {
    /// The release image: equals `requested` of one of the bundle's images.
    pub image: Reference,
    /// The version that the payload's `image-references` states.
    pub version: ReleaseVersion,
    /// OpenPGP keyrings from the payload's verification ConfigMap, sorted by name. They prove
    /// nothing by themselves: the verifier decides which of their keys to trust.
    pub keyrings: Vec<Keyring>,
    /// True if the exporter was told to accept a release that no signature vouches for.
    pub unsigned: bool,
    /// The images that the payload names, sorted by their names in it.
    pub components: Vec<Component>,
    /// OpenPGP messages that sign the release, in the order of the store they came from. Empty
    /// exactly when `unsigned` is true.
    pub signatures: Vec<ReleaseSignature>,
    /// Architecture as in an OCI image config (`amd64`), or `multi` for a manifest list.
    pub architecture: String,
}

/// A keyring as the payload holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyring {
    /// Armored or binary OpenPGP keys.
    #[serde(with = "super::byte_string")]
    pub data: Vec<u8>,
    /// Name of the key in the ConfigMap: `verifier-public-key-redhat`.
    pub name: String,
}

/// An image of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// The image's name in the payload: `cli`, `installer`.
    pub name: String,
    /// Equals `requested` of one of the bundle's images; has a digest.
    pub image: Reference,
}

/// An OpenPGP signed message about a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseSignature {
    /// Digest of the manifest that the message should sign: the release image's root, or a child
    /// of it.
    pub over: Digest,
    /// The OpenPGP message, as published.
    #[serde(with = "super::byte_string")]
    pub message: Vec<u8>,
}

/// An operator catalog with the images that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogEntry {
    /// The catalog image: equals `requested` of one of the bundle's images.
    pub image: Reference,
    /// The part of the original that was kept, in one line for people; absent when everything was
    /// kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Form of the catalog's data in its image.
    pub format: CatalogFormat,
    /// The images that the catalog names, sorted by image, then by text.
    pub members: Vec<CatalogMember>,
    /// Digest of the original; present when the exporter made the image's root (a filtered
    /// catalog).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Digest>,
    /// Texts in places of image references that are not valid references, sorted by text. While
    /// there is one, the bundle is incomplete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub malformed: Vec<MalformedImage>,
}

/// A text in the place of an image reference of a catalog that is not a valid reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MalformedImage {
    /// The text, without deceptive characters, at most [`MalformedImage::TEXT`] bytes.
    pub text: String,
    /// The reason why the text is not a reference, in one line for people.
    pub reason: String,
    /// Bundles and documents that need the image, sorted; at most the first [`NeededBy::SHOWN`].
    pub needed_by: Vec<NeededBy>,
}

impl MalformedImage {
    /// Upper limit of a text, a reason or a name, in bytes.
    pub const TEXT: usize = 1024;
    /// Upper limit of such texts in one catalog (a count).
    pub const ROWS: usize = 10_000;
}

/// An image that the export left out on purpose. The bundle is complete without it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// What the exporter asked to leave out: `bundle:NAME`, `package:NAME` or `image:PATTERN`.
    pub by: String,
    /// The image as the catalog or the exporter wrote it.
    pub image: String,
    /// Bundles and documents that need the image, sorted; at most the first [`NeededBy::SHOWN`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<NeededBy>,
}

impl LeftOut {
    /// Upper limit of such images in one bundle (a count).
    pub const ROWS: usize = 10_000;
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let needed_by = NeededBy::clause(&self.needed_by);
        let (image, by) = (self.image.escape_debug(), self.by.escape_debug());
        write!(f, "{image}: left out by `--leave-out {by}`{needed_by}")
    }
}

/// A bundle or another document of a catalog that needs an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeededBy {
    /// The bundle's name; for another document its schema and its name.
    pub name: String,
    /// Name of the package, if the document belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

impl NeededBy {
    /// Upper limit of rows listed for one image (a count).
    pub const SHOWN: usize = 4;

    /// Renders ` (needed by b.v1 of package b, ...)`; empty when `needed_by` is empty.
    pub fn clause(needed_by: &[Self]) -> String {
        if needed_by.is_empty() {
            return String::new();
        }
        let names: Vec<String> = needed_by.iter().map(ToString::to_string).collect();
        format!(" (needed by {})", names.join(", "))
    }
}

impl std::fmt::Display for NeededBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.name.escape_debug())?;
        match &self.package {
            Some(package) => write!(f, " of package {}", package.escape_debug()),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for MalformedImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (text, reason) = (self.text.escape_debug(), self.reason.escape_debug());
        let needed_by = NeededBy::clause(&self.needed_by);
        write!(f, "`{text}`: not an image reference: {reason}{needed_by}")
    }
}

/// Form of a catalog's data in its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatalogFormat {
    /// A directory of YAML or JSON documents.
    FileBased,
    /// A sqlite database.
    Sqlite,
}

/// An image that a catalog names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogMember {
    /// Equals `requested` of one of the bundle's images.
    pub image: Reference,
    /// The reference as the catalog writes it; the name on the target is derived from it.
    pub written: String,
    /// Bundles and documents that need the image, sorted; at most the first [`NeededBy::SHOWN`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<NeededBy>,
}

/// A release's version: 1 to 100 characters that are allowed in a tag, the first one a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ReleaseVersion(String);

/// The error for a text that is not a release's version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a release version: it begins with a digit, and has letters, digits, `.`, `_` and `-` only", .0.escape_debug())]
pub struct ReleaseVersionError(String);

impl ReleaseVersion {
    /// Returns the version as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for ReleaseVersion {
    type Err = ReleaseVersionError;

    fn from_str(text: &str) -> Result<Self, ReleaseVersionError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let right = text.len() <= 100
            && text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(allowed);
        match right {
            true => Ok(Self(text.to_owned())),
            false => Err(ReleaseVersionError(text.chars().take(60).collect())),
        }
    }
}

impl<'de> Deserialize<'de> for ReleaseVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::from_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_safe_in_tags() {
        for good in [
            "4.18.0-okd-scos.1",
            "4.5.4",
            "4.19.0-rc.2",
            "4.0.0-0.nightly_x",
        ] {
            assert!(good.parse::<ReleaseVersion>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "v4",
            "4.1+x",
            "4/1",
            "4 1",
            "4.\u{e4}",
            &"4".repeat(101),
        ] {
            assert!(bad.parse::<ReleaseVersion>().is_err(), "{bad:?}");
        }
    }
}
