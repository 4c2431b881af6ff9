//! What is looked for in an image, and where it is as far as links were followed.
//!
//! An image may have hundreds of thousands of links, and each may have to be followed. So goals
//! are kept by place: an entry costs a look-up of its path and of the directories above it,
//! however many goals there are, and a goal is touched once for each link that it follows.
//!
//! Knows the tree of what has passed; knows neither layers nor contents.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::format::layer::{ImagePath, PathError, Tree, TreeNode};

/// Links that are followed one after the other, as in Linux (`MAXSYMLINKS`).
pub(crate) const MAX_LINKS: u32 = 40;

/// Memory for the links of one image that lead to what is looked for, in bytes.
pub(crate) const LINKS: u64 = 32 << 20;

/// Bytes of memory that a goal takes besides its texts, about.
const EACH: u64 = 256;

/// A path that is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    /// The name under which it is wanted.
    pub(crate) wanted: ImagePath,
    /// Where it is, as far as links were followed.
    at: ImagePath,
    /// Whether files below it are wanted if it is a directory.
    directory: bool,
    links: u32,
}

impl Goal {
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
    fn inner(&self, path: &ImagePath, rest: &str) -> Result<Self, GoalError> {
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
    fn step(&mut self, link: &ImagePath, target: &str) -> Result<bool, GoalError> {
        self.links += 1;
        if self.links > MAX_LINKS {
            let wanted = self.wanted.clone();
            return Err(GoalError::Circle { wanted });
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
pub(crate) enum GoalError {
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
    files: Vec<Goal>,
    directories: Vec<Goal>,
    /// Whether a directory was ever looked for here.
    directory: bool,
}

/// Everything that is looked for.
#[derive(Debug, Default)]
pub(crate) struct Goals {
    /// By place. One whose goals were reached stays, without goals: what the same layer says of
    /// it later would contradict.
    places: BTreeMap<String, Place>,
    /// Goals that turned out to be files which have passed, by layer.
    passed: BTreeMap<usize, Passed>,
    used: u64,
    /// Goals that were touched: what the work depends on.
    #[cfg(test)]
    pub(crate) touched: usize,
}

impl Goals {
    /// Looks for a path.
    pub(crate) fn insert(&mut self, goal: Goal) -> Result<(), GoalError> {
        self.charge(&goal)?;
        let place = self.places.entry(goal.at.as_str().to_owned()).or_default();
        place.directory |= goal.directory;
        match goal.directory {
            true => place.directories.push(goal),
            false => place.files.push(goal),
        }
        Ok(())
    }

    /// Wants a file that has passed under this name.
    pub(crate) fn pass(
        &mut self,
        layer: usize,
        file: &ImagePath,
        goal: Goal,
    ) -> Result<(), GoalError> {
        self.charge(&goal)?;
        let place = self.places.entry(goal.at.as_str().to_owned()).or_default();
        place.directory |= goal.directory;
        self.want(layer, file, goal.wanted);
        Ok(())
    }

    /// Wants a file that has passed, for a goal that was counted already.
    pub(crate) fn want(&mut self, layer: usize, file: &ImagePath, name: ImagePath) {
        let files = self.passed.entry(layer).or_default();
        files.entry(file.clone()).or_default().push(name);
    }

    /// Files that have passed and are wanted, by layer; they count as given.
    pub(crate) fn take_passed(&mut self) -> BTreeMap<usize, Passed> {
        std::mem::take(&mut self.passed)
    }

    /// Whether layers that are still to come can give nothing that is looked for. Forgets the
    /// goals of which this is true, so that asking again costs nothing.
    pub(crate) fn are_settled(&mut self, tree: &Tree) -> bool {
        while let Some(first) = self.places.first_entry() {
            let place = first.get();
            let mut open = place.files.iter().chain(&place.directories);
            if open.next().is_some_and(|goal| !tree.is_settled(&goal.at)) {
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
    pub(crate) fn reached(&mut self, file: &ImagePath) -> Result<Vec<ImagePath>, GoalError> {
        let mut names: Vec<_> = self.take_at(file).map(|goal| goal.wanted).collect();
        for goal in self.within(file)? {
            names.push(goal.wanted);
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
    ) -> Result<(), GoalError> {
        let here: Vec<Goal> = self.take_at(link).collect();
        for goal in here {
            self.want(layer, target, goal.wanted);
        }
        for goal in self.within(link)? {
            self.pass(layer, target, goal)?;
        }
        Ok(())
    }

    /// Follows a symbolic link with everything that is looked for there or below.
    pub(crate) fn follow(
        &mut self,
        tree: &Tree,
        link: &ImagePath,
        target: &str,
    ) -> Result<(), GoalError> {
        let mut moving = self.take_from(link);
        moving.extend(self.within(link)?);
        for mut goal in moving {
            match goal.step(link, target)? {
                true => self.settle(tree, goal)?,
                false => self.forget(goal)?,
            }
        }
        Ok(())
    }

    /// Finds out whether the place to which a goal moved has passed already; looks for it if it
    /// has not.
    fn settle(&mut self, tree: &Tree, mut goal: Goal) -> Result<(), GoalError> {
        loop {
            let place = goal.at.clone();
            let links = place.ancestors().chain([place.as_str()]);
            let link = links.into_iter().find_map(|path| match tree.get(path) {
                Some((_, TreeNode::Symlink(target))) => Some((path, target)),
                _ => None,
            });
            let Some((link, target)) = link else {
                break;
            };
            if !goal.step(&link.parse()?, target)? {
                return self.forget(goal);
            }
        }
        match tree.get(goal.at.as_str()) {
            Some((layer, TreeNode::File)) => {
                let file = goal.at.clone();
                self.pass(layer, &file, goal)
            }
            Some((layer, TreeNode::HardLink(target))) => self.pass(layer, target, goal),
            Some((_, TreeNode::Directory)) if goal.directory => {
                self.inside(tree, &goal)?;
                self.insert(goal)
            }
            _ => self.insert(goal),
        }
    }

    /// Wants everything that has passed below a wanted directory.
    fn inside(&mut self, tree: &Tree, goal: &Goal) -> Result<(), GoalError> {
        for (path, layer, node) in tree.below(&goal.at) {
            let path: ImagePath = path.parse()?;
            let Some(rest) = path.below(&goal.at) else {
                continue;
            };
            match node {
                TreeNode::File => self.pass(layer, &path, goal.inner(&path, rest)?)?,
                TreeNode::HardLink(target) => {
                    self.pass(layer, target, goal.inner(&path, rest)?)?;
                }
                TreeNode::Symlink(_) => self.settle(tree, goal.inner(&path, rest)?)?,
                TreeNode::Directory | TreeNode::Other => {}
            }
        }
        Ok(())
    }

    /// A goal that leads nowhere: its place alone is remembered.
    fn forget(&mut self, goal: Goal) -> Result<(), GoalError> {
        self.charge(&goal)?;
        let place = self.places.entry(goal.at.as_str().to_owned()).or_default();
        place.directory |= goal.directory;
        Ok(())
    }

    /// Takes what is looked for at exactly this place.
    fn take_at(&mut self, path: &ImagePath) -> impl Iterator<Item = Goal> + use<> {
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
    fn take_from(&mut self, link: &ImagePath) -> Vec<Goal> {
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
        for goal in &taken {
            self.used = self.used.saturating_sub(goal.weight());
        }
        self.touch(taken.len());
        taken
    }

    /// Goals for what lies at `path`, because directories above it are wanted.
    fn within(&mut self, path: &ImagePath) -> Result<Vec<Goal>, GoalError> {
        let mut goals = Vec::new();
        for above in path.ancestors() {
            let place = self.places.get(above);
            for directory in place.into_iter().flat_map(|place| &place.directories) {
                if let Some(rest) = path.below(&directory.at) {
                    goals.push(directory.inner(path, rest)?);
                }
            }
        }
        self.touch(goals.len());
        Ok(goals)
    }

    /// Places below a path.
    fn below(&self, path: &ImagePath) -> impl Iterator<Item = (&String, &Place)> {
        let first = format!("{}/", path.as_str());
        let range = (Bound::Included(first.clone()), Bound::Unbounded);
        let from_there = self.places.range(range);
        from_there.take_while(move |(path, _)| path.starts_with(&first))
    }

    fn charge(&mut self, goal: &Goal) -> Result<(), GoalError> {
        self.touch(1);
        self.used = self.used.saturating_add(goal.weight());
        match self.used > LINKS {
            true => Err(GoalError::TooMany),
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
