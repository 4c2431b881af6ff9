//! What an import will do: which blobs go into which repositories, which manifests follow in
//! which order, which tags come last.
//!
//! Decided from the verified inventory and the names on the target alone; what the target
//! already has is found out while it is done.

use std::collections::{BTreeMap, BTreeSet};

use super::naming::{Placed, SourceImage};
use crate::model::{
    AttachedBy, BlobPlace, BundleId, Digest, ImageEntry, Inventory, Reference, Repository, Tag,
};

/// An image that is going to be made visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUpload {
    /// The image and its name on the target.
    pub placed: Placed,
    /// Its commit group, if any.
    pub group: Option<String>,
    /// Its own manifests, children before their parents; the root is the last.
    pub manifests: Vec<Digest>,
    /// Manifests of attached artifacts, children before their parents.
    pub attached: Vec<Digest>,
    /// Tags of attached artifacts, with what they point to.
    pub attached_tags: Vec<(Tag, Digest)>,
    /// Blobs that all these need, in the order in which the manifests name them.
    pub blobs: Vec<Digest>,
}

impl ImageUpload {
    /// The repository on the target.
    pub fn repository(&self) -> &Repository {
        &self.placed.repository
    }
}

/// A blob that must be on the target before anything is changed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presumed {
    /// Its size in bytes.
    pub size: u64,
    /// The bundle that carried it.
    pub origin: BundleId,
    /// The repositories in which it is needed.
    pub needed_in: BTreeSet<Repository>,
}

/// Everything that an import will do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportPlan {
    /// Images in the order in which the bundle holds their blobs.
    pub images: Vec<ImageUpload>,
    /// Images that are left out because they are not whole, and releases and catalogs of which
    /// a member is not, with the reason.
    pub incomplete: Vec<(Reference, String)>,
    /// Blobs that a base should have brought.
    pub presumed: BTreeMap<Digest, Presumed>,
    /// Blobs that may not be carried: the target must do without, or have them.
    pub foreign: BTreeSet<Digest>,
}

/// What naming needs to know of the images that are whole.
pub fn source_images(inventory: &Inventory) -> Vec<SourceImage> {
    let whole = inventory
        .images
        .iter()
        .filter(|image| image.problem.is_none());
    whole
        .filter_map(|image| {
            Some(SourceImage {
                source: image.source.clone(),
                tag: image.tag.clone(),
                root: image.root?,
                requested: image.requested.clone(),
            })
        })
        .collect()
}

impl ImportPlan {
    /// Plans the import of every whole image, but of no release or catalog that lacks a member.
    /// `placed` are the names for [`source_images`] of
    /// the same inventory, in the same order.
    pub fn new(inventory: &Inventory, placed: &[Placed]) -> Self {
        let mut plan = Self::default();
        let mut names = placed.iter();
        let broken = without_a_member(inventory);
        for image in &inventory.images {
            let (root, placed) = match whole(image) {
                Ok(root) => (root, names.next()),
                Err(problem) => {
                    let problem = problem.to_owned();
                    plan.incomplete.push((image.requested.clone(), problem));
                    continue;
                }
            };
            match (broken.get(&image.requested), placed) {
                (None, Some(placed)) => plan.add(inventory, image, root, placed.clone()),
                (Some(member), _) => {
                    let problem = format!("one of its images is not whole: {member}");
                    plan.incomplete.push((image.requested.clone(), problem));
                }
                (None, None) => {}
            }
        }
        plan
    }

    fn add(&mut self, inventory: &Inventory, image: &ImageEntry, root: Digest, placed: Placed) {
        let mut order = PushOrder::new(inventory);
        order.visit(root);
        let manifests = std::mem::take(&mut order.manifests);
        for attachment in &image.attached {
            order.visit(attachment.root);
        }
        let attached = order.manifests;
        let attached_tags = image
            .attached
            .iter()
            .filter(|attachment| attachment.by == AttachedBy::CosignTag)
            .filter_map(|attachment| Some((attachment.tag.clone()?, attachment.root)))
            .collect();
        let mut blobs = Vec::new();
        for digest in order.blobs {
            let Some(blob) = inventory.blob(&digest) else {
                continue;
            };
            match &blob.place {
                BlobPlace::Foreign { .. } => {
                    self.foreign.insert(digest);
                    continue;
                }
                BlobPlace::Omitted { origin } => {
                    let presumed = self.presumed.entry(digest).or_insert_with(|| Presumed {
                        size: blob.size,
                        origin: *origin,
                        needed_in: BTreeSet::new(),
                    });
                    presumed.needed_in.insert(placed.repository.clone());
                }
                BlobPlace::Carried(_) | BlobPlace::Missing { .. } => {}
            }
            blobs.push(digest);
        }
        let group = None;
        self.images.push(ImageUpload {
            placed,
            group,
            manifests,
            attached,
            attached_tags,
            blobs,
        });
    }

    /// All repositories that are written to.
    pub fn repositories(&self) -> BTreeSet<&Repository> {
        self.images.iter().map(ImageUpload::repository).collect()
    }

    /// Every pair of blob and repository once: the number of pairs, and of different blobs.
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

/// An image's root, or why it is not whole.
fn whole(image: &ImageEntry) -> Result<Digest, &str> {
    match &image.problem {
        Some(problem) => Err(problem),
        None => image.root.ok_or("it has no root"),
    }
}

/// Releases and catalogs of which a member is not whole, with the first such member and its
/// problem.
fn without_a_member(inventory: &Inventory) -> BTreeMap<&Reference, String> {
    let releases = inventory.releases.iter().map(|release| {
        let members = release.components.iter().map(|member| &member.image);
        (&release.image, members.collect::<Vec<_>>())
    });
    let catalogs = inventory.catalogs.iter().map(|catalog| {
        let members = catalog.members.iter().map(|member| &member.image);
        (&catalog.image, members.collect())
    });
    let missing = |member: &Reference| match inventory.image(member).map(whole) {
        Some(Ok(_)) => None,
        Some(Err(problem)) => Some(format!("{member}: {problem}")),
        None => Some(format!("{member}: the bundle does not name it")),
    };
    releases
        .chain(catalogs)
        .filter_map(|(image, members)| Some((image, members.into_iter().find_map(missing)?)))
        .collect()
}

/// Collects manifests so that children come before their parents.
struct PushOrder<'a> {
    inventory: &'a Inventory,
    seen: BTreeSet<Digest>,
    seen_blobs: BTreeSet<Digest>,
    manifests: Vec<Digest>,
    blobs: Vec<Digest>,
}

impl<'a> PushOrder<'a> {
    fn new(inventory: &'a Inventory) -> Self {
        Self {
            inventory,
            seen: BTreeSet::new(),
            seen_blobs: BTreeSet::new(),
            manifests: Vec::new(),
            blobs: Vec::new(),
        }
    }

    fn visit(&mut self, root: Digest) {
        // A stack of (manifest, children are done): what is nested deeply costs no stack frames.
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
            stack.extend(manifest.children.iter().rev().map(|child| (*child, false)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        AttachmentState, CatalogEntry, CatalogFormat, CatalogMember, Component, ReleaseEntry,
    };
    use crate::plan::naming::{Options, Target, place};

    fn reference(name: &str) -> Reference {
        format!("quay.io/okd/{name}:v1").parse().unwrap()
    }

    fn image(name: &str, problem: Option<&str>) -> ImageEntry {
        let requested = reference(name);
        ImageEntry {
            tag: requested.tag.clone(),
            root: problem.is_none().then(|| Digest::from_bytes([7; 32])),
            cosign: AttachmentState::NotAsked,
            source: requested.repository.clone(),
            problem: problem.map(str::to_owned),
            attached: Vec::new(),
            platforms: Vec::new(),
            referrers: AttachmentState::NotAsked,
            fetched_from: requested.repository.clone(),
            standalone: false,
            requested,
        }
    }

    fn release(name: &str, component: &str) -> ReleaseEntry {
        ReleaseEntry {
            image: reference(name),
            version: "4.18.0".parse().unwrap(),
            keyrings: Vec::new(),
            unsigned: true,
            components: vec![Component {
                name: "cli".to_owned(),
                image: reference(component),
            }],
            signatures: Vec::new(),
            architecture: "amd64".to_owned(),
        }
    }

    fn catalog(name: &str, members: &[&str]) -> CatalogEntry {
        let member = |name: &&str| CatalogMember {
            image: reference(name),
            written: reference(name).to_string(),
        };
        CatalogEntry {
            image: reference(name),
            filter: None,
            format: CatalogFormat::FileBased,
            members: members.iter().map(member).collect(),
            original: None,
        }
    }

    #[test]
    fn releases_and_catalogs_that_lack_a_member_are_left_out() {
        let inventory = Inventory {
            ext: None,
            document: Inventory::TYPE.to_owned(),
            bases: Vec::new(),
            blobs: Vec::new(),
            chunks: Vec::new(),
            format: 1,
            images: vec![
                image("broken", Some("404")),
                image("catalog", None),
                image("member", None),
                image("release-1", None),
                image("release-2", None),
            ],
            request: Digest::from_bytes([0; 32]),
            catalogs: vec![catalog("catalog", &["member", "broken"])],
            releases: vec![release("release-1", "gone"), release("release-2", "member")],
            manifests: Vec::new(),
        };
        let target: Target = "mirror.lan".parse().unwrap();
        let placed = place(&source_images(&inventory), &target, &Options::default()).unwrap();
        let plan = ImportPlan::new(&inventory, placed.images());
        let names = plan.images.iter().map(|image| image.placed.target());
        let names: Vec<String> = names.map(|target| target.to_string()).collect();
        let expected = ["member", "release-2"].map(|name| format!("mirror.lan/okd/{name}:v1"));
        assert_eq!(names, expected);
        let left_out: Vec<String> = plan
            .incomplete
            .iter()
            .map(|(reference, problem)| format!("{reference}: {problem}"))
            .collect();
        let why = "one of its images is not whole: quay.io/okd";
        let expected = [
            "quay.io/okd/broken:v1: 404".to_owned(),
            format!("quay.io/okd/catalog:v1: {why}/broken:v1: 404"),
            format!("quay.io/okd/release-1:v1: {why}/gone:v1: the bundle does not name it"),
        ];
        assert_eq!(left_out, expected);
    }
}
