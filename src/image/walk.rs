//! Walks through an image's layers and decides which files are wanted, and under which names.
//!
//! Does not depend on registries or media: the caller opens the layers.

use std::io::{self, Read};

use super::{Caps, File};
use crate::content::wanted_paths::{LinkError, MAX_LINKS, Passed, WantedPath, WantedPaths};
use crate::error::{Class, Error, Result};
use crate::oci::layer::{
    EntryKind, ImagePath, LayerEntry, LayerError, LayerReader, Tree, Visibility,
};

/// Limit of memory for the names of files of one image, in bytes.
const NAMES: u64 = 128 << 20;

/// The blob of a layer while it is read.
pub(super) trait LayerBlob: Read {
    /// Reads the rest and compares the digest. Returns an earlier read error first.
    fn finish(&mut self) -> Result<()>;
}

/// Opens a layer by its number, 0 for the topmost; returns `None` below the lowest.
pub(super) type Open<'a, B> = dyn FnMut(usize) -> Result<Option<B>> + 'a;

/// Callback that receives the wanted files.
type Take<'a> = dyn FnMut(&File, &mut dyn Read) -> Result<()> + 'a;

/// Result of reading a layer.
type ReadResult<T> = std::result::Result<T, ReadEnd>;

/// Reason why reading a layer ended early.
enum ReadEnd {
    /// The layer is malformed. A wrong digest may be the cause, so that is checked first.
    Layer(LayerError),
    /// Any other error.
    Other(Error),
}

impl From<LayerError> for ReadEnd {
    fn from(error: LayerError) -> Self {
        Self::Layer(error)
    }
}

impl From<Error> for ReadEnd {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// State of one walk through the layers of an image.
pub(super) struct Walk<'a> {
    image: &'a str,
    roots: &'a [ImagePath],
    found: Vec<bool>,
    wanted_paths: WantedPaths,
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
        Self {
            image,
            roots: wanted,
            found: vec![false; wanted.len()],
            wanted_paths: WantedPaths::default(),
            tree: Tree::new(NAMES),
            caps,
            left: caps.total,
            take,
        }
    }

    /// Walks through the layers. Returns the wanted paths for which no file was found.
    pub(super) fn run<B: LayerBlob>(mut self, open: &mut Open<'_, B>) -> Result<Vec<ImagePath>> {
        self.walk(open)
    }

    fn walk<B: LayerBlob>(&mut self, open: &mut Open<'_, B>) -> Result<Vec<ImagePath>> {
        for path in self.roots {
            let looked = self.wanted_paths.insert(WantedPath::root(path));
            looked.map_err(|error| self.link_error(error))?;
        }
        let mut number = 0;
        while !self.wanted_paths.are_settled(&self.tree)
            && let Some(mut blob) = open(number)?
        {
            self.layer(&mut blob, |walk, reader, entry| {
                walk.entry(number, &entry, reader)
            })?;
            number += 1;
        }
        for _ in 0..MAX_LINKS {
            let passed = self.wanted_paths.take_passed();
            if passed.is_empty() {
                let pairs = self.roots.iter().zip(&self.found);
                let missing = pairs.filter(|(_, found)| !**found);
                return Ok(missing.map(|(path, _)| path.clone()).collect());
            }
            for (number, files) in passed {
                self.reread_layer(number, files, open)?;
            }
        }
        Err(self.refuse("its links are nested too deeply"))
    }

    /// Reads one layer to its end and verifies its digest.
    fn layer<B: LayerBlob>(
        &mut self,
        blob: &mut B,
        mut each: impl FnMut(&mut Self, &mut LayerReader<&mut B>, LayerEntry) -> ReadResult<()>,
    ) -> Result<()> {
        let mut read = || {
            let mut reader = LayerReader::new(&mut *blob, self.caps.layer)?;
            while let Some(entry) = reader.next_entry()? {
                each(self, &mut reader, entry)?;
            }
            Ok(())
        };
        let read: ReadResult<()> = read();
        match read {
            Ok(()) => blob.finish(),
            Err(ReadEnd::Other(error)) => Err(error),
            Err(ReadEnd::Layer(error)) => {
                // A wrong digest explains the reader's error, so report it instead.
                blob.finish()?;
                let message = format!("The image {} cannot be read", self.image);
                Err(Error::new(Class::VerificationFailed, message).caused_by(error))
            }
        }
    }

    /// Processes the next entry of a layer.
    fn entry<R: Read>(
        &mut self,
        layer: usize,
        entry: &LayerEntry,
        reader: &mut LayerReader<R>,
    ) -> ReadResult<()> {
        let seen = self.tree.add(layer, entry).map_err(|full| {
            let message = format!("The image {} cannot be read", self.image);
            Error::new(Class::VerificationFailed, message).caused_by(full)
        })?;
        match seen {
            Visibility::Hidden => return Ok(()),
            Visibility::Contradictory if self.wanted_paths.is_relevant(&entry.path) => {
                let why = format!(
                    "one layer has two entries for `{}`, and tools disagree about which one counts",
                    entry.path
                );
                return Err(self.refuse(&why).into());
            }
            Visibility::Contradictory => return Ok(()),
            Visibility::Visible => {}
        }
        let path = &entry.path;
        let followed = match &entry.kind {
            EntryKind::File { size } => {
                let names = self.wanted_paths.reached(path);
                let names = names.map_err(|error| self.link_error(error))?;
                return self.give(names, *size, reader);
            }
            EntryKind::Symlink { target } => self.wanted_paths.follow(&self.tree, path, target),
            EntryKind::HardLink { target } => self.wanted_paths.hard_link(layer, path, target),
            _ => Ok(()),
        };
        Ok(followed.map_err(|error| self.link_error(error))?)
    }

    /// Passes a file to `take` under its wanted names.
    fn give<R: Read>(
        &mut self,
        mut paths: Vec<ImagePath>,
        size: u64,
        reader: &mut LayerReader<R>,
    ) -> ReadResult<()> {
        paths.sort();
        paths.dedup();
        let Some(first) = paths.first() else {
            return Ok(());
        };
        // `take` may keep one copy per name, so each name counts against the limit.
        let count = paths.len() as u64;
        self.left = match self.left.checked_sub(size.saturating_mul(count)) {
            Some(left) if size <= self.caps.file => left,
            _ => {
                let names = match count {
                    1 => String::new(),
                    _ => format!(" and {count} names"),
                };
                let why = format!(
                    "`{first}` has {size} bytes{names}; {} are allowed for one file, {} for all",
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
        let mut content = Content {
            reader,
            failure: None,
        };
        let taken = (self.take)(&File { paths, size }, &mut content);
        match content.failure {
            Some(error) => Err(ReadEnd::Layer(reader.failed(error))),
            None => Ok(taken?),
        }
    }

    /// Reads a layer once more, for files that had already passed when a link made them wanted.
    fn reread_layer<B: LayerBlob>(
        &mut self,
        number: usize,
        mut files: Passed,
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
                    for name in names {
                        walk.wanted_paths.want(number, &target, name);
                    }
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

    /// The error for a link that cannot be followed.
    fn link_error(&self, error: LinkError) -> Error {
        match error {
            LinkError::Path(error) => {
                let message = format!("The image {} has a path that cannot be used", self.image);
                Error::new(Class::VerificationFailed, message).caused_by(error)
            }
            other => self.refuse(&other.to_string()),
        }
    }
}

/// Content of a file. Keeps the read error, because `take` may replace it with one of its own.
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
