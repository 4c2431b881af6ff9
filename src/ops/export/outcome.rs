//! What an export did, or would do.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::selection::{CatalogSelection, PackageSelection};
use crate::bundle::write::assemble::Assembled;
use crate::error::{Class, Error};
use crate::format::bundle::encode_manifest;
use crate::format::texts::Texts;
use crate::model::{
    BlobPlace, BundleId, BundleManifest, CatalogEntry, Count, Digest, ImageEntry, Inventory,
    MalformedImage, NeededBy, Reference,
};
use crate::ops::release::ReleaseLine;
use crate::ops::release::selection::Selected;
use crate::plan::export::{ExportPlan, KnownBundle};
use crate::plan::naming_ahead;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportState {
    /// A dry run: this would be done.
    Planned,
    /// A bundle was sealed.
    Sealed,
    /// The bundle was there already, complete.
    AlreadyComplete,
    /// The bundle was there, incomplete, and what it lacks cannot be had now either.
    StillIncomplete,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageLine {
    /// The reference as asked for.
    pub reference: Reference,
    /// What it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Why it is not whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Of one that is not whole: the catalogs' bundles that need it, of many the first.
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

/// A catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogLine {
    /// The catalog's image.
    pub image: Reference,
    /// What it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Number of images that it names.
    pub images: usize,
    /// Number of those that are not whole.
    pub missing: usize,
    /// Texts that it names as images and that are no references: they are not carried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub malformed: Vec<MalformedImage>,
    /// What was kept of the original; absent when that is everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The original's digest, when the image was made here. Signatures are about that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<Digest>,
    /// What is kept, and why; where the plan was made by this run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageSelection>,
    /// The images that it names, by reference.
    #[serde(skip)]
    pub members: BTreeSet<Reference>,
}

impl CatalogLine {
    /// The catalogs of a bundle.
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
            image.is_none_or(|image| image.problem.is_some())
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

/// A number of blobs, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Bytes together.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// What an export did, or would do.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// How it ended.
    pub state: ExportState,
    /// The bundle's identity; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleId>,
    /// The bundle's generation.
    pub generation: u64,
    /// Whether every image is whole.
    pub complete: bool,
    /// The statement's name; absent without a signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// What releases asked for by version came to; empty when the plan was made by an earlier
    /// run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selected: Vec<Selected>,
    /// All releases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<ReleaseLine>,
    /// All catalogs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub catalogs: Vec<CatalogLine>,
    /// All images.
    pub images: Vec<ImageLine>,
    /// Number of OCI manifests.
    pub manifests: usize,
    /// Blobs that this bundle carries.
    pub carried: Amount,
    /// Blobs that bases carried.
    pub omitted: Amount,
    /// Blobs that may not be carried, with the URLs that the manifest names.
    pub foreign: BTreeMap<Digest, Vec<String>>,
    /// Number of chunks.
    pub chunks: usize,
    /// Bytes of all files, statements and signatures included.
    pub bytes_on_medium: u64,
    /// In a dry run: bytes of the data that an interrupted run left.
    #[serde(skip_serializing_if = "crate::model::is_zero")]
    pub already_there: u64,
    /// Whole images of which it is unknown what is attached to them, because a registry did not
    /// answer: the same command asks again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<Reference>,
    /// What is to be known of the names on a target: tags that several digests share, names that
    /// an import will refuse.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub naming: Vec<String>,
    /// Tags that point elsewhere now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved_tags: Vec<String>,
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
            moved_tags: Vec::new(),
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

    /// Adds what releases asked for by version came to.
    #[must_use]
    pub(super) fn with_selected(self, selected: Vec<Selected>) -> Self {
        Self { selected, ..self }
    }

    /// What a dry run says. `statements`: bytes of statements and signatures.
    pub(super) fn planned(assembled: &Assembled, statements: u64) -> Self {
        Self::new(
            ExportState::Planned,
            &assembled.manifest,
            &assembled.inventory,
            assembled.document_bytes() + statements,
        )
    }

    /// A bundle was sealed.
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

    /// Adds what was kept of catalogs, and why.
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

    /// Nothing had to be done.
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

    /// What was asked for again cannot be had now either.
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

    /// Adds the images of which it is unknown what is attached to them, for a reason that may
    /// pass.
    #[must_use]
    pub(super) fn with_unanswered(self, plan: &ExportPlan) -> Self {
        Self {
            unanswered: plan.unanswered.clone(),
            ..self
        }
    }

    fn of_known(state: ExportState, known: &KnownBundle, statements: u64) -> Self {
        let texts = Texts::new(&known.id, &known.manifest);
        // It was decoded from what it encodes to.
        let manifest = encode_manifest(&known.manifest).map_or(0, |bytes| bytes.len());
        let rest = manifest + texts.label.len() + texts.sums.len();
        let documents = known.manifest.inventory.length + rest as u64 + statements;
        Self {
            bundle: Some(known.id),
            ..Self::new(state, &known.manifest, &known.inventory, documents)
        }
    }

    /// The failure that an incomplete bundle is, or one of which not everything that belongs to its
    /// images is known; `None` when it is complete.
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
        let mut message = format!("{lack} of {all} {is} not whole:");
        for image in lacking {
            let problem = image.problem.as_deref().unwrap_or_default();
            let needed_by = NeededBy::clause(&image.needed_by);
            message.push_str(&format!("\n  - {}: {problem}{needed_by}", image.reference));
        }
        for malformed in &malformed {
            message.push_str(&format!("\n  - {malformed}"));
        }
        let mut error = Error::new(Class::Incomplete, message);
        if can_be_asked_again {
            error = error.hint("run the same command again to complete the bundle");
        }
        if !malformed.is_empty() {
            error = error
                .hint(
                    "a text that is no image reference can only be corrected by the catalog's \
                     publisher; everything else of the catalog is carried",
                )
                .hint(
                    "`airferry import --allow-incomplete` takes the bundle as it is; `export \
                     --operator` leaves the bundles out that need such texts",
                );
        }
        Some(error)
    }

    fn unanswered_failure(&self) -> Option<Error> {
        if self.unanswered.is_empty() {
            return None;
        }
        let mut message = format!(
            "What is attached to {} is unknown, because a registry did not answer:",
            Count::of(self.unanswered.len(), "image")
        );
        for image in &self.unanswered {
            message.push_str(&format!("\n  - {image}"));
        }
        let error = Error::new(Class::Network, message);
        Some(error.hint("the images are whole; run the same command again to ask again"))
    }
}
