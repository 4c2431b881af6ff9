//! The outcome of an export, or of its dry run.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::missing;
use super::program::ProgramCopy;
use super::selection::{CatalogSelection, PackageSelection};
use super::targets::TargetLine;
use crate::bundle::write::assemble::Assembled;
use crate::error::{Class, Error};
use crate::format::bundle::encode_manifest;
use crate::format::texts::Texts;
use crate::model::{
    BlobPlace, BundleId, BundleManifest, CatalogEntry, Count, Digest, ImageEntry, Inventory,
    LeftOut, MalformedImage, NeededBy, Reference,
};
use crate::ops::release::ReleaseLine;
use crate::ops::release::selection::Selected;
use crate::plan::export::{ExportPlan, KnownBundle};
use crate::plan::naming_ahead;

/// Final state of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportState {
    /// Dry run: nothing was written.
    Planned,
    /// A bundle was sealed.
    Sealed,
    /// The directory already held the complete bundle.
    AlreadyComplete,
    /// The directory held the incomplete bundle, and its missing content is still not available.
    StillIncomplete,
}

/// One image of the outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageLine {
    /// The reference as requested.
    pub reference: Reference,
    /// Digest to which it resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Reason why the image is incomplete; `None` if it is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// For an incomplete image: the catalog bundles that need it, limited to the first ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<NeededBy>,
    /// Number of attached artifacts.
    pub attached: usize,
}

impl ImageLine {
    fn of(image: &ImageEntry, inventory: &Inventory) -> Self {
        Self {
            reference: image.requested.clone(),
            digest: image.root,
            problem: image.problem.clone(),
            needed_by: match image.problem {
                Some(_) => inventory.needed_by(&image.requested),
                None => Vec::new(),
            },
            attached: image.attached.len(),
        }
    }
}

/// One catalog of the outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogLine {
    /// The catalog's image.
    pub image: Reference,
    /// Digest to which it resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Number of images that it names.
    pub images: usize,
    /// Number of those that are incomplete.
    pub missing: usize,
    /// Strings in place of image references that are no references; nothing is carried for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub malformed: Vec<MalformedImage>,
    /// Filter that was applied; absent if the catalog is unfiltered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Digest of the original, if the image was made here. Signatures apply to the original.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<Digest>,
    /// Kept packages, with reasons; only if this run made the plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageSelection>,
    /// The images that it names, by reference.
    #[serde(skip)]
    pub members: BTreeSet<Reference>,
}

impl CatalogLine {
    /// Returns the lines of all catalogs of a bundle.
    pub(crate) fn all(inventory: &Inventory) -> Vec<Self> {
        let catalogs = inventory.catalogs.iter();
        catalogs
            .map(|catalog| Self::of(catalog, inventory))
            .collect()
    }

    fn of(catalog: &CatalogEntry, inventory: &Inventory) -> Self {
        let members = catalog.members.iter().map(|member| member.image.clone());
        let members: BTreeSet<Reference> = members.collect();
        let missing = members.iter().filter(|member| {
            let image = inventory.image(member);
            image.is_none_or(|image| !image.is_whole())
        });
        Self {
            image: catalog.image.clone(),
            digest: inventory.image(&catalog.image).and_then(|image| image.root),
            images: members.len(),
            missing: missing.count(),
            malformed: catalog.malformed.clone(),
            filter: catalog.filter.clone(),
            original: catalog.original,
            packages: Vec::new(),
            members,
        }
    }
}

/// True if a registry said that it does not have the image: asking again does not help.
fn is_gone(problem: &str) -> bool {
    problem.contains("Registry does not know `")
}

/// Number and total size of blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Amount {
    /// Number of blobs.
    pub count: u64,
    /// Total size in bytes.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// Outcome of an export, or of its dry run.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Final state.
    pub state: ExportState,
    /// The bundle's id; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleId>,
    /// The bundle's generation.
    pub generation: u64,
    /// True if every image is complete.
    pub complete: bool,
    /// Name of the statement; absent without a signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// Results of requests for releases by version; empty if an earlier run made the plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selected: Vec<Selected>,
    /// All releases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<ReleaseLine>,
    /// All catalogs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub catalogs: Vec<CatalogLine>,
    /// Images left out on purpose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// All images.
    pub images: Vec<ImageLine>,
    /// Number of OCI manifests.
    pub manifests: usize,
    /// Blobs that this bundle carries.
    pub carried: Amount,
    /// Blobs left out because bases carried them.
    pub omitted: Amount,
    /// Blobs that must not be carried, with the URLs that their descriptors name.
    pub foreign: BTreeMap<Digest, Vec<String>>,
    /// Number of chunks.
    pub chunks: usize,
    /// Bytes of all files on the medium, statements and signatures included.
    pub bytes_on_medium: u64,
    /// In a dry run: bytes of data that an interrupted run left.
    #[serde(skip_serializing_if = "crate::model::is_zero")]
    pub already_there: u64,
    /// Complete images whose attachments are not fully known, because a registry did not answer.
    /// The same command asks again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<Reference>,
    /// Notes on names on a target: tags shared by several digests, names that an import will
    /// refuse.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub naming: Vec<String>,
    /// Differences between the content and what the targets of `--for` take.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetLine>,
    /// Messages about tags that moved since the plan was made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved_tags: Vec<String>,
    /// The program beside the bundle; absent unless it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<ProgramCopy>,
}

impl Outcome {
    fn new(
        state: ExportState,
        manifest: &BundleManifest,
        inventory: &Inventory,
        other_bytes: u64,
    ) -> Self {
        let mut outcome = Self {
            state,
            bundle: None,
            generation: manifest.generation,
            complete: manifest.complete,
            statement: None,
            selected: Vec::new(),
            releases: ReleaseLine::all(inventory),
            catalogs: inventory
                .catalogs
                .iter()
                .map(|catalog| CatalogLine::of(catalog, inventory))
                .collect(),
            left_out: inventory.left_out.clone(),
            images: inventory
                .images
                .iter()
                .map(|image| ImageLine::of(image, inventory))
                .collect(),
            manifests: inventory.manifests.len(),
            carried: Amount::default(),
            omitted: Amount::default(),
            foreign: BTreeMap::new(),
            chunks: manifest.chunks.len(),
            bytes_on_medium: manifest.chunk_bytes() + other_bytes,
            already_there: 0,
            unanswered: Vec::new(),
            naming: naming_ahead::notes(inventory),
            targets: Vec::new(),
            moved_tags: Vec::new(),
            program: None,
        };
        for blob in &inventory.blobs {
            match &blob.place {
                BlobPlace::Carried(_) => outcome.carried.add(blob.size),
                BlobPlace::Omitted { .. } => outcome.omitted.add(blob.size),
                BlobPlace::Foreign { urls } => {
                    outcome.foreign.insert(blob.digest, urls.clone());
                }
                BlobPlace::Missing { .. } => {}
            }
        }
        outcome
    }

    /// Adds the results of requests for releases by version.
    #[must_use]
    pub(super) fn with_selected(self, selected: Vec<Selected>) -> Self {
        Self { selected, ..self }
    }

    /// Makes the outcome of a dry run. `statements`: bytes of statements and signatures.
    pub(super) fn planned(assembled: &Assembled, statements: u64) -> Self {
        Self::new(
            ExportState::Planned,
            &assembled.manifest,
            &assembled.inventory,
            assembled.document_bytes() + statements,
        )
    }

    /// Makes the outcome of a sealed bundle.
    pub(super) fn sealed(
        assembled: &Assembled,
        statement: Option<String>,
        statements: u64,
    ) -> Self {
        Self {
            bundle: Some(assembled.id),
            statement,
            ..Self::new(
                ExportState::Sealed,
                &assembled.manifest,
                &assembled.inventory,
                assembled.document_bytes() + statements,
            )
        }
    }

    /// Adds the packages kept of catalogs, with reasons.
    #[must_use]
    pub(super) fn with_selections(mut self, selections: &[CatalogSelection]) -> Self {
        for line in &mut self.catalogs {
            let selection = selections.iter().find(|known| known.image == line.image);
            if let Some(selection) = selection {
                line.packages.clone_from(&selection.packages);
            }
        }
        self
    }

    /// Makes the outcome of a run that found a complete bundle.
    pub(super) fn already_complete(
        known: &KnownBundle,
        moved_tags: Vec<String>,
        statements: u64,
    ) -> Self {
        let state = ExportState::AlreadyComplete;
        Self {
            moved_tags,
            ..Self::of_known(state, known, statements)
        }
    }

    /// Makes the outcome of a run that could not add anything to the existing bundle.
    pub(super) fn nothing_new(known: &KnownBundle, images: &[ImageEntry], statements: u64) -> Self {
        let state = match known.manifest.complete {
            true => ExportState::AlreadyComplete,
            false => ExportState::StillIncomplete,
        };
        let line = |image| ImageLine::of(image, &known.inventory);
        let images = images.iter().map(line).collect();
        Self {
            images,
            ..Self::of_known(state, known, statements)
        }
    }

    /// Adds the complete images whose attachments are not fully known, for a reason that may be
    /// temporary.
    #[must_use]
    pub(super) fn with_unanswered(self, plan: &ExportPlan) -> Self {
        Self {
            unanswered: plan.unanswered.clone(),
            ..self
        }
    }

    fn of_known(state: ExportState, known: &KnownBundle, statements: u64) -> Self {
        let texts = Texts::new(&known.id, &known.manifest);
        // The manifest was decoded from these bytes, so encoding does not fail.
        let manifest = encode_manifest(&known.manifest).map_or(0, |bytes| bytes.len());
        let rest = manifest + texts.label.len() + texts.sums.len();
        let documents = known.manifest.inventory.length + rest as u64 + statements;
        Self {
            bundle: Some(known.id),
            ..Self::new(state, &known.manifest, &known.inventory, documents)
        }
    }

    /// Returns an error if images are incomplete, or if their attachments are not fully known;
    /// else `None`.
    pub fn failure(&self) -> Option<Error> {
        let lacking: Vec<&ImageLine> = self
            .images
            .iter()
            .filter(|image| image.problem.is_some())
            .collect();
        let malformed: Vec<&MalformedImage> = self
            .catalogs
            .iter()
            .flat_map(|catalog| &catalog.malformed)
            .collect();
        let lack = lacking.len() + malformed.len();
        if lack == 0 {
            return self.unanswered_failure();
        }
        let is = Count::of(lack, "image").is();
        let all = Count::of(self.images.len() + malformed.len(), "image");
        let can_be_asked_again = !lacking.is_empty();
        let leave_out = self.leave_out_hint(&lacking);
        let is_gone = |image: &&ImageLine| image.problem.as_deref().is_some_and(is_gone);
        let all_gone = lacking.iter().all(is_gone);
        let mut message = format!("{lack} of {all} {is} missing:");
        let missing = lacking.iter().map(|image| {
            let problem = image.problem.as_deref().unwrap_or_default();
            (
                &image.reference,
                problem,
                NeededBy::clause(&image.needed_by),
            )
        });
        message.push_str(&missing::list(&missing.collect::<Vec<_>>()));
        for malformed in &malformed {
            message.push_str(&format!("\n  - {malformed}"));
        }
        let mut error = Error::new(Class::Incomplete, message);
        if can_be_asked_again && !all_gone {
            // The inventory does not say which problems may pass.
            error = error.hint(
                "run the same command again to retry: it adds what was missing to the bundle",
            );
        }
        if can_be_asked_again {
            error = error.hint(match &leave_out {
                Some(option) => format!(
                    "an image that does not exist any more stays missing: leave its bundle out \
                     (`{option}`) in an export into another directory, or tell its publisher"
                ),
                None => "a reference that is misspelled or deleted stays missing: correct or \
                         remove it, and export into another directory"
                    .to_owned(),
            });
        }
        if !malformed.is_empty() {
            error = error
                .hint(
                    "only the catalog's publisher can correct an invalid image reference; the \
                     rest of the catalog was exported",
                )
                .hint(
                    "`airferry import --allow-incomplete` imports the bundle as it is; `export \
                     --leave-out bundle:NAME` leaves out the operator bundles that need such images",
                );
        }
        Some(error)
    }

    /// The option that leaves out the first missing image of a catalog.
    fn leave_out_hint(&self, lacking: &[&ImageLine]) -> Option<String> {
        let needs = lacking.iter().flat_map(|image| &image.needed_by);
        // Documents that are no bundles are named with their schema.
        let mut bundles = needs.filter(|needed| !needed.name.contains(' '));
        let name = &bundles.next()?.name;
        Some(format!("--leave-out bundle:{}", name.escape_debug()))
    }

    fn unanswered_failure(&self) -> Option<Error> {
        if self.unanswered.is_empty() {
            return None;
        }
        let mut message = format!(
            "A registry did not answer when asked for artifacts attached to {}:",
            Count::of(self.unanswered.len(), "image")
        );
        for image in &self.unanswered {
            message.push_str(&format!("\n  - {image}"));
        }
        let error = Error::new(Class::Network, message);
        Some(error.hint("the images themselves are complete; run the same command again to retry"))
    }
}
