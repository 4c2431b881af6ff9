//! The registry-shaped names of a metadata chunk (bundle-format.md, R-47 and R-48).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::tar::{self, EntryKind};
use crate::model::{
    BlobEntry, BlobPlace, Digest, Graph, ImageEntry, Inventory, Limits, Repository, Tag, Walk,
};

/// Length of a digest's text in bytes.
const DIGEST_TEXT: usize = "sha256:".len() + 64;

/// The target of a name, as an index into a list: a bundle may have hundreds of thousands of
/// names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaf {
    Blob(u32),
    Manifest(u32),
    Tag(u32),
}

/// A name, stored as indexes of its parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    /// Index in `Names::repositories`.
    repository: u32,
    leaf: Leaf,
}

/// All names that the inventory implies, by ascending path.
#[derive(Debug)]
pub(super) struct Names<'a> {
    inventory: &'a Inventory,
    /// Path prefixes of the repositories: `v2/<registry>/<repository>/`.
    repositories: Vec<String>,
    tags: Vec<TagName<'a>>,
    names: Vec<Name>,
}

/// A tag in a repository.
#[derive(Debug)]
struct TagName<'a> {
    tag: &'a Tag,
    /// The digest that the tag points to.
    root: Digest,
    /// True if the tag's path would also be a directory of other names. Only an older chunk,
    /// written before that repository was added, may hold such a tag.
    is_directory: bool,
}

/// There are more names than a metadata chunk may hold, or more digests were visited to collect
/// them than allowed (bundle-format.md, section 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

impl<'a> Names<'a> {
    /// Collects the names of all images that have a root. A tag to which images give several
    /// roots is listed once for each root, by ascending digest.
    ///
    /// Content that several images of a repository share is visited once.
    pub(super) fn new(inventory: &'a Inventory) -> Result<Self, TooMany> {
        let rooted = || inventory.images.iter().filter(|image| image.root.is_some());
        let mut by_source: BTreeMap<&Repository, Vec<&ImageEntry>> = BTreeMap::new();
        for image in rooted() {
            by_source.entry(&image.source).or_default().push(image);
        }
        let graph = Graph::new(inventory);
        let mut walk = Walk::new(&graph);
        let directories = Directories::of(by_source.keys().copied());
        let mut this = Self {
            inventory,
            repositories: Vec::with_capacity(by_source.len()),
            tags: Vec::new(),
            names: Vec::new(),
        };
        for (source, images) in by_source {
            let repository = this.repositories.len() as u32;
            this.repositories.push(format!("v2/{source}/"));
            let mut name = |leaf| this.names.push(Name { repository, leaf });
            let mut roots = Vec::new();
            for image in images {
                let attached = image
                    .attached
                    .iter()
                    .map(|a| (Some(a.root), a.tag.as_ref()));
                let own = std::iter::once((image.root, image.tag.as_ref()));
                for (root, tag) in own.chain(attached) {
                    if let (Some(root), Some(tag)) = (root, tag) {
                        name(Leaf::Tag(this.tags.len() as u32));
                        let is_directory = directories.have(source, tag);
                        this.tags.push(TagName {
                            tag,
                            root,
                            is_directory,
                        });
                    }
                }
                roots.extend(graph.roots(image));
            }
            let reached = walk.reach(&roots);
            for manifest in reached.manifests {
                name(Leaf::Manifest(manifest));
            }
            for blob in reached.blobs {
                if inventory.blobs.get(blob as usize).is_some_and(is_one_file) {
                    name(Leaf::Blob(blob));
                }
            }
            if this.names.len() > Limits::NAMES || walk.steps() > Limits::NAME_STEPS {
                return Err(TooMany);
            }
        }
        let mut names = std::mem::take(&mut this.names);
        names.sort_unstable_by(|a, b| {
            let targets = || this.target(a).cmp(&this.target(b));
            this.cmp(a, b).then_with(targets)
        });
        names.dedup_by(|a, b| this.target(a) == this.target(b) && this.cmp(a, b).is_eq());
        this.names = names;
        Ok(this)
    }

    /// Returns all names, with every possible target of a tag.
    pub(super) fn possible(&self) -> impl Iterator<Item = &Name> {
        self.names.iter()
    }

    /// Returns the names that the newest chunk holds: for a tag with several possible targets
    /// only the first, and no tag whose path is a directory.
    pub(super) fn all(&self) -> impl Iterator<Item = &Name> {
        let mut previous: Option<&Name> = None;
        let is_directory = |name: &&Name| match name.leaf {
            Leaf::Tag(tag) => self
                .tags
                .get(tag as usize)
                .is_some_and(|tag| tag.is_directory),
            Leaf::Blob(_) | Leaf::Manifest(_) => false,
        };
        let names = self.names.iter().filter(move |name| !is_directory(name));
        names.filter(move |name| {
            let again = previous.is_some_and(|p| self.cmp(p, name).is_eq());
            previous = Some(name);
            !again
        })
    }

    /// Compares two names by their paths, bytewise. Builds the paths only where it must.
    pub(super) fn cmp(&self, a: &Name, b: &Name) -> Ordering {
        if a.repository == b.repository {
            // Blobs sort before manifests. A tag has no colon, so no tag equals a digest's text.
            let blob = |name: &Name| !matches!(name.leaf, Leaf::Blob(_));
            return blob(a)
                .cmp(&blob(b))
                .then_with(|| match (self.tag(a), self.tag(b)) {
                    (Some(a), Some(b)) => a.cmp(b),
                    (Some(tag), None) => tag.cmp(&self.target(b).to_string()),
                    (None, Some(tag)) => self.target(a).to_string().as_str().cmp(tag),
                    (None, None) => self.target(a).cmp(&self.target(b)),
                });
        }
        let (pa, pb) = (self.repository(a), self.repository(b));
        if pa.starts_with(pb) || pb.starts_with(pa) {
            // One repository lies below the other: its path components compare with `blobs` and
            // `manifests` of the other.
            return self.path(a).cmp(&self.path(b));
        }
        pa.cmp(pb)
    }

    /// Returns the length in bytes of a name's tar entry.
    pub(super) fn entry_length(&self, name: &Name) -> u64 {
        let (leaf, link) = match self.tag(name) {
            Some(tag) => (tag.len(), DIGEST_TEXT),
            None => (DIGEST_TEXT, tar::BLOB_NAME),
        };
        let path = self.repository(name).len() + directory(name).len() + leaf;
        tar::header_length(path, link) as u64
    }

    /// Returns the bytes of a name's tar entry.
    pub(super) fn entry(&self, name: &Name) -> Vec<u8> {
        let target = self.target(name);
        let (kind, link) = match name.leaf {
            Leaf::Tag(_) => (EntryKind::Symlink, target.to_string()),
            Leaf::Blob(_) | Leaf::Manifest(_) => {
                (EntryKind::HardLink, tar::blob_entry_name(&target, None))
            }
        };
        // Cannot fail: the entry has no data, so its size fits.
        tar::header(&self.path(name), kind, 0, &link).unwrap_or_default()
    }

    /// Returns the path of the name in the tar.
    pub(super) fn path(&self, name: &Name) -> String {
        let (repository, directory) = (self.repository(name), directory(name));
        match self.tag(name) {
            Some(tag) => format!("{repository}{directory}{tag}"),
            None => format!("{repository}{directory}{}", self.target(name)),
        }
    }

    fn repository(&self, name: &Name) -> &str {
        let path = self.repositories.get(name.repository as usize);
        path.map_or("", String::as_str)
    }

    fn tag(&self, name: &Name) -> Option<&'a str> {
        match name.leaf {
            Leaf::Tag(tag) => self.tags.get(tag as usize).map(|name| name.tag.as_str()),
            Leaf::Blob(_) | Leaf::Manifest(_) => None,
        }
    }

    /// Returns the digest that a name points to. All indexes are valid for this inventory.
    fn target(&self, name: &Name) -> Digest {
        let (manifests, blobs) = (&self.inventory.manifests, &self.inventory.blobs);
        let target = match name.leaf {
            Leaf::Blob(blob) => blobs.get(blob as usize).map(|row| row.digest),
            Leaf::Manifest(row) => manifests.get(row as usize).map(|row| row.digest),
            Leaf::Tag(tag) => self.tags.get(tag as usize).map(|name| name.root),
        };
        target.unwrap_or(Digest::from_bytes([0; 32]))
    }
}

/// Paths that would be both a tag and a directory, because a repository lies below them:
/// `manifests` and `blobs` are valid components of a repository's path.
struct Directories(BTreeSet<String>);

impl Directories {
    /// Collects them from `sources`, all repositories that have names.
    fn of<'a>(sources: impl Iterator<Item = &'a Repository>) -> Self {
        let texts = sources.map(ToString::to_string);
        Self(texts.filter(|text| text.contains("/manifests")).collect())
    }

    fn have(&self, source: &Repository, tag: &Tag) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let of_tags = format!("{source}/manifests");
        let (path, below) = (format!("{of_tags}/{tag}"), format!("{of_tags}/{tag}/"));
        let mut from = self.0.range(below.clone()..);
        self.0.contains(&path)
            || from.next().is_some_and(|next| next.starts_with(&below))
            || (matches!(tag.as_str(), "blobs" | "manifests") && self.0.contains(&of_tags))
    }
}

/// Returns the directory of a name in its repository.
fn directory(name: &Name) -> &'static str {
    match name.leaf {
        Leaf::Blob(_) => "blobs/",
        Leaf::Manifest(_) | Leaf::Tag(_) => "manifests/",
    }
}

/// Returns true if a blob is carried as one file, which a hard link can point to.
fn is_one_file(blob: &BlobEntry) -> bool {
    match &blob.place {
        BlobPlace::Carried(carried) => carried.extents.len() == 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::sample;
    use super::*;

    fn paths(inventory: &Inventory) -> Vec<String> {
        let names = Names::new(inventory).unwrap();
        names.all().map(|name| names.path(name)).collect()
    }

    #[test]
    fn names_are_all_that_images_imply_in_the_order_of_their_paths() {
        let mut inventory = sample().inventory;
        // Repositories below and beside each other, for which comparing by parts and comparing
        // whole paths give different orders.
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
        // One blob is a single file; there are an index, an image and a signature, and two tags.
        assert_eq!(paths.len(), 4 * 6);
        let of_first = paths
            .iter()
            .filter(|p| p.starts_with("v2/quay.io/okd/scos/manifests/"));
        assert_eq!(of_first.count(), 5);
    }

    #[test]
    fn no_tag_is_a_directory_of_other_names() {
        let first = sample().inventory.images[0].clone();
        let named = |source: &str, tag: &str| {
            let mut image = first.clone();
            image.source = source.parse().unwrap();
            image.tag = Some(tag.parse().unwrap());
            image.attached.clear();
            image
        };
        for (tag, other, is_there) in [
            ("blobs", "q.io/a/manifests", false),
            ("manifests", "q.io/a/manifests", false),
            ("x", "q.io/a/manifests", true),
            ("blobs", "q.io/a/manifests-x", true),
            ("x", "q.io/a/manifests/x", false),
            ("x", "q.io/a/manifests/x/y", false),
            ("x", "q.io/a/manifests/x-y/z", true),
            ("x", "q.io/b/manifests/x", true),
            ("blobs", "q.io/a/blobs", true),
        ] {
            let mut inventory = sample().inventory;
            inventory.images = vec![named("q.io/a", tag), named(other, "1")];
            let paths = paths(&inventory);
            let path = format!("v2/q.io/a/manifests/{tag}");
            assert_eq!(paths.contains(&path), is_there, "{tag} {other}");
            // An older chunk may hold it.
            let names = Names::new(&inventory).unwrap();
            assert!(names.possible().any(|name| names.path(name) == path));
            for path in &paths {
                let below = format!("{path}/");
                assert!(!paths.iter().any(|p| p.starts_with(&below)), "{path}");
            }
        }
    }

    #[test]
    fn the_length_of_an_entry_is_known_without_it() {
        let mut inventory = sample().inventory;
        let mut image = inventory.images[0].clone();
        image.source = format!("quay.io/{}", ["long"; 40].join("/"))
            .parse()
            .unwrap();
        inventory.images.push(image);
        let names = Names::new(&inventory).unwrap();
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
        let names = Names::new(&inventory).unwrap();
        assert_eq!(names.possible().count(), 7);
        let tags: Vec<&Name> = names
            .all()
            .filter(|name| names.tag(name) == Some("4.18"))
            .collect();
        let roots = inventory.images.iter().filter_map(|image| image.root);
        assert_eq!(tags.len(), 1);
        assert_eq!(Some(names.target(tags[0])), roots.min());
    }
}
