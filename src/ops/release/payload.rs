//! A release payload, opened: which image it is, what it is made of, where its parts are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use crate::content::release::image_references::{self, Component, ImageReferences};
use crate::content::release::metadata::{self, ReleaseMetadata};
use crate::format::layer::ImagePath;
use crate::format::oci;
use crate::model::{
    Descriptor, Digest, ImageEntry, ManifestFacts, ManifestKind, Platform, Reference,
    ReleaseSignature, ReleaseVersion, Repository,
};
use crate::ops::context::Context;
use crate::ops::error::{Class, Error, Result};
use crate::ops::examine::{Bundle, Scope, examine};
use crate::ops::finding::FindingKind;
use crate::ops::image_files::{Caps, Layers, Source, collect};
use crate::ops::trust::Trust;
use crate::registry::{Client, Selector};
use crate::sys::media::DirMedia;

/// What is read of a payload. Its lower layers are those of a base image.
const PAYLOAD: Caps = Caps {
    layer: 16 << 30,
    file: 16 << 20,
    total: 128 << 20,
};

/// The directory with all that makes an image a release.
const MANIFESTS: &str = "release-manifests";

/// Longest image config in bytes.
const CONFIG: u64 = 4 << 20;

/// Where a release is read from.
#[derive(Debug)]
pub enum From {
    /// A registry: where it was published, or a mirror.
    Registry {
        /// How to speak to it.
        client: Client,
        /// The release image.
        reference: Reference,
    },
    /// A bundle.
    Bundle {
        /// Its directory.
        path: PathBuf,
        /// Whom to trust.
        trust: Trust,
        /// Accept that no trusted key has signed.
        allow_unsigned: bool,
        /// Which of its releases: a version, or the image as it was asked for. Needed when it
        /// carries several.
        release: Option<String>,
    },
}

/// How much of a payload is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    /// What it is made of.
    Lists,
    /// Also the manifests, among them the keys by which it is verified. Takes all its layers.
    Manifests,
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

/// An image of one platform.
#[derive(Debug)]
pub(super) struct Image {
    /// Digest of its manifest.
    pub(super) digest: Digest,
    /// What that says.
    pub(super) facts: ManifestFacts,
    /// Whether it was found in a list.
    pub(super) in_list: bool,
}

impl Image {
    /// The layers, the lowest first.
    pub(super) fn layers(&self) -> &[Descriptor] {
        self.facts.blobs.get(1..).unwrap_or_default()
    }

    /// Bytes of all layers, as they are stored.
    pub(super) fn size(&self) -> u64 {
        let sizes = self.layers().iter().map(|layer| layer.size);
        sizes.fold(0, u64::saturating_add)
    }
}

/// A release payload.
#[derive(Debug)]
pub(super) struct Payload {
    source: Source,
    /// Whether it comes out of a bundle.
    pub(super) in_bundle: bool,
    /// What a cluster would call it: the digest is the list's, where there is one.
    pub(super) pull_spec: Reference,
    /// Its image for one platform.
    pub(super) image: Image,
    /// Operating system and architecture of that image, in Go's words.
    pub(super) os: String,
    pub(super) architecture: String,
    /// When the image was made, in RFC 3339, as it says.
    pub(super) created: Option<String>,
    pub(super) references: ImageReferences,
    pub(super) metadata: Option<ReleaseMetadata>,
    /// Signatures that its bundle carries.
    pub(super) signatures: Vec<ReleaseSignature>,
    files: BTreeMap<ImagePath, Vec<u8>>,
}

/// What was asked for, found: where it is, and which image it is.
struct Found {
    source: Source,
    in_bundle: bool,
    repository: Repository,
    root: Digest,
    signatures: Vec<ReleaseSignature>,
}

impl Payload {
    /// Opens a payload for a machine of `platform`; where a list has no image for that, for
    /// another one. Blocks.
    pub(super) fn open(
        from: From,
        parts: Parts,
        platform: &Platform,
        context: &Context,
    ) -> Result<Self> {
        let found = match from {
            From::Registry { client, reference } => in_registry(client, &reference, context)?,
            From::Bundle {
                path,
                trust,
                allow_unsigned,
                release,
            } => {
                // Whether this release is whole shows when it is read.
                let mut waived = vec![FindingKind::Incomplete];
                if allow_unsigned {
                    waived.push(FindingKind::NotAuthenticated);
                }
                let media = Arc::new(DirMedia::open(&path)?);
                let bundle = examine(media, &trust, Scope::Everything)?.into_bundle(&waived)?;
                in_bundle(bundle, release.as_deref(), context)?
            }
        };
        let source = found.source;
        let pull_spec = found.repository.pinned(found.root);
        let image = image_of(&source, &found.root, Some(platform), &pull_spec)?;
        let config = config(&source, &image, &pull_spec)?;
        let files = files(&source, &image, &pull_spec, parts)?;
        let file = |path: &str| files.iter().find(|(found, _)| found.as_str() == path);
        let references = file(image_references::PATH).ok_or_else(|| {
            let path = image_references::PATH;
            let message = format!("{pull_spec} is no release: it has no file {path}");
            Error::new(Class::VerificationFailed, message)
        })?;
        let references = ImageReferences::parse(references.1).map_err(|error| {
            let message = format!("{pull_spec} is no release that can be read");
            Error::new(Class::VerificationFailed, message).caused_by(error)
        })?;
        let metadata = file(metadata::PATH).map(|(_, bytes)| ReleaseMetadata::parse(bytes));
        let metadata = metadata.transpose().unwrap_or_else(|error| {
            // It is for the update service; the version is in image-references too.
            context.warn(format!("{pull_spec}: {}", crate::ops::chain(&error)));
            None
        });
        Ok(Self {
            source,
            in_bundle: found.in_bundle,
            pull_spec,
            image,
            os: config.os,
            architecture: config.architecture,
            created: config.created,
            references,
            metadata,
            signatures: found.signatures,
            files,
        })
    }

    /// Its digest: the list's where there is one.
    pub(super) fn digest(&self) -> Digest {
        self.pull_spec.digest.unwrap_or(self.image.digest)
    }

    /// The manifests by their file names, in their order, as far as they were read.
    pub(super) fn manifests(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let files = self.files.iter();
        files.map(|(path, bytes)| (path.name(), bytes.as_slice()))
    }

    /// The release's version: what its metadata says, else what its list of images does.
    pub(super) fn version(&self) -> String {
        match &self.metadata {
            Some(metadata) => metadata.version.to_string(),
            None => self.references.version.to_string(),
        }
    }

    /// Which machines the release is for, as its installer says it.
    pub(super) fn architectures(&self) -> String {
        let own = format!("{}/{}", self.os, self.architecture);
        match self.image.in_list {
            true => format!("multi ({own})"),
            false => own,
        }
    }

    /// When the image was made, in seconds since 1970; 0 where it does not say that.
    pub(super) fn created_seconds(&self) -> u64 {
        let created = self.created.as_deref();
        let created = created.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let seconds = created.map(jiff::Timestamp::as_second);
        seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0)
    }

    /// The platform of its image.
    pub(super) fn platform(&self) -> Option<Platform> {
        format!("{}/{}", self.os, self.architecture).parse().ok()
    }

    /// A component's image for the payload's platform, and where it was found: beside the
    /// payload, as mirrors have it, or under its own name.
    pub(super) fn component(&self, component: &Component) -> Result<(Source, Image)> {
        let own = &component.image.repository;
        let platform = self.platform();
        let mut failure = None;
        for repository in self.neighbours().into_iter().chain([own.clone()]) {
            let source = self.source.in_repository(&repository);
            let name = repository.pinned(component.digest);
            match image_of(&source, &component.digest, platform.as_ref(), &name) {
                Ok(image) => return Ok((source, image)),
                Err(error) if error.class() == Class::Interrupted => return Err(error),
                // Where it is called by its own name is where it should be.
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| Error::usage("There is no image to read")))
    }

    /// Repositories of a mirror that hold components besides their own one: the payload's, and
    /// where `oc-mirror` puts them.
    fn neighbours(&self) -> Vec<Repository> {
        if self.in_bundle {
            return Vec::new();
        }
        let own = &self.pull_spec.repository;
        let beside = own
            .to_string()
            .strip_suffix("openshift/release-images")
            .and_then(|base| format!("{base}openshift/release").parse().ok());
        [own.clone()].into_iter().chain(beside).collect()
    }
}

/// Finds out what a reference means. Blocks.
fn in_registry(client: Client, reference: &Reference, context: &Context) -> Result<Found> {
    let repository = reference.repository.clone();
    let source = Source::registry(client, repository.clone(), context.clone());
    let root = match reference.digest {
        Some(digest) => digest,
        None => source.resolve(&Selector::of(reference))?,
    };
    Ok(Found {
        source,
        in_bundle: false,
        repository,
        root,
        signatures: Vec::new(),
    })
}

/// Finds a release in a bundle.
fn in_bundle(bundle: Bundle, wanted: Option<&str>, context: &Context) -> Result<Found> {
    let image = choose(&bundle, wanted)?;
    let Some(root) = image.root else {
        let problem = image.problem.as_deref().unwrap_or("it was not found");
        let message = format!("The bundle does not carry {}: {problem}", image.requested);
        return Err(Error::new(Class::Incomplete, message));
    };
    let repository = image.source.clone();
    let mut releases = bundle.inventory.releases.iter();
    let entry = releases.find(|release| release.image == image.requested);
    let signatures = entry.map(|entry| entry.signatures.clone());
    Ok(Found {
        source: Source::bundle(Arc::new(bundle), context.clone())?,
        in_bundle: true,
        repository,
        root,
        signatures: signatures.unwrap_or_default(),
    })
}

/// Chooses an image of a bundle.
fn choose<'a>(bundle: &'a Bundle, wanted: Option<&str>) -> Result<&'a ImageEntry> {
    let inventory = &bundle.inventory;
    let releases: Vec<(Option<&ReleaseVersion>, &ImageEntry)> = inventory
        .releases
        .iter()
        .filter_map(|release| Some((Some(&release.version), inventory.image(&release.image)?)))
        .collect();
    let names: Vec<String> = releases
        .iter()
        .map(|(version, image)| match version {
            Some(version) => format!("{version} ({})", image.requested),
            None => image.requested.to_string(),
        })
        .collect();
    let carried = || match names.as_slice() {
        [] => "it was not made with releases".to_owned(),
        names => format!("it carries {}", names.join(", ")),
    };
    let Some(wanted) = wanted else {
        if let [(_, image)] = releases.as_slice() {
            return Ok(image);
        }
        let message = format!("Which release is meant is not clear: {}", carried());
        return Err(Error::usage(message)
            .hint("name one by --release: its version, or its image as it was asked for"));
    };
    let by_version = releases
        .iter()
        .find(|(version, _)| version.is_some_and(|version| version.as_str() == wanted))
        .map(|(_, image)| *image);
    // A payload that was carried like any other image is as good.
    let by_name = || {
        let mut images = inventory.images.iter();
        images.find(|image| image.requested.to_string() == wanted)
    };
    by_version.or_else(by_name).ok_or_else(|| {
        let wanted = wanted.escape_debug();
        let message = format!("The bundle has no release `{wanted}`: {}", carried());
        Error::usage(message)
    })
}

/// An image for a platform, or for another one where a list does not have it.
fn image_of(
    source: &Source,
    digest: &Digest,
    platform: Option<&Platform>,
    name: &Reference,
) -> Result<Image> {
    let top = facts(source, digest, name)?;
    if top.kind == ManifestKind::Image {
        return Ok(Image {
            digest: *digest,
            facts: top,
            in_list: false,
        });
    }
    let amd64 = Platform {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        variant: None,
    };
    let find = |wanted: &Platform| {
        let mut children = top.children.iter();
        children.find(|child| {
            let platform = child.platform.as_ref();
            platform.is_some_and(|platform| wanted.selects(platform))
        })
    };
    let child = platform.and_then(find).or_else(|| find(&amd64));
    let child = child.or_else(|| top.children.first()).ok_or_else(|| {
        let message = format!("{name} is a list of no images");
        Error::new(Class::VerificationFailed, message)
    })?;
    let facts = facts(source, &child.digest, name)?;
    if facts.kind != ManifestKind::Image {
        let message = format!("{name} is a list of lists");
        return Err(Error::new(Class::VerificationFailed, message));
    }
    Ok(Image {
        digest: child.digest,
        facts,
        in_list: true,
    })
}

fn facts(source: &Source, digest: &Digest, name: &Reference) -> Result<ManifestFacts> {
    let raw = source.manifest(digest)?;
    let document = oci::parse(&raw.bytes, Some(&raw.media_type)).map_err(|error| {
        let message = format!("{name} cannot be read");
        Error::new(Class::VerificationFailed, message).caused_by(error)
    })?;
    Ok(document.facts)
}

fn config(source: &Source, image: &Image, name: &Reference) -> Result<Config> {
    let refused = || {
        Error::new(
            Class::VerificationFailed,
            format!("{name} has no image config"),
        )
    };
    let descriptor = image.facts.blobs.first().ok_or_else(refused)?;
    let bytes = source.small_blob(descriptor, CONFIG)?;
    serde_json::from_slice(&bytes).map_err(|error| refused().caused_by(error))
}

/// The files that make an image a release.
fn files(
    source: &Source,
    image: &Image,
    name: &Reference,
    parts: Parts,
) -> Result<BTreeMap<ImagePath, Vec<u8>>> {
    let wanted: &[&str] = match parts {
        Parts::Lists => &[image_references::PATH, metadata::PATH],
        Parts::Manifests => &[MANIFESTS],
    };
    let wanted = wanted.iter().map(|path| path.parse::<ImagePath>());
    let wanted: Vec<ImagePath> = wanted
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| Error::internal("A path of ours is none", error))?;
    let layers = Layers {
        name: name.to_string(),
        layers: image.layers().to_vec(),
    };
    collect(source, &layers, &wanted, PAYLOAD)
}
