//! The walk through an image's layers: which of their files are wanted, by what names.
//!
//! Knows no registry and no medium: it is given layers to read.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::{Caps, File};
use crate::format::layer::{
    EntryKind, ImagePath, LayerEntry, LayerError, LayerReader, PathError, Seen, Tree, TreeNode,
};
use crate::ops::error::{Class, Error, Result};

/// Memory for the names of one image, in bytes.
const NAMES: u64 = 128 << 20;

/// Links that are followed one after the other, as in Linux (`MAXSYMLINKS`).
const MAX_LINKS: u32 = 40;

/// A layer's blob on its way.
pub(super) trait LayerBlob: Read {
    /// Reads the rest and compares the digest. What went wrong before is the error.
    fn finish(&mut self) -> Result<()>;
}

/// Opens a layer by its number from the top; `None` below the lowest.
pub(super) type Open<'a, B> = dyn FnMut(usize) -> Result<Option<B>> + 'a;

/// Receives files.
type Take<'a> = dyn FnMut(&File, &mut dyn Read) -> Result<()> + 'a;

/// A path that is looked for.
#[derive(Debug, Clone)]
struct Goal {
    /// The name under which it is wanted.
    wanted: ImagePath,
    /// Where it is, as far as links were followed.
    at: ImagePath,
    /// Whether files below it are wanted if it is a directory.
    directory: bool,
    links: u32,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// It may still come.
    Open,
    /// It is this file of this layer, which has passed.
    Passed(usize, ImagePath),
    /// It was given, or leads nowhere.
    Done,
}

/// What reading a layer gives.
type Reading<T> = std::result::Result<T, Stop>;

/// Why reading a layer ended early.
enum Stop {
    /// The layer is broken; its digest may tell why.
    Layer(LayerError),
    /// Anything else.
    Other(Error),
}

impl From<LayerError> for Stop {
    fn from(error: LayerError) -> Self {
        Self::Layer(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// The walk.
pub(super) struct Walk<'a> {
    image: &'a str,
    roots: &'a [ImagePath],
    found: Vec<bool>,
    goals: Vec<Goal>,
    tree: Tree,
    caps: Caps,
    left: u64,
    take: &'a mut Take<'a>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        image: &'a str,
        wanted: &'a [ImagePath],
        caps: Caps,
        take: &'a mut Take<'a>,
    ) -> Self {
        let goal = |path: &ImagePath| Goal {
            wanted: path.clone(),
            at: path.clone(),
            directory: true,
            links: 0,
            state: State::Open,
        };
        Self {
            image,
            roots: wanted,
            found: vec![false; wanted.len()],
            goals: wanted.iter().map(goal).collect(),
            tree: Tree::new(NAMES),
            caps,
            left: caps.total,
            take,
        }
    }

    /// Walks. Returns the wanted paths that no file was found for.
    pub(super) fn run<B: LayerBlob>(mut self, open: &mut Open<'_, B>) -> Result<Vec<ImagePath>> {
        let mut number = 0;
        while !self.is_settled()
            && let Some(mut blob) = open(number)?
        {
            self.layer(&mut blob, |walk, reader, entry| {
                walk.entry(number, &entry, reader)
            })?;
            number += 1;
        }
        for _ in 0..MAX_LINKS {
            let passed = self.take_passed();
            if passed.is_empty() {
                let pairs = self.roots.iter().zip(&self.found);
                let missing = pairs.filter(|(_, found)| !**found);
                return Ok(missing.map(|(path, _)| path.clone()).collect());
            }
            for (number, files) in passed {
                self.again(number, files, open)?;
            }
        }
        Err(self.refuse("it has too many links to links"))
    }

    /// Whether the layers below cannot change anything.
    fn is_settled(&self) -> bool {
        let mut open = self.goals.iter().filter(|goal| goal.state == State::Open);
        open.all(|goal| self.tree.is_settled(&goal.at))
    }

    /// Reads one layer to its end, and believes it when its digest is right.
    fn layer<B: LayerBlob>(
        &mut self,
        blob: &mut B,
        mut each: impl FnMut(&mut Self, &mut LayerReader<&mut B>, LayerEntry) -> Reading<()>,
    ) -> Result<()> {
        let mut read = || {
            let mut reader = LayerReader::new(&mut *blob, self.caps.layer)?;
            while let Some(entry) = reader.next_entry()? {
                each(self, &mut reader, entry)?;
            }
            Ok(())
        };
        let read: Reading<()> = read();
        match read {
            Ok(()) => blob.finish(),
            Err(Stop::Other(error)) => Err(error),
            Err(Stop::Layer(error)) => {
                // That the bytes are wrong explains whatever the reader says.
                blob.finish()?;
                let message = format!("The image {} cannot be read", self.image);
                Err(Error::new(Class::VerificationFailed, message).caused_by(error))
            }
        }
    }

    /// Takes the next entry of a layer.
    fn entry<R: Read>(
        &mut self,
        layer: usize,
        entry: &LayerEntry,
        reader: &mut LayerReader<R>,
    ) -> Reading<()> {
        let seen = self.tree.add(layer, entry).map_err(|full| {
            let message = format!("The image {} cannot be read", self.image);
            Error::new(Class::VerificationFailed, message).caused_by(full)
        })?;
        match seen {
            Seen::Hidden => return Ok(()),
            Seen::Contradictory if self.concerns(&entry.path) => {
                let why = format!(
                    "one of its layers says twice what `{}` is, and tools differ about such images",
                    entry.path
                );
                return Err(self.refuse(&why).into());
            }
            Seen::Contradictory => return Ok(()),
            Seen::Visible => {}
        }
        match &entry.kind {
            EntryKind::File { size } => {
                let paths = self.names_of(&entry.path)?;
                self.give(paths, *size, reader)
            }
            EntryKind::Symlink { target } => {
                self.follow(&entry.path, target)?;
                Ok(())
            }
            EntryKind::HardLink { target } => {
                self.hard_link(layer, &entry.path, target)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether a path is, contains, or lies below something that is looked for.
    fn concerns(&self, path: &ImagePath) -> bool {
        self.goals.iter().any(|goal| {
            goal.at == *path
                || goal.at.below(path).is_some()
                || (goal.directory && path.below(&goal.at).is_some())
        })
    }

    /// The names under which a file that is seen now is wanted.
    fn names_of(&mut self, path: &ImagePath) -> Result<Vec<ImagePath>> {
        let mut names = Vec::new();
        let mut bad = None;
        for goal in &mut self.goals {
            if goal.state != State::Open {
                continue;
            }
            if goal.at == *path {
                goal.state = State::Done;
                names.push(goal.wanted.clone());
            } else if goal.directory
                && let Some(rest) = path.below(&goal.at)
            {
                match goal.wanted.join(rest) {
                    Ok(name) => names.push(name),
                    Err(error) => bad = Some(error),
                }
            }
        }
        match bad {
            Some(error) => Err(self.bad_path(error)),
            None => Ok(names),
        }
    }

    /// Gives a file under its names.
    fn give<R: Read>(
        &mut self,
        mut paths: Vec<ImagePath>,
        size: u64,
        reader: &mut LayerReader<R>,
    ) -> Reading<()> {
        let Some(first) = paths.first() else {
            return Ok(());
        };
        self.left = match self.left.checked_sub(size) {
            Some(left) if size <= self.caps.file => left,
            _ => {
                let why = format!(
                    "`{first}` has {size} bytes; {} are allowed for one file, {} for all",
                    self.caps.file, self.caps.total
                );
                return Err(self.refuse(&why).into());
            }
        };
        for (root, found) in self.roots.iter().zip(&mut self.found) {
            *found |= paths
                .iter()
                .any(|path| path == root || path.below(root).is_some());
        }
        paths.sort();
        paths.dedup();
        let mut content = Content {
            reader,
            failure: None,
        };
        let taken = (self.take)(&File { paths, size }, &mut content);
        match content.failure {
            Some(error) => Err(Stop::Layer(reader.failed(error))),
            None => Ok(taken?),
        }
    }

    /// Follows a symbolic link at `link` with everything that is looked for there or below.
    fn follow(&mut self, link: &ImagePath, target: &str) -> Result<()> {
        for index in 0..self.goals.len() {
            let Some(goal) = self.goals.get(index) else {
                continue;
            };
            if goal.state != State::Open {
                continue;
            }
            let moved = if goal.at == *link || goal.at.below(link).is_some() {
                Some((index, goal.clone()))
            } else if goal.directory
                && let Some(rest) = link.below(&goal.at)
            {
                let wanted = goal.wanted.join(rest).map_err(|e| self.bad_path(e))?;
                let goal = Goal {
                    wanted,
                    at: link.clone(),
                    directory: false,
                    links: goal.links,
                    state: State::Open,
                };
                self.goals.push(goal.clone());
                Some((self.goals.len() - 1, goal))
            } else {
                None
            };
            if let Some((index, mut goal)) = moved {
                self.step(&mut goal, link, target)?;
                let more = self.catch_up(&mut goal)?;
                if let Some(slot) = self.goals.get_mut(index) {
                    *slot = goal;
                }
                self.goals.extend(more);
            }
        }
        Ok(())
    }

    /// Moves a goal along one link.
    fn step(&self, goal: &mut Goal, link: &ImagePath, target: &str) -> Result<()> {
        goal.links += 1;
        if goal.links > MAX_LINKS {
            let why = format!("`{}` is a link that goes round in circles", goal.wanted);
            return Err(self.refuse(&why));
        }
        let moved = link
            .follow(target)
            .and_then(|target| match goal.at.below(link) {
                Some(rest) => target.join(rest),
                None => Ok(target),
            });
        match moved {
            Ok(at) => goal.at = at,
            Err(PathError::Empty) => goal.state = State::Done,
            Err(error) => return Err(self.bad_path(error)),
        }
        Ok(())
    }

    /// Looks whether the place to which a goal moved has passed already. Returns goals for what
    /// was in it, if it is a wanted directory.
    fn catch_up(&self, goal: &mut Goal) -> Result<Vec<Goal>> {
        'again: while goal.state == State::Open {
            for ancestor in goal.at.clone().ancestors() {
                if let Some((_, TreeNode::Symlink(target))) = self.tree.get(ancestor) {
                    let link: ImagePath = ancestor.parse().map_err(|e| self.bad_path(e))?;
                    self.step(goal, &link, target)?;
                    continue 'again;
                }
            }
            match self.tree.get(goal.at.as_str()) {
                Some((_, TreeNode::Symlink(target))) => {
                    let link = goal.at.clone();
                    self.step(goal, &link, target)?;
                    continue;
                }
                Some((layer, TreeNode::File)) => {
                    goal.state = State::Passed(layer, goal.at.clone());
                }
                Some((layer, TreeNode::HardLink(target))) => {
                    goal.state = State::Passed(layer, target.clone());
                }
                Some((_, TreeNode::Directory)) if goal.directory => return self.inside(goal),
                _ => {}
            }
            break;
        }
        Ok(Vec::new())
    }

    /// Goals for everything that has passed below a wanted directory.
    fn inside(&self, goal: &Goal) -> Result<Vec<Goal>> {
        let mut goals = Vec::new();
        for (path, layer, node) in self.tree.below(&goal.at) {
            let path: ImagePath = path.parse().map_err(|e| self.bad_path(e))?;
            let Some(rest) = path.below(&goal.at) else {
                continue;
            };
            let mut inner = Goal {
                wanted: goal.wanted.join(rest).map_err(|e| self.bad_path(e))?,
                at: path.clone(),
                directory: false,
                links: goal.links,
                state: State::Open,
            };
            match node {
                TreeNode::File => inner.state = State::Passed(layer, path),
                TreeNode::HardLink(target) => inner.state = State::Passed(layer, target.clone()),
                TreeNode::Symlink(_) => drop(self.catch_up(&mut inner)?),
                TreeNode::Directory | TreeNode::Other => continue,
            }
            goals.push(inner);
        }
        Ok(goals)
    }

    /// Notes what is wanted of a hard link: its target's content in the same layer, which came
    /// before it and may be hidden by an upper layer under its own name.
    fn hard_link(&mut self, layer: usize, link: &ImagePath, target: &ImagePath) -> Result<()> {
        let mut more = Vec::new();
        let mut bad = None;
        for goal in &mut self.goals {
            if goal.state != State::Open {
                continue;
            }
            let passed = State::Passed(layer, target.clone());
            if goal.at == *link {
                goal.state = passed;
            } else if goal.directory
                && let Some(rest) = link.below(&goal.at)
            {
                match goal.wanted.join(rest) {
                    Ok(wanted) => more.push(Goal {
                        wanted,
                        at: link.clone(),
                        directory: false,
                        links: goal.links,
                        state: passed,
                    }),
                    Err(error) => bad = Some(error),
                }
            }
        }
        self.goals.append(&mut more);
        bad.map_or(Ok(()), |error| Err(self.bad_path(error)))
    }

    /// Files that have passed and are wanted, with their names, by layer.
    fn take_passed(&mut self) -> BTreeMap<usize, BTreeMap<ImagePath, Vec<ImagePath>>> {
        let mut passed: BTreeMap<usize, BTreeMap<ImagePath, Vec<ImagePath>>> = BTreeMap::new();
        for goal in &mut self.goals {
            if let State::Passed(layer, path) = &goal.state {
                let files = passed.entry(*layer).or_default();
                let names = files.entry(path.clone()).or_default();
                names.push(goal.wanted.clone());
                goal.state = State::Done;
            }
        }
        passed
    }

    /// Reads a layer once more, for files that had passed when it turned out that they are
    /// wanted.
    fn again<B: LayerBlob>(
        &mut self,
        number: usize,
        mut files: BTreeMap<ImagePath, Vec<ImagePath>>,
        open: &mut Open<'_, B>,
    ) -> Result<()> {
        let Some(mut blob) = open(number)? else {
            return Ok(());
        };
        self.layer(&mut blob, |walk, reader, entry| {
            let is_wanted = matches!(
                entry.kind,
                EntryKind::File { .. } | EntryKind::HardLink { .. } | EntryKind::Symlink { .. }
            );
            let Some(names) = files.remove(&entry.path).filter(|_| is_wanted) else {
                return Ok(());
            };
            match entry.kind {
                EntryKind::File { size } => walk.give(names, size, reader),
                EntryKind::HardLink { target } => {
                    let goals = names.into_iter().map(|wanted| Goal {
                        wanted,
                        at: entry.path.clone(),
                        directory: false,
                        links: 0,
                        state: State::Passed(number, target.clone()),
                    });
                    walk.goals.extend(goals);
                    Ok(())
                }
                _ => {
                    let why = format!("`{}` has a hard link to a symbolic link", entry.path);
                    Err(walk.refuse(&why).into())
                }
            }
        })
    }

    fn refuse(&self, why: &str) -> Error {
        let message = format!("The image {} cannot be read: {why}", self.image);
        Error::new(Class::VerificationFailed, message)
    }

    fn bad_path(&self, error: PathError) -> Error {
        let message = format!("The image {} has a path that cannot be used", self.image);
        Error::new(Class::VerificationFailed, message).caused_by(error)
    }
}

/// A file's content; keeps the reason when it cannot be read, because `take` may not tell it.
struct Content<'a, R: Read> {
    reader: &'a mut LayerReader<R>,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| {
            let told = io::Error::new(error.kind(), error.to_string());
            if error.kind() != io::ErrorKind::Interrupted {
                self.failure = Some(error);
            }
            told
        })
    }
}

#[cfg(test)]
mod tests;
