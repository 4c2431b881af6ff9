//! What a release payload says: its version, its components, how it wants to be verified.
//!
//! A payload is one image, or a list with an image for each architecture. Everything is read
//! from `release-manifests/` as a cluster sees it: across layers, with whiteouts.

use std::collections::BTreeMap;

use crate::content::release::verification_config::VerificationConfig;
use crate::content::release::{Component, ImageReferences, image_references};
use crate::content::update_service::Architecture;
use crate::format::layer::ImagePath;
use crate::format::oci;
use crate::model::{Descriptor, Digest, ManifestFacts, ManifestKind, Platform, RawManifest};
use crate::ops::error::{Class, Error, Result};
use crate::ops::image_files::{self, Caps, Layers, Source};

/// The directory of a payload that describes the release.
const DIRECTORY: &str = "release-manifests";

/// Longest image config that is read, in bytes.
const CONFIG: u64 = 4 << 20;

/// What is read of an image of a payload, in bytes. Real manifests have less than 2 MiB each and
/// 20 MiB together; the layers below the last are those of an operator's image.
const CAPS: Caps = Caps {
    layer: 8 << 30,
    file: 16 << 20,
    total: 64 << 20,
};

/// What a payload says that was read.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The top manifest.
    pub(crate) root: Digest,
    /// The images of a list, in its order; empty for a payload that is one image.
    pub(crate) children: Vec<Digest>,
    /// The architecture, or `multi` for a list.
    pub(crate) architecture: String,
    /// Version and components; the same for all images of a list.
    pub(crate) references: ImageReferences,
    /// How the release wants to be verified; absent when it does not say.
    pub(crate) verification: Option<VerificationConfig>,
}

/// What one image of a payload says.
struct Image {
    architecture: String,
    references: ImageReferences,
    verification: Option<VerificationConfig>,
}

/// Reads payloads from one place. Its calls block.
pub(crate) struct Reader<'a> {
    /// Where the content comes from.
    pub(crate) source: &'a Source,
    /// What to call the payload in errors.
    pub(crate) name: &'a str,
    /// Which images of a list are read; all when empty.
    pub(crate) platforms: &'a [Platform],
}

impl Reader<'_> {
    /// Reads the payload with this top manifest.
    ///
    /// # Errors
    ///
    /// When it cannot be had, is not a release, lists images by tag, or is a list whose images
    /// do not agree about what the release is.
    pub(crate) fn payload(&self, root: &RawManifest) -> Result<Contents> {
        let facts = self.facts(root)?;
        if facts.kind == ManifestKind::Image {
            let image = self.image(root.digest, &facts)?;
            return Ok(Contents {
                root: root.digest,
                children: Vec::new(),
                architecture: image.architecture,
                references: image.references,
                verification: image.verification,
            });
        }
        let wanted = |child: &&Descriptor| self.is_wanted(child);
        let mut children = Vec::new();
        let mut first: Option<Image> = None;
        for child in facts.children.iter().filter(wanted) {
            let raw = self.source.manifest(&child.digest)?;
            let image = self.image(child.digest, &self.facts(&raw)?)?;
            children.push(child.digest);
            match &first {
                None => first = Some(image),
                Some(first) if first.agrees_with(&image) => {}
                Some(_) => {
                    let why = "its images do not agree about version, components or keys";
                    let refused = self.not_a_release(why);
                    return Err(refused.hint("carry its images one by one, each by its digest"));
                }
            }
        }
        match first {
            Some(image) => Ok(Contents {
                root: root.digest,
                children,
                architecture: Architecture::MULTI.to_owned(),
                references: image.references,
                verification: image.verification,
            }),
            None => Err(self.not_a_release("it has no image for the wanted platforms")),
        }
    }

    /// Whether an entry of a list is a wanted image. What has no real platform is no image of a
    /// release, but an attestation.
    fn is_wanted(&self, child: &Descriptor) -> bool {
        child.platform.as_ref().is_none_or(|platform| {
            let mut filters = self.platforms.iter();
            platform.os != "unknown"
                && (self.platforms.is_empty() || filters.any(|filter| filter.selects(platform)))
        })
    }

    fn facts(&self, raw: &RawManifest) -> Result<ManifestFacts> {
        let parsed = oci::parse(&raw.bytes, Some(&raw.media_type));
        let parsed = parsed.map_err(|error| {
            self.not_a_release("its manifest cannot be used")
                .caused_by(error)
        })?;
        Ok(parsed.facts)
    }

    fn image(&self, digest: Digest, facts: &ManifestFacts) -> Result<Image> {
        let (ManifestKind::Image, Some((config, layers))) = (facts.kind, facts.blobs.split_first())
        else {
            return Err(self.not_a_release("it is a list of lists"));
        };
        let config = self.source.small_blob(config, CONFIG)?;
        let platform = oci::config_platform(&config)
            .ok_or_else(|| self.not_a_release("its config names no architecture"))?;
        let layers = Layers {
            name: format!("{} ({digest})", self.name),
            layers: layers.to_vec(),
        };
        let files = self.manifests(&layers)?;
        let Some(bytes) = files.get(image_references::PATH) else {
            let why = format!("it has no `{}`", image_references::PATH);
            return Err(self.not_a_release(&why));
        };
        let references = ImageReferences::parse(bytes).map_err(|error| {
            let why = "its list of images cannot be used";
            self.not_a_release(why).caused_by(error)
        })?;
        let manifests = files.iter().map(|(path, bytes)| (path.as_str(), &**bytes));
        let verification = VerificationConfig::find(manifests).map_err(|error| {
            let message = format!("{} does not say how it is to be verified", self.name);
            Error::new(Class::VerificationFailed, message).caused_by(error)
        })?;
        Ok(Image {
            architecture: platform.architecture,
            references,
            verification,
        })
    }

    /// The files of `release-manifests/`, by their paths.
    fn manifests(&self, image: &Layers) -> Result<BTreeMap<String, Vec<u8>>> {
        let directory: ImagePath = DIRECTORY
            .parse()
            .map_err(|error| Error::internal("A path is none", error))?;
        let files = image_files::collect(self.source, image, &[directory], CAPS)?;
        let named = files
            .into_iter()
            .map(|(path, bytes)| (path.to_string(), bytes));
        Ok(named.collect())
    }

    fn not_a_release(&self, why: &str) -> Error {
        let message = format!("{} is not a release that can be used: {why}", self.name);
        Error::new(Class::VerificationFailed, message)
            .hint("--release takes the pull spec of a release payload; other images need no flag")
    }
}

impl Image {
    fn agrees_with(&self, other: &Self) -> bool {
        let same = |(a, b): (&Component, &Component)| a.name == b.name && a.image == b.image;
        let (ours, theirs) = (&self.references, &other.references);
        ours.version == theirs.version
            && ours.components.len() == theirs.components.len()
            && ours.components.iter().zip(&theirs.components).all(same)
            && self.verification == other.verification
    }
}
