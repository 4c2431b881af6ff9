//! `airferry unpack`: writes a bundle's content as a directory tree that other tools read.
//!
//! Every blob is hashed while it is copied, and a file gets its name only when it is complete. The
//! names in the tree come from the verified inventory, never from an archive.

mod oci_layout;
mod places;
mod v2;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::context::Context;
use super::release::proof::{self, ReleaseKeys, ReleaseProof};
use crate::bundle::open::{Bundle, Scope, Waivers, open_bundle};
use crate::bundle::read::Manifests;
use crate::bundle::read::StoredBlob;
use crate::bundle::trust::Trust;
use crate::cluster;
use crate::error::{Class, Error, Result};
use crate::format::hash::BlobHasher;
use crate::model::{BlobPlace, BundleId, Digest, ImageEntry, Reference};
use crate::plan::naming::{ReleaseName, ReleaseTags};
use crate::progress::{Event, Phase};
use crate::sys;
use crate::sys::files::NewFile;

/// Layout of the directory tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// `v2/<repository>/{manifests,blobs}`, as `oc image mirror --from-dir` reads it.
    #[default]
    V2,
    /// The same, with all of a release below `v2/openshift/release` and its signatures in
    /// `config`, as `oc adm release mirror --to-dir` writes it.
    OcRelease,
    /// An OCI image layout.
    Oci,
}

/// The request of `airferry unpack`.
#[derive(Debug)]
pub struct Request {
    /// Directory of the bundle.
    pub bundle: PathBuf,
    /// Keys that are trusted for bundles.
    pub trust: Trust,
    /// True to accept a bundle that no trusted key signed.
    pub allow_unsigned: bool,
    /// True to unpack the complete images of an incomplete bundle.
    pub allow_incomplete: bool,
    /// Target directory, which must be empty or missing.
    pub to: PathBuf,
    /// Layout of the tree.
    pub layout: Layout,
    /// Keys that are trusted for releases; only for the layout `oc-release`.
    pub release_keys: ReleaseKeys,
    /// True to unpack releases without signatures too.
    pub allow_unsigned_release: bool,
}

/// Result of `airferry unpack`.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Id of the bundle.
    pub bundle: BundleId,
    /// Images in the tree, by reference.
    pub images: Vec<String>,
    /// Number of images with Docker media types, which some readers of OCI layouts ignore.
    pub docker_images: usize,
    /// Images that are incomplete, or need blobs that the bundle does not carry, with the reason.
    pub left_out: Vec<String>,
    /// Judgements about the releases; only for the layout `oc-release`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub release_proofs: Vec<ReleaseProof>,
    /// Tags of the releases, which are prefixes of components' tags; only for `oc-release`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<String>,
    /// True if a release of the bundle is not in the tree; only for the layout `oc-release`.
    #[serde(skip)]
    pub lacks_release: bool,
    /// Number of blobs, each counted once.
    pub blobs: usize,
    /// Total size of the blobs in bytes.
    pub bytes: u64,
}

impl Outcome {
    /// Returns an error for images that were left out, unless that was accepted. A release that
    /// was left out is always an error: a part of it cannot be installed.
    pub fn failure(&self, allow_incomplete: bool) -> Option<Error> {
        if self.left_out.is_empty() || (allow_incomplete && !self.lacks_release) {
            return None;
        }
        let mut message = String::from("Not every image could be unpacked:");
        for line in &self.left_out {
            message.push_str("\n  - ");
            message.push_str(line);
        }
        Some(
            Error::new(Class::Incomplete, message)
                .hint(
                    "blobs of a base are not in this bundle, but on the registry to which the base \
                     was imported",
                )
                .hint("--allow-incomplete accepts that they are left out"),
        )
    }
}

/// Unpacks a bundle.
pub fn unpack(request: &Request, context: &Context) -> Result<Outcome> {
    let waivers = Waivers {
        unsigned: request.allow_unsigned,
        incomplete: request.allow_incomplete,
    };
    let (directory, trust) = (&request.bundle, &request.trust);
    let bundle = open_bundle(directory, trust, waivers, Scope::Everything)?;
    let bundle = Arc::new(bundle);
    for note in &bundle.notes {
        context.warn(note.to_string());
    }
    let mut proofs = Vec::new();
    if request.layout == Layout::OcRelease {
        proofs = proof::judge_bundle(&bundle, &request.release_keys, context)?;
        proof::require(&proofs, request.allow_unsigned_release)?;
        proof::warn_of_unsigned(&proofs, context);
    }
    let manifests = Manifests::read(&bundle)?;
    let mut tree = Tree::new(&bundle, &manifests, &request.to, context)?;
    let places = places::places(&mut tree, request.layout)?;
    match request.layout {
        Layout::V2 | Layout::OcRelease => {
            v2::refuse_collisions(&places)?;
            v2::write(&tree, &places)?;
        }
        Layout::Oci => oci_layout::write(&tree)?,
    }
    if request.layout == Layout::OcRelease {
        tree.write_signatures()?;
    }
    let mut outcome = tree.outcome(request.layout)?;
    outcome.release_proofs = proofs;
    outcome.lacks_release = request.layout == Layout::OcRelease
        && bundle.inventory.releases.iter().any(|release| {
            let mut images = places.iter().map(|place| &place.image.requested);
            !images.any(|image| *image == release.image)
        });
    Ok(outcome)
}

/// Writes a small new file.
pub(super) fn write_document(bytes: &[u8], path: &Path) -> Result<()> {
    let mut file = NewFile::create(path)?;
    file.append(bytes)?;
    Ok(file.keep()?)
}

/// State shared by the writers of all layouts.
pub(super) struct Tree<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) manifests: &'a Manifests,
    pub(super) to: &'a Path,
    /// Images that can be written completely.
    pub(super) images: Vec<&'a ImageEntry>,
    left_out: Vec<String>,
    context: &'a Context,
}

/// Manifests and blobs that an image reaches.
pub(super) struct Reached {
    pub(super) manifests: BTreeSet<Digest>,
    pub(super) blobs: BTreeSet<Digest>,
}

impl<'a> Tree<'a> {
    fn new(
        bundle: &'a Bundle,
        manifests: &'a Manifests,
        to: &'a Path,
        context: &'a Context,
    ) -> Result<Self> {
        sys::files::make_dirs(to)?;
        if !sys::files::names_in(to)?.is_empty() {
            let message = format!("`{}` is not empty", to.display());
            return Err(Error::usage(message).hint("unpack into a new directory"));
        }
        let mut tree = Self {
            bundle,
            manifests,
            to,
            images: Vec::new(),
            left_out: Vec::new(),
            context,
        };
        for image in &bundle.inventory.images {
            match tree.why_not(image) {
                None => tree.images.push(image),
                Some(why) => tree.left_out.push(format!("{}: {why}", image.requested)),
            }
        }
        for line in &tree.left_out {
            context.warn(format!("left out: {line}"));
        }
        Ok(tree)
    }

    fn why_not(&self, image: &ImageEntry) -> Option<String> {
        if let Some(problem) = &image.problem {
            return Some(problem.clone());
        }
        let reached = self.reached(image);
        let inventory = &self.bundle.inventory;
        reached
            .blobs
            .iter()
            .find_map(|digest| match &inventory.blob(digest)?.place {
                BlobPlace::Carried(_) | BlobPlace::Foreign { .. } => None,
                BlobPlace::Omitted { origin } => Some(format!(
                    "{digest} is in a base of this bundle, {}",
                    origin.hex()
                )),
                BlobPlace::Missing { reason } => Some(format!("{digest} is missing: {reason}")),
            })
    }

    /// Returns all manifests and blobs that an image and its attachments reach.
    pub(super) fn reached(&self, image: &ImageEntry) -> Reached {
        let rows = self.bundle.inventory.reach(image.roots());
        Reached {
            manifests: rows.iter().map(|row| row.digest).collect(),
            blobs: rows.iter().flat_map(|row| &row.blobs).copied().collect(),
        }
    }

    /// Copies a carried blob to a new file and verifies its digest. Writes nothing for a blob that
    /// is not carried. Returns true if the file was written.
    pub(super) fn copy_blob(&self, digest: &Digest, path: &Path) -> Result<bool> {
        let Some(blob) = self.bundle.inventory.blob(digest) else {
            return Ok(false);
        };
        let BlobPlace::Carried(carried) = &blob.place else {
            return Ok(false);
        };
        if self.context.cancel.is_cancelled() {
            return Err(Error::interrupted());
        }
        let (phase, item): (_, Arc<str>) = (Phase::Write, digest.to_string().into());
        let (bytes, bytes_cached) = (blob.size, 0);
        self.context.emit(Event::ItemStarted {
            phase,
            item: Arc::clone(&item),
            bytes,
            bytes_cached,
        });
        let mut file = NewFile::create(path)?;
        let mut hasher = BlobHasher::new();
        let mut failure = None;
        StoredBlob::new(Arc::clone(&self.bundle.media), carried).each_piece(|piece| {
            hasher.update(piece);
            let bytes = piece.len() as u64;
            self.context.emit(Event::ItemAdvanced {
                phase,
                item: Arc::clone(&item),
                bytes,
            });
            match file.append(piece) {
                Ok(()) => true,
                Err(error) => {
                    failure = Some(error);
                    false
                }
            }
        })?;
        if let Some(error) = failure {
            return Err(error.into());
        }
        if hasher.finish() != *digest {
            let message = format!("The bytes of {digest} in the bundle have another SHA-256");
            return Err(Error::new(Class::VerificationFailed, message)
                .hint("run `airferry verify` to see which chunk is damaged"));
        }
        file.keep()?;
        self.context.emit(Event::ItemFinished {
            phase,
            item,
            ok: true,
        });
        Ok(true)
    }

    /// Writes a manifest to a new file.
    pub(super) fn copy_manifest(&self, digest: &Digest, path: &Path) -> Result<()> {
        match self.manifests.get(digest) {
            Some(manifest) => write_document(&manifest.bytes, path),
            None => Ok(()),
        }
    }

    /// Number of images whose top manifest has a Docker media type.
    fn docker_images(&self) -> usize {
        let roots = self.images.iter().filter_map(|image| image.root);
        let manifests = roots.filter_map(|root| self.manifests.get(&root));
        manifests
            .filter(|manifest| manifest.media_type.is_docker())
            .count()
    }

    /// Writes the ConfigMaps with signatures of the releases in the tree.
    fn write_signatures(&self) -> Result<()> {
        let directory = self.to.join("config");
        for release in &self.bundle.inventory.releases {
            if !self.has(&release.image) || release.signatures.is_empty() {
                continue;
            }
            sys::files::make_dirs(&directory)?;
            let files = cluster::signature_files(&cluster::signatures_of(release));
            let files = files.map_err(|error| Error::internal("Signatures are no JSON", error))?;
            for file in files {
                let path = directory.join(&file.name);
                sys::files::write_atomically(&path, file.text.as_bytes(), 0o644)?;
            }
        }
        Ok(())
    }

    fn has(&self, requested: &Reference) -> bool {
        let mut images = self.images.iter();
        images.any(|image| image.requested == *requested)
    }

    fn outcome(self, layout: Layout) -> Result<Outcome> {
        let mut blobs = BTreeSet::new();
        for image in &self.images {
            blobs.extend(self.reached(image).blobs);
        }
        let inventory = &self.bundle.inventory;
        let sizes = blobs
            .iter()
            .filter_map(|digest| inventory.blob(digest))
            .map(|blob| blob.size);
        Ok(Outcome {
            bundle: self.bundle.id,
            images: self
                .images
                .iter()
                .map(|image| image.requested.to_string())
                .collect(),
            docker_images: self.docker_images(),
            release_proofs: Vec::new(),
            left_out: self.left_out.clone(),
            lacks_release: false,
            releases: self
                .bundle
                .inventory
                .releases
                .iter()
                .filter(|release| layout == Layout::OcRelease && self.has(&release.image))
                .map(|release| ReleaseName::of(release).tag(ReleaseTags::Current))
                .collect(),
            blobs: blobs.len(),
            bytes: sizes.sum(),
        })
    }
}
