//! The paths that are wanted of an image, and where links lead them.
//!
//! An image may have hundreds of thousands of links, and each may have to be followed. So wanted
//! paths are kept by place: an entry costs a look-up of its path and of the directories above it,
//! however many are wanted, and a wanted path is touched once for each link that it follows.
//!
//! Knows the tree of what has passed; knows neither layers nor contents.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::oci::layer::{ImagePath, PathError, Tree, TreeNode};

/// Links that are followed one after the other, as in Linux (`MAXSYMLINKS`).
pub(crate) const MAX_LINKS: u32 = 40;

/// Memory for the links of one image that lead to what is looked for, in bytes.
pub(crate) const LINKS: u64 = 32 << 20;

/// Bytes of memory that a wanted path takes besides its texts, about.
const EACH: u64 = 256;

/// A path that is looked for.
#[derive(Debug, Clone)]
pub(crate) struct WantedPath {
    /// The name under which it is wanted.
    pub(crate) wanted: ImagePath,
    /// Where it is, as far as links were followed.
    at: ImagePath,
    /// Whether files below it are wanted if it is a directory.
    directory: bool,
    links: u32,
}

impl WantedPath {
    /// A wanted path: the file there, or the files below it.
    pub(crate) fn root(path: &ImagePath) -> Self {
        Self {
            wanted: path.clone(),
            at: path.clone(),
            directory: true,
            links: 0,
        }
    }

    /// The file at `path`, which lies below this directory.
    fn inner(&self, path: &ImagePath, rest: &str) -> Result<Self, LinkError> {
        Ok(Self {
            wanted: self.wanted.join(rest)?,
            at: path.clone(),
            directory: false,
            links: self.links,
        })
    }

    /// About how much memory it takes, in bytes.
    fn weight(&self) -> u64 {
        EACH + (self.wanted.as_str().len() + self.at.as_str().len()) as u64
    }

    /// Moves along one link. `false` when it leads nowhere.
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

/// Why a link cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// Links lead to links, again and again.
    #[error("`{wanted}` is a link that goes round in circles")]
    Circle {
        /// The name that led there.
        wanted: ImagePath,
    },
    /// There are too many of them.
    #[error("the links to what is looked for take more than the {LINKS} bytes that are allowed")]
    TooMany,
    /// A name gets too long, for example.
    #[error("a link leads to what is no path")]
    Path(#[from] PathError),
}

/// Files of a layer that have passed, with the names under which they are wanted.
pub(crate) type Passed = BTreeMap<ImagePath, Vec<ImagePath>>;

/// What is looked for at one place.
#[derive(Debug, Default)]
struct Place {
    files: Vec<WantedPath>,
    directories: Vec<WantedPath>,
    /// Whether a directory was ever looked for here.
    directory: bool,
}

/// Everything that is looked for.
#[derive(Debug, Default)]
pub(crate) struct WantedPaths {
    /// By place. A place whose paths were reached stays, without any: what the same layer says of
    /// it later would contradict.
    places: BTreeMap<String, Place>,
    /// Wanted paths that turned out to be files which have passed, by layer.
    passed: BTreeMap<usize, Passed>,
    used: u64,
    /// Wanted paths that were touched: what the work depends on.
    #[cfg(test)]
    pub(crate) touched: usize,
}

impl WantedPaths {
    /// Looks for a path.
    pub(crate) fn insert(&mut self, wanted_path: WantedPath) -> Result<(), LinkError> {
        let place = self.note(&wanted_path)?;
        match wanted_path.directory {
            true => place.directories.push(wanted_path),
            false => place.files.push(wanted_path),
        }
        Ok(())
    }

    /// Wants a file that has passed under this name.
    pub(crate) fn pass(
        &mut self,
        layer: usize,
        file: &ImagePath,
        wanted_path: WantedPath,
    ) -> Result<(), LinkError> {
        self.note(&wanted_path)?;
        self.want(layer, file, wanted_path.wanted);
        Ok(())
    }

    /// Counts a wanted path, and notes that something is wanted at its place.
    fn note(&mut self, wanted_path: &WantedPath) -> Result<&mut Place, LinkError> {
        self.charge(wanted_path)?;
        let at = wanted_path.at.as_str().to_owned();
        let place = self.places.entry(at).or_default();
        place.directory |= wanted_path.directory;
        Ok(place)
    }

    /// Wants a file that has passed, for a wanted path that was counted already.
    pub(crate) fn want(&mut self, layer: usize, file: &ImagePath, name: ImagePath) {
        let files = self.passed.entry(layer).or_default();
        files.entry(file.clone()).or_default().push(name);
    }

    /// Files that have passed and are wanted, by layer; they count as given.
    pub(crate) fn take_passed(&mut self) -> BTreeMap<usize, Passed> {
        std::mem::take(&mut self.passed)
    }

    /// Whether layers that are still to come can give nothing that is looked for. Forgets the
    /// wanted paths of which this is true, so that asking again costs nothing.
    pub(crate) fn are_settled(&mut self, tree: &Tree) -> bool {
        while let Some(first) = self.places.first_entry() {
            let place = first.get();
            let mut open = place.files.iter().chain(&place.directories);
            if open
                .next()
                .is_some_and(|wanted_path| !tree.is_settled(&wanted_path.at))
            {
                return false;
            }
            first.remove();
        }
        true
    }

    /// Whether a path is, contains, or lies below something that is or was looked for.
    pub(crate) fn concern(&self, path: &ImagePath) -> bool {
        let within = |above: &str| self.places.get(above).is_some_and(|place| place.directory);
        self.places.contains_key(path.as_str())
            || self.below(path).next().is_some()
            || path.ancestors().any(within)
    }

    /// The names under which a file that is seen now is wanted.
    pub(crate) fn reached(&mut self, file: &ImagePath) -> Result<Vec<ImagePath>, LinkError> {
        let mut names: Vec<_> = self
            .take_at(file)
            .map(|wanted_path| wanted_path.wanted)
            .collect();
        for wanted_path in self.within(file)? {
            names.push(wanted_path.wanted);
        }
        Ok(names)
    }

    /// Notes what is wanted of a hard link: its target's content in the same layer, which came
    /// before it and may be hidden by an upper layer under its own name.
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
        for wanted_path in self.within(link)? {
            self.pass(layer, target, wanted_path)?;
        }
        Ok(())
    }

    /// Follows a symbolic link with everything that is looked for there or below.
    pub(crate) fn follow(
        &mut self,
        tree: &Tree,
        link: &ImagePath,
        target: &str,
    ) -> Result<(), LinkError> {
        let mut moving = self.take_from(link);
        moving.extend(self.within(link)?);
        for mut wanted_path in moving {
            match wanted_path.step(link, target)? {
                true => self.settle(tree, wanted_path)?,
                false => self.forget(wanted_path)?,
            }
        }
        Ok(())
    }

    /// Finds out whether the place to which a path moved has passed already; looks for it if it
    /// has not.
    fn settle(&mut self, tree: &Tree, mut wanted_path: WantedPath) -> Result<(), LinkError> {
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
                return self.forget(wanted_path);
            }
        }
        match tree.get(wanted_path.at.as_str()) {
            Some((layer, TreeNode::File)) => {
                let file = wanted_path.at.clone();
                self.pass(layer, &file, wanted_path)
            }
            Some((layer, TreeNode::HardLink(target))) => self.pass(layer, target, wanted_path),
            Some((_, TreeNode::Directory)) if wanted_path.directory => {
                self.inside(tree, &wanted_path)?;
                self.insert(wanted_path)
            }
            _ => self.insert(wanted_path),
        }
    }

    /// Wants everything that has passed below a wanted directory.
    fn inside(&mut self, tree: &Tree, wanted_path: &WantedPath) -> Result<(), LinkError> {
        for (path, layer, node) in tree.below(&wanted_path.at) {
            let path: ImagePath = path.parse()?;
            let Some(rest) = path.below(&wanted_path.at) else {
                continue;
            };
            match node {
                TreeNode::File => self.pass(layer, &path, wanted_path.inner(&path, rest)?)?,
                TreeNode::HardLink(target) => {
                    self.pass(layer, target, wanted_path.inner(&path, rest)?)?;
                }
                TreeNode::Symlink(_) => self.settle(tree, wanted_path.inner(&path, rest)?)?,
                TreeNode::Directory | TreeNode::Other => {}
            }
        }
        Ok(())
    }

    /// A wanted path that leads nowhere: its place alone is remembered.
    fn forget(&mut self, wanted_path: WantedPath) -> Result<(), LinkError> {
        self.charge(&wanted_path)?;
        let place = self
            .places
            .entry(wanted_path.at.as_str().to_owned())
            .or_default();
        place.directory |= wanted_path.directory;
        Ok(())
    }

    /// Takes what is looked for at exactly this place.
    fn take_at(&mut self, path: &ImagePath) -> impl Iterator<Item = WantedPath> + use<> {
        let place = self.places.get_mut(path.as_str());
        let taken = place.map(|place| {
            let files = std::mem::take(&mut place.files);
            (files, std::mem::take(&mut place.directories))
        });
        let (files, directories) = taken.unwrap_or_default();
        self.touch(files.len() + directories.len());
        files.into_iter().chain(directories)
    }

    /// Takes what is looked for at a place and below it, for it is somewhere else.
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
        self.touch(taken.len());
        taken
    }

    /// Wanted paths for what lies at `path`, because directories above it are wanted.
    fn within(&mut self, path: &ImagePath) -> Result<Vec<WantedPath>, LinkError> {
        let mut wanted_paths = Vec::new();
        for above in path.ancestors() {
            let place = self.places.get(above);
            for directory in place.into_iter().flat_map(|place| &place.directories) {
                if let Some(rest) = path.below(&directory.at) {
                    wanted_paths.push(directory.inner(path, rest)?);
                }
            }
        }
        self.touch(wanted_paths.len());
        Ok(wanted_paths)
    }

    /// Places below a path.
    fn below(&self, path: &ImagePath) -> impl Iterator<Item = (&String, &Place)> {
        let first = format!("{}/", path.as_str());
        let range = (Bound::Included(first.clone()), Bound::Unbounded);
        let from_there = self.places.range(range);
        from_there.take_while(move |(path, _)| path.starts_with(&first))
    }

    fn charge(&mut self, wanted_path: &WantedPath) -> Result<(), LinkError> {
        self.touch(1);
        self.used = self.used.saturating_add(wanted_path.weight());
        match self.used > LINKS {
            true => Err(LinkError::TooMany),
            false => Ok(()),
        }
    }

    /// Counts work, for tests.
    fn touch(&mut self, count: usize) {
        #[cfg(test)]
        {
            self.touched += count;
        }
        let _ = count;
    }
}
