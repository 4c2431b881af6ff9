//! The plan of an import: which blobs go into which repositories, which manifests follow in which
//! order, and which tags come last.
//!
//! The plan depends only on the verified inventory and the names on the target. What the target
//! already has is found out during the import.

mod artifacts;
mod share;

use std::collections::{BTreeMap, BTreeSet};

use super::naming::{ImageToName, Placed, ReleaseName, Role, SourceImage};
use crate::model::{
    BlobPlace, BundleId, Count, Digest, Graph, ImageEntry, Inventory, Reference, Repository, Walk,
};

pub use artifacts::{Artifact, ArtifactSelection};
pub use share::{Shard, ShardError, SharedBlob};

/// An image that is to be uploaded and tagged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUpload {
    /// The image and its name on the target.
    pub placed: Placed,
    /// Digests of its own manifests, children before their parents; the root is the last.
    pub manifests: Vec<Digest>,
    /// Attached artifacts that are sent, each after the artifact that is its subject.
    pub attached: Vec<Artifact>,
    /// Attached artifacts that are not sent, because the operator asked for that.
    pub unsent: Vec<Digest>,
    /// Blobs that all these manifests need, in the order in which the manifests name them. Blobs
    /// of its own manifests come before blobs of artifacts.
    pub blobs: Vec<Digest>,
    /// Number of entries at the start of `blobs` that its own manifests need.
    own_blobs: usize,
}

impl ImageUpload {
    /// Returns the repository on the target.
    pub fn repository(&self) -> &Repository {
        &self.placed.repository
    }

    /// Returns the blobs that the image itself needs, without those of attached artifacts.
    pub fn own_blobs(&self) -> &[Digest] {
        self.blobs.get(..self.own_blobs).unwrap_or(&self.blobs)
    }

    /// True if a manifest is an attached artifact of the image. An index may list the artifact
    /// too.
    pub fn is_attached(&self, digest: &Digest) -> bool {
        self.attached
            .iter()
            .any(|artifact| artifact.root == *digest)
    }

    /// True if the image is part of a release.
    pub fn is_of_release(&self) -> bool {
        let of_release = |role: &Role| matches!(role, Role::Release(_) | Role::Component { .. });
        self.placed.roles.iter().any(of_release)
    }

    /// True if the image is the root of a release or a catalog. A root becomes visible after all
    /// images of its group; the root of a release not at all if one of them fails.
    pub fn is_root(&self) -> bool {
        self.placed.roles.iter().any(Role::is_root)
    }

    /// Returns the roots of the groups that the image belongs to.
    pub fn member_of(&self) -> impl Iterator<Item = &Reference> {
        self.placed.roles.iter().filter_map(Role::member_of)
    }
}

/// The kind of a group of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// A release image and its components.
    Release,
    /// A catalog image and the images that the catalog names.
    Catalog,
}

/// Images that belong together: a release or a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The kind of the group.
    pub kind: GroupKind,
    /// Members that are not whole in the bundle, each with the reason, sorted.
    pub missing: Vec<(Reference, String)>,
}

impl Group {
    /// True if the group's root must not become visible: a release without all of its images is
    /// useless. A catalog with missing images is useful to operators who accept an incomplete
    /// bundle.
    pub fn is_withheld(&self) -> bool {
        self.kind == GroupKind::Release && !self.missing.is_empty()
    }
}

/// A blob that must be on the target before the import changes anything there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseBlob {
    /// Size in bytes.
    pub size: u64,
    /// Id of the bundle that carried it.
    pub origin: BundleId,
    /// The repositories that need it.
    pub needed_in: BTreeSet<Repository>,
}

/// Everything that an import does, as far as it is known in advance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportPlan {
    /// Images in the order in which the bundle holds their blobs.
    pub images: Vec<ImageUpload>,
    /// Releases and catalogs, by the reference of the release or catalog image as requested.
    pub groups: BTreeMap<Reference, Group>,
    /// Images that are left out because they are not whole, and releases with missing members,
    /// each with the reason.
    pub incomplete: Vec<(Reference, String)>,
    /// Blobs that a base should have brought, by digest.
    pub base_blobs: BTreeMap<Digest, BaseBlob>,
    /// Blobs that may not be carried: the target has them, or the images stay without them.
    pub foreign: BTreeSet<Digest>,
}

/// Returns the whole images in the form that naming needs: one entry for each role of an image.
pub fn wanted(inventory: &Inventory) -> Vec<ImageToName> {
    let roles = roles(inventory);
    let mut wanted = Vec::new();
    for image in inventory.images.iter().filter(|i| i.is_whole()) {
        let Some(root) = image.root else {
            continue;
        };
        let source = SourceImage {
            source: image.source.clone(),
            tag: image.tag.clone(),
            root,
            requested: image.requested.clone(),
        };
        let belongs = roles.get(&image.requested);
        if belongs.is_none() || image.standalone {
            let role = Role::Plain;
            let image = source.clone();
            wanted.push(ImageToName { image, role });
        }
        for role in belongs.into_iter().flatten() {
            let (image, role) = (source.clone(), role.clone());
            wanted.push(ImageToName { image, role });
        }
    }
    wanted
}

/// Returns the roles of all images that belong to a release or a catalog.
fn roles(inventory: &Inventory) -> BTreeMap<&Reference, Vec<Role>> {
    let mut roles: BTreeMap<&Reference, Vec<Role>> = BTreeMap::new();
    for entry in &inventory.releases {
        let release = ReleaseName::of(entry);
        for component in &entry.components {
            let role = Role::Component {
                release: release.clone(),
                name: component.name.clone(),
            };
            roles.entry(&component.image).or_default().push(role);
        }
        let role = Role::Release(release);
        roles.entry(&entry.image).or_default().push(role);
    }
    for entry in &inventory.catalogs {
        for member in &entry.members {
            let role = Role::Member {
                catalog: entry.image.clone(),
                written: member.written.clone(),
            };
            roles.entry(&member.image).or_default().push(role);
        }
        roles.entry(&entry.image).or_default().push(Role::Catalog);
    }
    roles
}

/// Returns the reason why an image of the inventory cannot be imported; `None` if it can.
fn problem(image: &ImageEntry) -> Option<String> {
    match (&image.problem, image.root) {
        (Some(problem), _) => Some(problem.clone()),
        (None, None) => Some("its manifest is missing from the bundle".to_owned()),
        (None, Some(_)) => None,
    }
}

/// Returns all groups, with the members that the bundle lacks.
fn groups(inventory: &Inventory) -> BTreeMap<Reference, Group> {
    let group = |kind, members: BTreeSet<&Reference>| {
        let missing = members.into_iter().filter_map(|member| {
            let problem = match inventory.image(member) {
                Some(image) => problem(image)?,
                None => "the bundle does not list it".to_owned(),
            };
            Some((member.clone(), problem))
        });
        let missing = missing.collect();
        Group { kind, missing }
    };
    let releases = inventory.releases.iter().map(|release| {
        let members = release.components.iter().map(|component| &component.image);
        let group = group(GroupKind::Release, members.collect());
        (release.image.clone(), group)
    });
    let catalogs = inventory.catalogs.iter().map(|catalog| {
        let members = catalog.members.iter().map(|member| &member.image);
        let group = group(GroupKind::Catalog, members.collect());
        (catalog.image.clone(), group)
    });
    releases.chain(catalogs).collect()
}

impl ImportPlan {
    /// Plans the import of all whole images. `placed` must be the names found for [`wanted`] of
    /// the same inventory.
    pub fn new(inventory: &Inventory, placed: &[Placed], sent: &ArtifactSelection) -> Self {
        let mut plan = Self {
            groups: groups(inventory),
            ..Self::default()
        };
        for image in &inventory.images {
            if let Some(problem) = problem(image) {
                plan.incomplete.push((image.requested.clone(), problem));
            }
        }
        let mut withheld = BTreeSet::new();
        let graph = Graph::new(inventory);
        let mut walk = Walk::new(&graph);
        for placed in placed {
            if plan.withholds(placed) {
                withheld.insert(&placed.image.requested);
            } else if let Some(image) = inventory.image(&placed.image.requested) {
                plan.add(inventory, &mut walk, image, placed.clone(), sent);
            }
        }
        for root in withheld {
            let missing = plan.groups.get(root).map_or(0, |group| group.missing.len());
            let count = Count::of(missing, "image");
            let is = count.is();
            let problem = format!("{count} of this release {is} missing from the bundle");
            plan.incomplete.push((root.clone(), problem));
        }
        plan
    }

    /// True if an image must not become visible because the bundle lacks a part of its release.
    pub fn withholds(&self, placed: &Placed) -> bool {
        let withheld = || {
            let group = self.groups.get(&placed.image.requested);
            group.is_some_and(Group::is_withheld)
        };
        placed
            .roles
            .iter()
            .any(|role| matches!(role, Role::Release(_)))
            && withheld()
    }

    fn add(
        &mut self,
        inventory: &Inventory,
        walk: &mut Walk<'_, '_>,
        image: &ImageEntry,
        placed: Placed,
        sent: &ArtifactSelection,
    ) {
        let (attached, unsent) = artifacts::of(inventory, walk, image, sent);
        let pushed_together = artifacts::manifests(&attached);
        let mut order = PushOrder::new(inventory, walk, placed.image.root, pushed_together);
        order.visit(placed.image.root);
        let manifests = std::mem::take(&mut order.manifests);
        let own = order.blobs.len();
        for artifact in &attached {
            order.visit(artifact.root);
        }
        let mut own_blobs = 0;
        let mut blobs = Vec::new();
        for (number, digest) in order.blobs.into_iter().enumerate() {
            let Some(blob) = inventory.blob(&digest) else {
                continue;
            };
            match &blob.place {
                BlobPlace::Foreign { .. } => {
                    self.foreign.insert(digest);
                    continue;
                }
                BlobPlace::Omitted { origin } => {
                    let blob = self.base_blobs.entry(digest).or_insert_with(|| BaseBlob {
                        size: blob.size,
                        origin: *origin,
                        needed_in: BTreeSet::new(),
                    });
                    blob.needed_in.insert(placed.repository.clone());
                }
                BlobPlace::Carried(_) | BlobPlace::Missing { .. } => {}
            }
            blobs.push(digest);
            own_blobs += usize::from(number < own);
        }
        self.images.push(ImageUpload {
            placed,
            manifests,
            attached,
            unsent,
            blobs,
            own_blobs,
        });
    }

    /// Returns all repositories that the import writes to.
    pub fn repositories(&self) -> BTreeSet<&Repository> {
        self.images.iter().map(ImageUpload::repository).collect()
    }

    /// Returns the number of different pairs of repository and blob, and the number of different
    /// blobs.
    pub fn blob_counts(&self) -> (usize, usize) {
        let pairs: BTreeSet<(&Repository, &Digest)> = self
            .images
            .iter()
            .flat_map(|image| {
                image
                    .blobs
                    .iter()
                    .map(move |blob| (image.repository(), blob))
            })
            .collect();
        let blobs: BTreeSet<&Digest> = pairs.iter().map(|(_, blob)| *blob).collect();
        (pairs.len(), blobs.len())
    }
}

/// Collects manifests in the order of pushing: children before the index that lists them, a
/// subject before the manifest that refers to it. Strict registries refuse any other order.
struct PushOrder<'a> {
    inventory: &'a Inventory,
    /// Digests of the manifests that go into the image's repository.
    pushed_together: BTreeSet<Digest>,
    seen: BTreeSet<Digest>,
    seen_blobs: BTreeSet<Digest>,
    manifests: Vec<Digest>,
    blobs: Vec<Digest>,
}

impl<'a> PushOrder<'a> {
    /// Creates an empty order. `attached`: manifests of artifacts that are sent with the image.
    fn new(
        inventory: &'a Inventory,
        walk: &mut Walk<'_, '_>,
        root: Digest,
        attached: BTreeSet<Digest>,
    ) -> Self {
        let mut pushed_together = attached;
        pushed_together.extend(walk.manifests_from(&root));
        Self {
            inventory,
            pushed_together,
            seen: BTreeSet::new(),
            seen_blobs: BTreeSet::new(),
            manifests: Vec::new(),
            blobs: Vec::new(),
        }
    }

    fn visit(&mut self, root: Digest) {
        // An explicit stack of (manifest, children are done): deep nesting must not overflow the
        // call stack.
        let mut stack = vec![(root, false)];
        while let Some((digest, children_done)) = stack.pop() {
            if children_done {
                self.manifests.push(digest);
                continue;
            }
            if !self.seen.insert(digest) {
                continue;
            }
            let Some(manifest) = self.inventory.manifest(&digest) else {
                continue;
            };
            for blob in &manifest.blobs {
                if self.seen_blobs.insert(*blob) {
                    self.blobs.push(*blob);
                }
            }
            stack.push((digest, true));
            // A child that was left out of an index may still be sent as an artifact.
            let others = manifest.omitted.iter().chain(&manifest.subject);
            let others = others.filter(|other| self.pushed_together.contains(*other));
            let before: Vec<Digest> = others.chain(&manifest.children).copied().collect();
            stack.extend(before.into_iter().rev().map(|child| (child, false)));
        }
    }
}

#[cfg(test)]
mod tests;
