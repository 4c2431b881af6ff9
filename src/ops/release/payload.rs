//! Opens a release payload: finds its image, its contents, and its components.

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

/// Place from which a release is read.
#[derive(Debug)]
pub enum ReleaseOrigin {
    /// A registry: the publisher's, or a mirror.
    Registry {
        /// Client of the registry.
        client: Client,
        /// The release image.
        reference: Reference,
    },
    /// A bundle.
    Bundle {
        /// Directory of the bundle.
        path: PathBuf,
        /// Keys that are trusted for bundles.
        trust: Trust,
        /// True to accept a bundle that no trusted key signed.
        allow_unsigned: bool,
        /// The release to read: its version, or its image as requested at export. Required if the
        /// bundle carries several.
        release: Option<String>,
    },
}

/// A release payload.
#[derive(Debug)]
pub(super) struct Payload {
    source: Source,
    /// True if it is read from a bundle.
    pub(super) in_bundle: bool,
    /// Its pull spec, as clusters use it, with the digest of the list if there is one.
    pub(super) pull_spec: Reference,
    /// Its image for one platform.
    pub(super) image: Image,
    /// Contents of that image.
    pub(super) contents: ImageContents,
    /// Signatures carried by the bundle; `None` for a registry.
    signatures: Option<Vec<ReleaseSignature>>,
}

/// The release that was found: its place, and its top manifest.
struct Found {
    source: Source,
    repository: Repository,
    root: Digest,
    /// Its entry in the bundle's inventory.
    entry: Option<ReleaseEntry>,
    in_bundle: bool,
}

impl Payload {
    /// Opens a payload for `platform`. If a list has no image for it, opens another one. Blocks.
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
                // Reading shows if this release is complete.
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

    /// Returns the release for verification. The image that was read must be signed, or the list
    /// that contains it.
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

    /// Returns the digest of its top manifest: of the list, if there is one.
    pub(super) fn digest(&self) -> Digest {
        self.pull_spec.digest.unwrap_or(self.image.digest)
    }

    /// Returns the release's version.
    pub(super) fn version(&self) -> String {
        self.contents.references.version.to_string()
    }

    /// Returns the architecture of its image, in Go's words.
    pub(super) fn architecture(&self) -> &str {
        &self.contents.platform.architecture
    }

    /// Returns the architectures of the release, as its installer shows them.
    pub(super) fn architectures(&self) -> String {
        let own = self.contents.platform.to_string();
        match self.image.in_list {
            true => format!("multi ({own})"),
            false => own,
        }
    }

    /// Returns the image's creation time in seconds since 1970; 0 if it does not name one.
    pub(super) fn created_seconds(&self) -> u64 {
        let created = self.contents.created.as_deref();
        let created = created.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let seconds = created.map(jiff::Timestamp::as_second);
        seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0)
    }

    /// Returns a component's image for the payload's platform, and the source that has it. Looks
    /// beside the payload, as on mirrors, and then in the component's own repository. Continues
    /// only if a repository lacks the image: any other failure ends the search.
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
                // The error of the component's own repository, the last one, is reported.
                Err(error) if error.class() == Class::Incomplete => missing = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(missing.unwrap_or_else(|| Error::usage("There is no image to read")))
    }

    /// Returns repositories of a mirror that may hold components besides their own: the payload's,
    /// and the one that `oc-mirror` uses.
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

/// Resolves a reference at its registry. Blocks.
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
        let message = format!("The bundle does not contain {}: {problem}", image.requested);
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

/// Chooses the image of a release in a bundle.
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
        [] => "it contains no releases".to_owned(),
        names => format!("it contains {}", names.join(", ")),
    };
    let Some(wanted) = wanted else {
        if let [(_, image)] = releases.as_slice() {
            return Ok(image);
        }
        let message = format!("The release is ambiguous: {}", carried());
        return Err(Error::usage(message)
            .hint("choose one with --release: its version, or its image as it was requested"));
    };
    let by_version = releases
        .iter()
        .find(|(version, _)| version.as_str() == wanted)
        .map(|(_, image)| *image);
    // A payload that was exported as a plain image can be used too.
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
