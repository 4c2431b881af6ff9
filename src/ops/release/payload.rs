//! A release payload, opened: which image it is, what it is made of, where its parts are.

use std::path::PathBuf;
use std::sync::Arc;

use super::verification::Release;
use crate::bundle::open::{Bundle, Scope, Waivers, open_bundle};
use crate::bundle::trust::Trust;
use crate::content::release::Component;
use crate::content::release::difference::Difference;
use crate::content::release::judgement::Subject;
use crate::error::{Class, Error, Result};
use crate::image::Source;
use crate::image::release::{Image, ImageContents, Parts, PayloadReader};
use crate::model::{
    Digest, ImageEntry, Platform, Reference, ReleaseEntry, ReleaseSignature, ReleaseVersion,
    Repository,
};
use crate::ops::context::Context;
use crate::registry::{Client, Selector};

/// Where a release is read from.
#[derive(Debug)]
pub enum ReleaseOrigin {
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
    /// What that says.
    pub(super) contents: ImageContents,
    /// Signatures that its bundle carries.
    signatures: Option<Vec<ReleaseSignature>>,
}

/// What was asked for, found: where it is, and which image it is.
struct Found {
    source: Source,
    repository: Repository,
    root: Digest,
    /// What a bundle says of it.
    entry: Option<ReleaseEntry>,
    in_bundle: bool,
}

impl Payload {
    /// Opens a payload for a machine of `platform`; where a list has no image for that, for
    /// another one. Blocks.
    pub(super) fn open(
        from: ReleaseOrigin,
        parts: Parts,
        platform: &Platform,
        context: &Context,
    ) -> Result<Self> {
        let found = match from {
            ReleaseOrigin::Registry { client, reference } => {
                in_registry(client, &reference, context)?
            }
            ReleaseOrigin::Bundle {
                path,
                trust,
                allow_unsigned,
                release,
            } => {
                // Whether this release is whole shows when it is read.
                let waivers = Waivers {
                    unsigned: allow_unsigned,
                    incomplete: true,
                };
                let bundle = open_bundle(&path, &trust, waivers, Scope::Everything)?;
                for note in &bundle.notes {
                    context.warn(note.to_string());
                }
                in_bundle(bundle, release.as_deref(), context)?
            }
        };
        let source = found.source;
        let pull_spec = found.repository.pinned(found.root);
        let name = pull_spec.to_string();
        let image = Image::for_platform(&source, &found.root, Some(platform), &name)?;
        let reader = PayloadReader {
            source: &source,
            name: &name,
        };
        let contents = reader.image(&image, parts)?;
        if let Some(problem) = &contents.metadata_problem {
            context.warn(format!("{pull_spec}: {problem}"));
        }
        if let Some(entry) = &found.entry
            && let Some(difference) = Difference::of_lists(entry, &contents.references)
        {
            let message = format!("The release {name} is NOT GENUINE: {difference}");
            return Err(Error::new(Class::NotAuthenticated, message));
        }
        Ok(Self {
            source,
            in_bundle: found.in_bundle,
            pull_spec,
            image,
            contents,
            signatures: match (found.in_bundle, found.entry) {
                (true, entry) => Some(entry.map(|entry| entry.signatures).unwrap_or_default()),
                (false, _) => None,
            },
        })
    }

    /// The release as it is verified: what is signed is the image that was read, or the list in
    /// which it is.
    pub(super) fn as_release(&self) -> Release<'_> {
        let root = self.digest();
        let images = [self.image.digest].into_iter().filter(|own| *own != root);
        Release {
            name: &self.pull_spec,
            subject: Subject {
                root,
                images: images.collect(),
            },
            config: self.contents.verification.as_ref(),
            carried: self.signatures.clone(),
        }
    }

    /// Its digest: the list's where there is one.
    pub(super) fn digest(&self) -> Digest {
        self.pull_spec.digest.unwrap_or(self.image.digest)
    }

    /// The release's version.
    pub(super) fn version(&self) -> String {
        self.contents.references.version.to_string()
    }

    /// The architecture of its image, in Go's words.
    pub(super) fn architecture(&self) -> &str {
        &self.contents.platform.architecture
    }

    /// Which machines the release is for, as its installer says it.
    pub(super) fn architectures(&self) -> String {
        let own = self.contents.platform.to_string();
        match self.image.in_list {
            true => format!("multi ({own})"),
            false => own,
        }
    }

    /// When the image was made, in seconds since 1970; 0 where it does not say that.
    pub(super) fn created_seconds(&self) -> u64 {
        let created = self.contents.created.as_deref();
        let created = created.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let seconds = created.map(jiff::Timestamp::as_second);
        seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0)
    }

    /// A component's image for the payload's platform, and where it was found: beside the
    /// payload, as mirrors have it, or under its own name. A mirror that fails is not taken for
    /// one that does not have it.
    pub(super) fn component(&self, component: &Component) -> Result<(Source, Image)> {
        let own = &component.image.repository;
        let platform = Some(&self.contents.platform);
        let mut places = self.neighbours();
        if !places.contains(own) {
            places.push(own.clone());
        }
        let mut missing = None;
        for repository in places {
            let source = self.source.in_repository(&repository);
            let name = repository.pinned(component.digest).to_string();
            match Image::for_platform(&source, &component.digest, platform, &name) {
                Ok(image) => return Ok((source, image)),
                // Where it is called by its own name is where it should be.
                Err(error) if error.class() == Class::Incomplete => missing = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(missing.unwrap_or_else(|| Error::usage("There is no image to read")))
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
    let source = Source::registry(client, repository.clone(), context.cancel.clone());
    let root = match reference.digest {
        Some(digest) => digest,
        None => source.resolve(&Selector::of(reference))?,
    };
    Ok(Found {
        source,
        repository,
        root,
        entry: None,
        in_bundle: false,
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
    let entry = entry.cloned();
    Ok(Found {
        source: Source::bundle(Arc::new(bundle), context.cancel.clone())?,
        repository,
        root,
        entry,
        in_bundle: true,
    })
}

/// Chooses an image of a bundle.
fn choose<'a>(bundle: &'a Bundle, wanted: Option<&str>) -> Result<&'a ImageEntry> {
    let inventory = &bundle.inventory;
    let releases: Vec<(&ReleaseVersion, &ImageEntry)> = inventory
        .releases
        .iter()
        .filter_map(|release| Some((&release.version, inventory.image(&release.image)?)))
        .collect();
    let names: Vec<String> = releases
        .iter()
        .map(|(version, image)| format!("{version} ({})", image.requested))
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
        .find(|(version, _)| version.as_str() == wanted)
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
