//! The paths that are searched for in an image, and where links lead them.
//!
//! An image may have hundreds of thousands of links, and each may have to be followed. So wanted
//! paths are indexed by their current location: an entry of a layer costs one look-up of its path
//! and of each directory above it, however many paths are wanted, and a wanted path is visited once
//! for each link that it follows.
//!
//! Depends on the tree of entries read so far, and on neither layers nor file contents.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::oci::layer::{ImagePath, PathError, Tree, TreeNode};

/// Maximum number of links that one path may follow, as in Linux (`MAXSYMLINKS`).
pub(crate) const MAX_LINKS: u32 = 40;

/// Maximum memory in bytes for the wanted paths of one image.
pub(crate) const MAX_MEMORY: u64 = 32 << 20;

/// Approximate memory in bytes of a wanted path, besides its texts.
const EACH: u64 = 256;

/// A path that is searched for.
#[derive(Debug, Clone)]
pub(crate) struct WantedPath {
    /// The path as the caller requested it.
    pub(crate) wanted: ImagePath,
    /// Current location of the file: the requested path, with the links known so far resolved.
    at: ImagePath,
    /// True if the files below it are wanted in case it is a directory.
    directory: bool,
    links: u32,
}

impl WantedPath {
    /// A requested path: the file there, or all files below it.
    pub(crate) fn root(path: &ImagePath) -> Self {
        Self {
            wanted: path.clone(),
            at: path.clone(),
            directory: true,
            links: 0,
        }
    }

    /// The wanted path for the file at `path`, which lies below this directory.
    fn inner(&self, path: &ImagePath, rest: &str) -> Result<Self, LinkError> {
        Ok(Self {
            wanted: self.wanted.join(rest)?,
            at: path.clone(),
            directory: false,
            links: self.links,
        })
    }

    /// Approximate memory in bytes of this wanted path.
    fn weight(&self) -> u64 {
        EACH + (self.wanted.as_str().len() + self.at.as_str().len()) as u64
    }

    /// Follows one link. Returns `false` if the link points to the image's root.
    fn step(&mut self, link: &ImagePath, target: &str) -> Result<bool, LinkError> {
        self.links += 1;
        if self.links > MAX_LINKS {
            let wanted = self.wanted.clone();
            return Err(LinkError::Circle { wanted });
        }
        let moved = link
            .follow(target)
            .and_then(|target| match self.at.below(link) {
                Some(rest) => target.join(rest),
                None => Ok(target),
            });
        match moved {
            Ok(at) => self.at = at,
            Err(PathError::Empty) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

/// Error from following a link.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// A path follows more than [`MAX_LINKS`] links.
    #[error("`{wanted}` follows too many links, probably in a loop")]
    Circle {
        /// The requested path.
        wanted: ImagePath,
    },
    /// The wanted paths take more memory than [`MAX_MEMORY`].
    #[error("following the links takes more than the {MAX_MEMORY} bytes that are allowed")]
    TooMany,
    /// A link's target is not a valid path, for example too long.
    #[error("a link has an invalid target")]
    Path(#[from] PathError),
}

/// Files of a layer that was already read, each with the requested paths that resolve to it.
pub(crate) type Passed = BTreeMap<ImagePath, Vec<ImagePath>>;

/// The wanted paths at one location.
#[derive(Debug, Default)]
struct Place {
    files: Vec<WantedPath>,
    directories: Vec<WantedPath>,
    /// True if a directory was ever wanted here.
    directory: bool,
}

/// All wanted paths of an image.
#[derive(Debug, Default)]
pub(crate) struct WantedPaths {
    /// Indexed by location. A location stays, with empty lists, after its paths were found, because
    /// another entry for it in the same layer is a contradiction that must be noticed.
    places: BTreeMap<String, Place>,
    /// Wanted paths that resolve to a file whose entry was already read, by layer.
    passed: BTreeMap<usize, Passed>,
    used: u64,
    /// Number of visits to wanted paths, which determines the running time.
    #[cfg(test)]
    pub(crate) visits: usize,
}

impl WantedPaths {
    /// Adds a wanted path.
    pub(crate) fn insert(&mut self, wanted_path: WantedPath) -> Result<(), LinkError> {
        let place = self.note(&wanted_path)?;
        match wanted_path.directory {
            true => place.directories.push(wanted_path),
            false => place.files.push(wanted_path),
        }
        Ok(())
    }

    /// Records that a wanted path resolves to a file whose entry was already read.
    pub(crate) fn record_read(
        &mut self,
        layer: usize,
        file: &ImagePath,
        wanted_path: WantedPath,
    ) -> Result<(), LinkError> {
        self.note(&wanted_path)?;
        self.want(layer, file, wanted_path.wanted);
        Ok(())
    }

    /// Charges a wanted path's memory, and creates its location.
    fn note(&mut self, wanted_path: &WantedPath) -> Result<&mut Place, LinkError> {
        self.charge(wanted_path)?;
        let at = wanted_path.at.as_str().to_owned();
        let place = self.places.entry(at).or_default();
        place.directory |= wanted_path.directory;
        Ok(place)
    }

    /// Like [`Self::record_read`], for a wanted path that was charged already.
    pub(crate) fn want(&mut self, layer: usize, file: &ImagePath, name: ImagePath) {
        let files = self.passed.entry(layer).or_default();
        files.entry(file.clone()).or_default().push(name);
    }

    /// Takes the wanted files whose entries were already read, by layer; each is returned once.
    pub(crate) fn take_passed(&mut self) -> BTreeMap<usize, Passed> {
        std::mem::take(&mut self.passed)
    }

    /// True if no lower layer can contain a wanted path. Removes the locations for which this is
    /// known, so that asking again costs nothing.
    pub(crate) fn are_settled(&mut self, tree: &Tree) -> bool {
        while let Some(first) = self.places.first_entry() {
            let place = first.get();
            let mut open = place.files.iter().chain(&place.directories);
            if open
                .next()
                .is_some_and(|wanted_path| !tree.is_final(&wanted_path.at))
            {
                return false;
            }
            first.remove();
        }
        true
    }

    /// True if `path` is, contains, or lies below a location that is or was wanted.
    pub(crate) fn is_relevant(&self, path: &ImagePath) -> bool {
        let within = |above: &str| self.places.get(above).is_some_and(|place| place.directory);
        self.places.contains_key(path.as_str())
            || self.below(path).next().is_some()
            || path.ancestors().any(within)
    }

    /// Returns the requested paths to which a file resolves whose entry is being read now.
    pub(crate) fn reached(&mut self, file: &ImagePath) -> Result<Vec<ImagePath>, LinkError> {
        let mut names: Vec<_> = self
            .take_at(file)
            .map(|wanted_path| wanted_path.wanted)
            .collect();
        for wanted_path in self.wanted_above(file)? {
            names.push(wanted_path.wanted);
        }
        Ok(names)
    }

    /// Handles a hard link at which a file is wanted. Its content is that of `target`, an earlier
    /// entry of the same layer, which an upper layer may hide under its own name.
    pub(crate) fn hard_link(
        &mut self,
        layer: usize,
        link: &ImagePath,
        target: &ImagePath,
    ) -> Result<(), LinkError> {
        let here: Vec<WantedPath> = self.take_at(link).collect();
        for wanted_path in here {
            self.want(layer, target, wanted_path.wanted);
        }
        for wanted_path in self.wanted_above(link)? {
            self.record_read(layer, target, wanted_path)?;
        }
        Ok(())
    }

    /// Follows a symbolic link with every wanted path at or below it.
    pub(crate) fn follow(
        &mut self,
        tree: &Tree,
        link: &ImagePath,
        target: &str,
    ) -> Result<(), LinkError> {
        let mut moving = self.take_from(link);
        moving.extend(self.wanted_above(link)?);
        for mut wanted_path in moving {
            match wanted_path.step(link, target)? {
                true => self.resolve(tree, wanted_path)?,
                false => self.drop_path(wanted_path)?,
            }
        }
        Ok(())
    }

    /// Follows all known links of a path that has moved; then records the file if its entry was
    /// already read, and otherwise adds the path at its new location.
    fn resolve(&mut self, tree: &Tree, mut wanted_path: WantedPath) -> Result<(), LinkError> {
        loop {
            let place = wanted_path.at.clone();
            let links = place.ancestors().chain([place.as_str()]);
            let link = links.into_iter().find_map(|path| match tree.get(path) {
                Some((_, TreeNode::Symlink(target))) => Some((path, target)),
                _ => None,
            });
            let Some((link, target)) = link else {
                break;
            };
            if !wanted_path.step(&link.parse()?, target)? {
                return self.drop_path(wanted_path);
            }
        }
        match tree.get(wanted_path.at.as_str()) {
            Some((layer, TreeNode::File)) => {
                let file = wanted_path.at.clone();
                self.record_read(layer, &file, wanted_path)
            }
            Some((layer, TreeNode::HardLink(target))) => {
                self.record_read(layer, target, wanted_path)
            }
            Some((_, TreeNode::Directory)) if wanted_path.directory => {
                self.record_below(tree, &wanted_path)?;
                self.insert(wanted_path)
            }
            _ => self.insert(wanted_path),
        }
    }

    /// Records all files below a wanted directory whose entries were already read.
    fn record_below(&mut self, tree: &Tree, wanted_path: &WantedPath) -> Result<(), LinkError> {
        for (path, layer, node) in tree.below(&wanted_path.at) {
            let path: ImagePath = path.parse()?;
            let Some(rest) = path.below(&wanted_path.at) else {
                continue;
            };
            match node {
                TreeNode::File => {
                    self.record_read(layer, &path, wanted_path.inner(&path, rest)?)?
                }
                TreeNode::HardLink(target) => {
                    self.record_read(layer, target, wanted_path.inner(&path, rest)?)?;
                }
                TreeNode::Symlink(_) => self.resolve(tree, wanted_path.inner(&path, rest)?)?,
                TreeNode::Directory | TreeNode::Other => {}
            }
        }
        Ok(())
    }

    /// Drops a wanted path whose link leads nowhere, but keeps its location.
    fn drop_path(&mut self, wanted_path: WantedPath) -> Result<(), LinkError> {
        self.charge(&wanted_path)?;
        let place = self
            .places
            .entry(wanted_path.at.as_str().to_owned())
            .or_default();
        place.directory |= wanted_path.directory;
        Ok(())
    }

    /// Takes the wanted paths at exactly this location.
    fn take_at(&mut self, path: &ImagePath) -> impl Iterator<Item = WantedPath> + use<> {
        let place = self.places.get_mut(path.as_str());
        let taken = place.map(|place| {
            let files = std::mem::take(&mut place.files);
            (files, std::mem::take(&mut place.directories))
        });
        let (files, directories) = taken.unwrap_or_default();
        self.count_visits(files.len() + directories.len());
        files.into_iter().chain(directories)
    }

    /// Takes the wanted paths at a link and below it: the link moves them elsewhere.
    fn take_from(&mut self, link: &ImagePath) -> Vec<WantedPath> {
        let below = self.below(link).map(|(path, _)| path.clone());
        let mut paths: Vec<String> = below.collect();
        paths.push(link.as_str().to_owned());
        let mut taken = Vec::new();
        for path in paths {
            let Some(place) = self.places.remove(&path) else {
                continue;
            };
            if place.files.is_empty() && place.directories.is_empty() {
                self.places.insert(path, place);
                continue;
            }
            taken.extend(place.files.into_iter().chain(place.directories));
        }
        for wanted_path in &taken {
            self.used = self.used.saturating_sub(wanted_path.weight());
        }
        self.count_visits(taken.len());
        taken
    }

    /// Wanted paths for the entry at `path`, one for each wanted directory above it.
    fn wanted_above(&mut self, path: &ImagePath) -> Result<Vec<WantedPath>, LinkError> {
        let mut wanted_paths = Vec::new();
        for above in path.ancestors() {
            let place = self.places.get(above);
            for directory in place.into_iter().flat_map(|place| &place.directories) {
                if let Some(rest) = path.below(&directory.at) {
                    wanted_paths.push(directory.inner(path, rest)?);
                }
            }
        }
        self.count_visits(wanted_paths.len());
        Ok(wanted_paths)
    }

    /// The locations below a path.
    fn below(&self, path: &ImagePath) -> impl Iterator<Item = (&String, &Place)> {
        let first = format!("{}/", path.as_str());
        let range = (Bound::Included(first.clone()), Bound::Unbounded);
        let from_there = self.places.range(range);
        from_there.take_while(move |(path, _)| path.starts_with(&first))
    }

    fn charge(&mut self, wanted_path: &WantedPath) -> Result<(), LinkError> {
        self.count_visits(1);
        self.used = self.used.saturating_add(wanted_path.weight());
        match self.used > MAX_MEMORY {
            true => Err(LinkError::TooMany),
            false => Ok(()),
        }
    }

    /// Counts visits, for tests.
    fn count_visits(&mut self, count: usize) {
        #[cfg(test)]
        {
            self.visits += count;
        }
        let _ = count;
    }
}
