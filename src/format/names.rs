//! The registry-shaped names of a metadata chunk (bundle-format.md, R-37 and R-38).

use std::cmp::Ordering;

use super::tar::{self, EntryKind};
use crate::model::{BlobPlace, Digest, Inventory, Repository};

/// Bytes of a digest's text.
const DIGEST_TEXT: usize = "sha256:".len() + 64;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaf<'a> {
    Blob,
    Manifest,
    Tag(&'a str),
}

/// A name, as parts: a bundle may have some hundred thousand of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a> {
    /// Index of the repository's path.
    repository: usize,
    leaf: Leaf<'a>,
    target: Digest,
}

/// All names that the inventory implies, by ascending path.
#[derive(Debug)]
pub(super) struct Names<'a> {
    /// `v2/<registry>/<repository>/`
    repositories: Vec<String>,
    names: Vec<Name<'a>>,
}

impl<'a> Names<'a> {
    /// Collects the names of all images that have a root. A tag to which images give several
    /// roots stands there once for each, by ascending digest.
    pub(super) fn new(inventory: &'a Inventory) -> Self {
        let mut sources: Vec<&Repository> = Vec::new();
        let rooted = || inventory.images.iter().filter(|image| image.root.is_some());
        sources.extend(rooted().map(|image| &image.source));
        sources.sort_unstable();
        sources.dedup();
        let repositories = sources
            .iter()
            .map(|source| format!("v2/{source}/"))
            .collect();
        let mut names = Vec::new();
        for image in rooted() {
            let Ok(repository) = sources.binary_search(&&image.source) else {
                continue;
            };
            let mut name = |leaf, target| {
                names.push(Name {
                    repository,
                    leaf,
                    target,
                });
            };
            let attached = image
                .attached
                .iter()
                .map(|a| (Some(a.root), a.tag.as_ref()));
            let mut reached = Vec::new();
            for (root, tag) in std::iter::once((image.root, image.tag.as_ref())).chain(attached) {
                let Some(root) = root else { continue };
                if let Some(tag) = tag {
                    name(Leaf::Tag(tag.as_str()), root);
                }
                reached.push(root);
            }
            let mut seen = std::collections::HashSet::new();
            while let Some(digest) = reached.pop() {
                let Some(entry) = inventory.manifest(&digest) else {
                    continue;
                };
                if !seen.insert(digest) {
                    continue;
                }
                name(Leaf::Manifest, digest);
                reached.extend(&entry.children);
                for blob in entry
                    .blobs
                    .iter()
                    .filter(|blob| is_one_file(inventory, blob))
                {
                    if seen.insert(*blob) {
                        name(Leaf::Blob, *blob);
                    }
                }
            }
        }
        let mut this = Self {
            repositories,
            names,
        };
        let Self {
            repositories,
            names,
        } = &mut this;
        names.sort_unstable_by(|a, b| cmp(repositories, a, b).then(a.target.cmp(&b.target)));
        names.dedup_by(|a, b| a.target == b.target && cmp(repositories, a, b).is_eq());
        this
    }

    /// All names, a tag's possible targets included.
    pub(super) fn possible(&self) -> impl Iterator<Item = &Name<'a>> {
        self.names.iter()
    }

    /// The names that the newest chunk holds: of a tag's possible targets the first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Name<'a>> {
        let mut previous: Option<&Name<'a>> = None;
        self.names.iter().filter(move |name| {
            let again = previous.is_some_and(|p| cmp(&self.repositories, p, name).is_eq());
            previous = Some(name);
            !again
        })
    }

    /// Compares two names by their paths.
    pub(super) fn cmp(&self, a: &Name<'_>, b: &Name<'_>) -> Ordering {
        cmp(&self.repositories, a, b)
    }

    /// Length in bytes of a name's tar entry.
    pub(super) fn entry_length(&self, name: &Name<'_>) -> u64 {
        let Parts(repository, directory) = parts(&self.repositories, name);
        let (leaf, link) = match name.leaf {
            Leaf::Tag(tag) => (tag.len(), DIGEST_TEXT),
            Leaf::Blob | Leaf::Manifest => (DIGEST_TEXT, tar::BLOB_NAME),
        };
        let path = repository.len() + directory.len() + leaf;
        tar::header_length(path, link) as u64
    }

    /// The bytes of a name's tar entry.
    pub(super) fn entry(&self, name: &Name<'_>) -> Vec<u8> {
        let path = parts(&self.repositories, name).path(&name.target, name.leaf);
        let (kind, link) = match name.leaf {
            Leaf::Tag(_) => (EntryKind::Symlink, name.target.to_string()),
            Leaf::Blob | Leaf::Manifest => (
                EntryKind::HardLink,
                tar::blob_entry_name(&name.target, None),
            ),
        };
        // An entry without data always fits.
        tar::header(&path, kind, 0, &link).unwrap_or_default()
    }
}

/// The beginning of a name's path: repository and directory.
struct Parts<'r>(&'r str, &'static str);

impl Parts<'_> {
    fn path(&self, target: &Digest, leaf: Leaf<'_>) -> String {
        let Self(repository, directory) = self;
        match leaf {
            Leaf::Tag(tag) => format!("{repository}{directory}{tag}"),
            Leaf::Blob | Leaf::Manifest => format!("{repository}{directory}{target}"),
        }
    }
}

fn parts<'r>(repositories: &'r [String], name: &Name<'_>) -> Parts<'r> {
    let directory = match name.leaf {
        Leaf::Blob => "blobs/",
        Leaf::Manifest | Leaf::Tag(_) => "manifests/",
    };
    let repository = repositories.get(name.repository).map_or("", String::as_str);
    Parts(repository, directory)
}

/// The bytewise order of the paths, which are built for it only where they must be.
fn cmp(repositories: &[String], a: &Name<'_>, b: &Name<'_>) -> Ordering {
    if a.repository == b.repository {
        // Blobs before manifests; a colon cannot stand in a tag, so no tag is a digest's text.
        let blob = |name: &Name<'_>| name.leaf != Leaf::Blob;
        return blob(a).cmp(&blob(b)).then_with(|| match (a.leaf, b.leaf) {
            (Leaf::Tag(a), Leaf::Tag(b)) => a.cmp(b),
            (Leaf::Tag(tag), _) => tag.cmp(&b.target.to_string()),
            (_, Leaf::Tag(tag)) => a.target.to_string().as_str().cmp(tag),
            _ => a.target.cmp(&b.target),
        });
    }
    let (pa, pb) = (parts(repositories, a), parts(repositories, b));
    if pa.0.starts_with(pb.0) || pb.0.starts_with(pa.0) {
        // One repository lies below the other: its components compare with our directories.
        return pa.path(&a.target, a.leaf).cmp(&pb.path(&b.target, b.leaf));
    }
    pa.0.cmp(pb.0)
}

/// Whether a blob is carried as one file, to which a hard link can point.
fn is_one_file(inventory: &Inventory, digest: &Digest) -> bool {
    match inventory.blob(digest).map(|blob| &blob.place) {
        Some(BlobPlace::Carried(carried)) => carried.extents.len() == 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::sample;
    use super::*;

    fn paths(inventory: &Inventory) -> Vec<String> {
        let names = Names::new(inventory);
        let path = |name: &Name<'_>| parts(&names.repositories, name).path(&name.target, name.leaf);
        names.all().map(path).collect()
    }

    #[test]
    fn names_are_all_that_images_imply_in_the_order_of_their_paths() {
        let mut inventory = sample().inventory;
        // Repositories below and beside each other, where parts and whole paths order otherwise.
        let first = inventory.images[0].clone();
        for source in [
            "quay.io/okd/scos/blobs",
            "quay.io/okd/scos-x",
            "quay.io/okd/scos/a/b",
        ] {
            let mut image = first.clone();
            image.source = source.parse().unwrap();
            inventory.images.push(image);
        }
        let paths = paths(&inventory);
        let mut sorted = paths.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(paths, sorted);
        // One blob is one file; index, image and signature; two tags.
        assert_eq!(paths.len(), 4 * 6);
        let of_first = paths
            .iter()
            .filter(|p| p.starts_with("v2/quay.io/okd/scos/manifests/"));
        assert_eq!(of_first.count(), 5);
    }

    #[test]
    fn the_length_of_an_entry_is_known_without_it() {
        let mut inventory = sample().inventory;
        let mut image = inventory.images[0].clone();
        image.source = format!("quay.io/{}", ["long"; 40].join("/"))
            .parse()
            .unwrap();
        inventory.images.push(image);
        let names = Names::new(&inventory);
        let mut lengths = std::collections::BTreeSet::new();
        for name in names.possible() {
            let length = names.entry_length(name);
            assert_eq!(length, names.entry(name).len() as u64);
            lengths.insert(length);
        }
        assert_eq!(lengths.len(), 2);
    }

    #[test]
    fn a_tag_with_two_roots_is_named_once() {
        let mut inventory = sample().inventory;
        let mut other = inventory.images[0].clone();
        other.root = Some(other.attached[0].root);
        inventory.images.push(other);
        let names = Names::new(&inventory);
        assert_eq!(names.possible().count(), 7);
        let tags: Vec<&Name<'_>> = names
            .all()
            .filter(|name| name.leaf == Leaf::Tag("4.18"))
            .collect();
        let roots = inventory.images.iter().filter_map(|image| image.root);
        assert_eq!(tags.len(), 1);
        assert_eq!(Some(tags[0].target), roots.min());
    }
}
