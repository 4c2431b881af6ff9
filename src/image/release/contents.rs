//! Reads release payloads: version, components and the keys that verify releases.
//!
//! A payload is one image, or a list with an image for each architecture. Everything is read from
//! `release-manifests/` as a cluster sees it: across layers, with whiteouts. This is the only
//! reader of payloads, so export, import and extract see the same content.

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

/// Directory of a payload with the description of the release.
const DIRECTORY: &str = "release-manifests";

/// Longest image config that is read, in bytes.
const CONFIG: u64 = 4 << 20;

/// Limits of reading one image of a payload, in bytes. Real manifests have less than 2 MiB each
/// and 20 MiB together; the layers below the last belong to an operator's image.
const CAPS: Caps = Caps {
    layer: 8 << 30,
    file: 16 << 20,
    total: 64 << 20,
};

/// Extent to which a payload is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    /// Version, components and metadata only.
    Lists,
    /// Also the manifests, among them the keys that verify releases. Reads all layers.
    Manifests,
}

/// Contents of one image of a payload.
#[derive(Debug)]
pub(crate) struct ImageContents {
    /// Operating system and architecture of the image, in Go's words.
    pub(crate) platform: Platform,
    /// Creation time of the image, in RFC 3339, as its config says.
    pub(crate) created: Option<String>,
    /// Version and components.
    pub(crate) references: ImageReferences,
    /// Metadata for the update service; `None` if absent or unreadable.
    pub(crate) metadata: Option<ReleaseMetadata>,
    /// Reason why the metadata cannot be read.
    pub(crate) metadata_problem: Option<String>,
    /// Keys and signature stores that verify releases; `None` if the payload has none, and with
    /// [`Parts::Lists`].
    pub(crate) verification: Option<VerificationConfig>,
}

/// The fields of an image config that are read.
#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    created: Option<String>,
}

/// Reads payloads from one source. Its methods block.
pub(crate) struct PayloadReader<'a> {
    /// Registry or bundle that holds the payload.
    pub(crate) source: &'a Source,
    /// Name of the payload for errors.
    pub(crate) name: &'a str,
}

impl PayloadReader<'_> {
    /// Reads the payload with this top manifest. Of a list, reads the images for which `wanted` is
    /// true.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is not a release, lists images by tag, or is a list whose images
    /// disagree about version, components or keys.
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
                    let why = "its images differ in version, components or keys";
                    let refused = self.broken(why);
                    return Err(refused.hint("export its images one by one, each by its digest"));
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
        // Only the update service needs the metadata; the version is in image-references too.
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

    /// Refuses a payload with two versions, as a cluster does.
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
            let message = format!("The verification keys of {} cannot be read", self.name);
            Error::new(Class::VerificationFailed, message).caused_by(error)
        })
    }

    /// Returns the files that describe the release, by path.
    fn files(&self, image: &Layers, parts: Parts) -> Result<BTreeMap<String, Vec<u8>>> {
        let wanted: &[&str] = match parts {
            Parts::Lists => &[image_references::PATH, metadata::PATH],
            Parts::Manifests => &[DIRECTORY],
        };
        let wanted = wanted.iter().map(|path| path.parse::<ImagePath>());
        let wanted = wanted.collect::<std::result::Result<Vec<_>, _>>();
        let wanted =
            wanted.map_err(|error| Error::internal("A built-in path is invalid", error))?;
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

/// True if an entry of a list is an image of a release. Entries of the operating system `unknown`
/// are attestations, which no cluster runs.
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
