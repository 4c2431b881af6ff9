//! What a release payload says: its version, its components, how it wants to be verified.
//!
//! A payload is one image, or a list with an image for each architecture. Everything is read
//! from `release-manifests/` as a cluster sees it: across layers, with whiteouts. This is the one
//! reader of payloads: what export carries, import compares and extract uses is the same.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::image::Image;
use crate::content::release::contents::Contents;
use crate::content::release::verification_config::VerificationConfig;
use crate::content::release::{
    Component, ImageReferences, ReleaseMetadata, image_references, metadata,
};
use crate::content::update_service::Architecture;
use crate::error::{Class, Error, Result, chain};
use crate::image::{Caps, Layers, Source, collect};
use crate::model::{Descriptor, Digest, ManifestKind, Platform};
use crate::oci::layer::ImagePath;

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

/// How much of a payload is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    /// What it is made of.
    Lists,
    /// Also the manifests, among them the keys by which it is verified. Takes all its layers.
    Manifests,
}

/// What one image of a payload says.
#[derive(Debug)]
pub(crate) struct ImageContents {
    /// Operating system and architecture of the image, in Go's words.
    pub(crate) platform: Platform,
    /// When the image was made, in RFC 3339, as it says.
    pub(crate) created: Option<String>,
    /// Version and components.
    pub(crate) references: ImageReferences,
    /// What the update service is told; absent when there is nothing that can be read.
    pub(crate) metadata: Option<ReleaseMetadata>,
    /// Why that cannot be read.
    pub(crate) metadata_problem: Option<String>,
    /// How the release wants to be verified; absent when it does not say, and when only lists
    /// were read.
    pub(crate) verification: Option<VerificationConfig>,
}

/// The parts of an image config that are asked for.
#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    created: Option<String>,
}

/// Reads payloads from one place. Its calls block.
pub(crate) struct PayloadReader<'a> {
    /// Where the content comes from.
    pub(crate) source: &'a Source,
    /// What to call the payload in errors.
    pub(crate) name: &'a str,
}

impl PayloadReader<'_> {
    /// Reads the payload with this top manifest: those of a list's images that are wanted.
    ///
    /// # Errors
    ///
    /// When it cannot be had, is not a release, lists images by tag, or is a list whose images
    /// do not agree about what the release is.
    pub(crate) fn payload(
        &self,
        root: &Digest,
        wanted: impl Fn(&Descriptor) -> bool,
    ) -> Result<Contents> {
        let top = Image::read(self.source, root, self.name)?;
        if top.facts.kind == ManifestKind::Image {
            let image = self.image(&top, Parts::Manifests)?;
            return Ok(Contents {
                root: *root,
                children: Vec::new(),
                architecture: image.platform.architecture,
                references: image.references,
                verification: image.verification,
            });
        }
        let images = top.facts.children.iter().filter(|child| is_image(child));
        let mut children = Vec::new();
        let mut first: Option<ImageContents> = None;
        for child in images.filter(|child| wanted(child)) {
            let image = Image::read(self.source, &child.digest, self.name)?;
            let image = self.image(&image, Parts::Manifests)?;
            children.push(child.digest);
            match &first {
                None => first = Some(image),
                Some(first) if first.agrees_with(&image) => {}
                Some(_) => {
                    let why = "its images do not agree about version, components or keys";
                    let refused = self.broken(why);
                    return Err(refused.hint("carry its images one by one, each by its digest"));
                }
            }
        }
        match first {
            Some(image) => Ok(Contents {
                root: *root,
                children,
                architecture: Architecture::MULTI.to_owned(),
                references: image.references,
                verification: image.verification,
            }),
            None => Err(self.broken("it has no image for the wanted platforms")),
        }
    }

    /// Reads one image of a payload.
    ///
    /// # Errors
    ///
    /// As [`Self::payload`].
    pub(crate) fn image(&self, image: &Image, parts: Parts) -> Result<ImageContents> {
        let (ManifestKind::Image, Some(config)) = (image.facts.kind, image.facts.blobs.first())
        else {
            return Err(self.not_a_release("it is a list of lists"));
        };
        let config = self.source.small_blob(config, CONFIG)?;
        let config: Config = serde_json::from_slice(&config).map_err(|error| {
            self.not_a_release("it has no image config")
                .caused_by(error)
        })?;
        let os = match config.os.as_str() {
            "" => "linux",
            os => os,
        };
        let platform = format!("{os}/{}", config.architecture);
        let platform = platform
            .parse()
            .map_err(|_| self.not_a_release("its config names no architecture"))?;
        let layers = Layers {
            name: format!("{} ({})", self.name, image.digest),
            layers: image.layers().to_vec(),
        };
        let files = self.files(&layers, parts)?;
        let Some(bytes) = files.get(image_references::PATH) else {
            let why = format!("it has no `{}`", image_references::PATH);
            return Err(self.not_a_release(&why));
        };
        let references = ImageReferences::parse(bytes).map_err(|error| {
            let why = "its list of images cannot be used";
            self.broken(why).caused_by(error)
        })?;
        let read = files.get(metadata::PATH);
        let read = read.map(|bytes| ReleaseMetadata::parse(bytes)).transpose();
        // It is for the update service; the version is in image-references too.
        let (metadata, metadata_problem) = match read {
            Ok(metadata) => (metadata, None),
            Err(error) => (None, Some(chain(&error))),
        };
        if let Some(metadata) = &metadata {
            self.same_version(&references, metadata)?;
        }
        let verification = match parts {
            Parts::Manifests => self.verification(&files)?,
            Parts::Lists => None,
        };
        Ok(ImageContents {
            platform,
            created: config.created,
            references,
            metadata,
            metadata_problem,
            verification,
        })
    }

    /// A cluster refuses a payload that has two versions.
    fn same_version(&self, references: &ImageReferences, metadata: &ReleaseMetadata) -> Result<()> {
        let (one, other) = (references.version.as_str(), metadata.version.to_string());
        if one == other {
            return Ok(());
        }
        let why = format!(
            "it has the version {one} in `{}` and {} in `{}`",
            image_references::PATH,
            other.escape_debug(),
            metadata::PATH
        );
        Err(self.broken(&why))
    }

    fn verification(
        &self,
        files: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Option<VerificationConfig>> {
        let manifests = files.iter().map(|(path, bytes)| (path.as_str(), &**bytes));
        VerificationConfig::find(manifests).map_err(|error| {
            let message = format!("{} does not say how it is to be verified", self.name);
            Error::new(Class::VerificationFailed, message).caused_by(error)
        })
    }

    /// The files that make an image a release, by their paths.
    fn files(&self, image: &Layers, parts: Parts) -> Result<BTreeMap<String, Vec<u8>>> {
        let wanted: &[&str] = match parts {
            Parts::Lists => &[image_references::PATH, metadata::PATH],
            Parts::Manifests => &[DIRECTORY],
        };
        let wanted = wanted.iter().map(|path| path.parse::<ImagePath>());
        let wanted = wanted.collect::<std::result::Result<Vec<_>, _>>();
        let wanted = wanted.map_err(|error| Error::internal("A path of ours is none", error))?;
        let files = collect(self.source, image, &wanted, CAPS)?;
        let named = files
            .into_iter()
            .map(|(path, bytes)| (path.to_string(), bytes.to_vec()));
        Ok(named.collect())
    }

    fn not_a_release(&self, why: &str) -> Error {
        self.broken(why)
            .hint("--release takes the pull spec of a release payload; other images need no flag")
    }

    fn broken(&self, why: &str) -> Error {
        let message = format!("{} is not a release that can be used: {why}", self.name);
        Error::new(Class::VerificationFailed, message)
    }
}

/// Whether an entry of a list is an image of a release. What has no real platform is an
/// attestation: no cluster runs it.
pub(crate) fn is_image(child: &Descriptor) -> bool {
    let platform = child.platform.as_ref();
    platform.is_none_or(|platform| platform.os != "unknown")
}

impl ImageContents {
    fn agrees_with(&self, other: &Self) -> bool {
        let same = |(a, b): (&Component, &Component)| a.name == b.name && a.image == b.image;
        let (ours, theirs) = (&self.references, &other.references);
        ours.version == theirs.version
            && ours.components.len() == theirs.components.len()
            && ours.components.iter().zip(&theirs.components).all(same)
            && self.verification == other.verification
    }
}
