//! Releases and catalogs on the target. The root of one becomes visible after all its members. The
//! root of a release is not tagged if a member failed, because an incomplete release is useless.
//! The root of a catalog is tagged, and its missing images are reported.

use std::collections::BTreeMap;

use serde::Serialize;

use super::failure::Failure;
use super::image_report::{ImageReport, ImageState};
use crate::error::Class;
use crate::model::{
    CatalogEntry, Digest, Inventory, MalformedImage, NeededBy, Reference, ReleaseVersion,
};
use crate::plan::import::{GroupKind, ImageUpload, ImportPlan};
use crate::plan::naming::Role;

/// Returns the indexes of roots in the plan's images, in order of upload: a root that is a member
/// of another group comes before that group's root.
pub(super) fn roots(plan: &ImportPlan) -> Vec<usize> {
    let indexes = plan.images.iter().enumerate();
    let mut roots: Vec<(bool, usize)> = indexes
        .filter(|(_, image)| image.is_root())
        .map(|(index, image)| (image.member_of().next().is_none(), index))
        .collect();
    roots.sort_unstable();
    roots.into_iter().map(|(_, index)| index).collect()
}

/// Releases with a failed member, by the root's requested reference.
pub(super) struct BrokenGroups<'p> {
    plan: &'p ImportPlan,
    broken: BTreeMap<&'p Reference, Failure>,
}

impl<'p> BrokenGroups<'p> {
    pub(super) fn new(plan: &'p ImportPlan) -> Self {
        Self {
            plan,
            broken: BTreeMap::new(),
        }
    }

    /// Records the result of an image.
    pub(super) fn note(&mut self, image: &'p ImageUpload, report: &ImageReport) {
        for root in image.member_of() {
            let kind = self.plan.groups.get(root).map(|group| group.kind);
            // A release names its components by digest, so a platform's manifest cannot replace
            // one.
            let is_another = report.state == ImageState::PlatformOnly;
            let is_broken = report.class.is_some() || is_another;
            if kind != Some(GroupKind::Release) || !is_broken {
                continue;
            }
            let reason = report.reason.as_deref().unwrap_or("unknown reason");
            let class = match report.class {
                Some(Class::Interrupted) => Class::Interrupted,
                _ => Class::Target,
            };
            let failure = Failure {
                class,
                reason: format!(
                    "not tagged, because an image of its release failed: {}: {reason}",
                    report.source
                ),
                // The member's own report has the hint.
                hint: None,
                network: false,
            };
            self.broken.entry(root).or_insert(failure);
        }
    }

    /// Returns the reason why a root must not be tagged, if there is one.
    pub(super) fn failure_of(&self, root: &ImageUpload) -> Option<Failure> {
        self.broken.get(&root.placed.image.requested).cloned()
    }
}

/// Report on a release or a catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupReport {
    /// The release image or catalog image, as requested at export.
    pub image: Reference,
    /// The release's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<ReleaseVersion>,
    /// The release's architecture, or `multi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// State of its image.
    pub state: ImageState,
    /// Name of its image on the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Reference>,
    /// Digest of its image there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Images of the group that are not on the target: incomplete in the bundle, or refused by the
    /// target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// Strings in place of a catalog's image references that are no references.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub malformed: Vec<MalformedImage>,
}

/// An image of a release or a catalog that is not on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The reference as requested at export.
    pub image: Reference,
    /// Reason why it is missing.
    pub reason: String,
    /// The catalog bundles that need it, as far as the inventory names them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<NeededBy>,
}

/// Reports on the releases.
pub(super) fn releases(
    inventory: &Inventory,
    plan: &ImportPlan,
    images: &[ImageReport],
) -> Vec<GroupReport> {
    let releases = inventory.releases.iter().map(|release| GroupReport {
        version: Some(release.version.clone()),
        architecture: Some(release.architecture.clone()),
        ..group(&release.image, plan, images)
    });
    releases.collect()
}

/// Reports on the catalogs.
pub(super) fn catalogs(
    inventory: &Inventory,
    plan: &ImportPlan,
    images: &[ImageReport],
) -> Vec<GroupReport> {
    let catalogs = inventory.catalogs.iter();
    catalogs
        .map(|catalog| GroupReport {
            malformed: catalog.malformed.clone(),
            missing: missing(catalog, images),
            ..group(&catalog.image, plan, images)
        })
        .collect()
}

/// Returns a catalog's images that are missing on the target, sorted by reference.
fn missing(catalog: &CatalogEntry, images: &[ImageReport]) -> Vec<Missing> {
    let failed = images.iter().filter(|image| image.class.is_some());
    let failed: BTreeMap<&Reference, &ImageReport> =
        failed.map(|image| (&image.source, image)).collect();
    let mut missing: BTreeMap<&Reference, Missing> = BTreeMap::new();
    for member in &catalog.members {
        let Some(report) = failed.get(&member.image) else {
            continue;
        };
        let reason = report.reason.as_deref().unwrap_or("unknown reason");
        let row = missing.entry(&member.image).or_insert_with(|| Missing {
            image: member.image.clone(),
            reason: reason.to_owned(),
            needed_by: Vec::new(),
        });
        row.needed_by.extend(member.needed_by.iter().cloned());
    }
    missing.into_values().collect()
}

fn group(root: &Reference, plan: &ImportPlan, images: &[ImageReport]) -> GroupReport {
    let own = || images.iter().filter(|image| image.source == *root);
    let stands_for_it = |image: &&ImageReport| {
        let roles = image.placed.iter().flat_map(|placed| &placed.roles);
        image.class.is_none() && roles.into_iter().any(Role::is_root)
    };
    let there = own().find(stands_for_it);
    let state = match there {
        Some(image) => image.state,
        None => own()
            .find(|image| image.class.is_some())
            .map_or(ImageState::Failed, |image| image.state),
    };
    let missing = plan.groups.get(root).map(|group| &group.missing);
    let missing = missing
        .into_iter()
        .flatten()
        .map(|(image, reason)| Missing {
            image: image.clone(),
            reason: reason.clone(),
            needed_by: Vec::new(),
        });
    GroupReport {
        image: root.clone(),
        version: None,
        architecture: None,
        state,
        target: there.and_then(|image| image.target.clone()),
        digest: there.and_then(|image| image.digest),
        missing: missing.collect(),
        malformed: Vec::new(),
    }
}
