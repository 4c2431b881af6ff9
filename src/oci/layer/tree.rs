//! Combines layers: which entries are visible, and which are hidden by an upper layer (OCI
//! image-spec, layer.md, "Applying Changesets").
//!
//! Layers are added from the top down, so that each entry's visibility is known when it is read.
//! Paths are taken literally: an entry below a name that is a link in the same layer is not
//! followed through it.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{EntryKind, ImagePath, LayerEntry};

/// The visible entry at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeNode {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link with this target, as written.
    Symlink(String),
    /// Another name of this file in the same layer.
    HardLink(ImagePath),
    /// An entry without content, such as a device.
    Other,
}

/// The entry at a path, and the layer that hides lower ones, as far as layers were added.
#[derive(Debug, Default)]
struct Place {
    /// The visible entry and its layer.
    node: Option<(usize, TreeNode)>,
    /// The topmost layer that hides entries of lower layers at this path and below it.
    hides_below: Option<usize>,
}

/// Result of adding an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// The entry is visible.
    Visible,
    /// The entry is a whiteout, is hidden by an upper layer, or is a directory known already.
    Hidden,
    /// The entry contradicts another one in its own layer: the same path twice, or a path below one
    /// that is not a directory. Tools differ in how they handle that.
    Contradictory,
}

/// Error: the names in all layers take more memory than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The image's file names and links take more than the {cap} bytes that are allowed")]
pub struct TreeFull {
    /// The cap in bytes.
    pub cap: u64,
}

/// The visible files of an image, as far as its layers were added.
#[derive(Debug)]
pub struct Tree {
    places: BTreeMap<String, Place>,
    cap: u64,
    used: u64,
}

/// Approximate memory in bytes of a path, besides its text.
const PLACE: u64 = 128;

impl Tree {
    /// An empty tree. `cap` limits its memory, approximately, in bytes.
    pub fn new(cap: u64) -> Self {
        Self {
            places: BTreeMap::new(),
            cap,
            used: 0,
        }
    }

    /// Adds an entry of `layer`; layers count from 0, the topmost.
    ///
    /// # Errors
    ///
    /// When the tree would take more memory than `cap`.
    pub fn add(&mut self, layer: usize, entry: &LayerEntry) -> Result<Visibility, TreeFull> {
        let path = &entry.path;
        let hidden = self.is_hidden(layer, path);
        let node = match &entry.kind {
            EntryKind::Whiteout => {
                self.hide_below(layer, path.as_str())?;
                return Ok(Visibility::Hidden);
            }
            EntryKind::Opaque => {
                if !hidden {
                    self.add_directories(layer, path.ancestors().chain([path.as_str()]))?;
                }
                self.hide_below(layer, path.as_str())?;
                return Ok(Visibility::Hidden);
            }
            EntryKind::Directory => TreeNode::Directory,
            EntryKind::File { .. } => TreeNode::File,
            EntryKind::Symlink { target } => TreeNode::Symlink(target.clone()),
            EntryKind::HardLink { target } => TreeNode::HardLink(target.clone()),
            EntryKind::Other => TreeNode::Other,
        };
        let is_directory = node == TreeNode::Directory;
        let target = match &node {
            TreeNode::Symlink(target) => target.len(),
            TreeNode::HardLink(target) => target.as_str().len(),
            _ => 0,
        };
        if !is_directory {
            self.hide_below(layer, path.as_str())?;
        }
        if hidden {
            return Ok(Visibility::Hidden);
        }
        let mut contradictory = self.add_directories(layer, path.ancestors())?;
        let there = self.place(path.as_str())?;
        match &there.node {
            Some((_, TreeNode::Directory)) if is_directory => {
                return Ok(match contradictory {
                    true => Visibility::Contradictory,
                    false => Visibility::Hidden,
                });
            }
            // An upper layer has a directory here.
            Some((above, _)) if *above < layer => return Ok(Visibility::Hidden),
            Some(_) => contradictory = true,
            None => {}
        }
        there.node = Some((layer, node));
        self.charge(target as u64)?;
        Ok(match contradictory {
            true => Visibility::Contradictory,
            false => Visibility::Visible,
        })
    }

    /// The visible entry at a path, and its layer; `None` if no layer so far has one.
    pub fn get(&self, path: &str) -> Option<(usize, &TreeNode)> {
        let (layer, node) = self.places.get(path)?.node.as_ref()?;
        Some((*layer, node))
    }

    /// The visible entries below a directory so far, with their layers, sorted by path.
    pub fn below<'a>(
        &'a self,
        directory: &ImagePath,
    ) -> impl Iterator<Item = (&'a str, usize, &'a TreeNode)> {
        let first = format!("{directory}/", directory = directory.as_str());
        let range = (Bound::Included(first.clone()), Bound::Unbounded);
        self.places
            .range(range)
            .take_while(move |(path, _)| path.starts_with(&first))
            .filter_map(|(path, place)| {
                let (layer, node) = place.node.as_ref()?;
                Some((path.as_str(), *layer, node))
            })
    }

    /// True if no lower layer can add anything at this path or below it.
    pub fn is_final(&self, path: &ImagePath) -> bool {
        let hides = |path: &str| {
            self.places
                .get(path)
                .is_some_and(|p| p.hides_below.is_some())
        };
        path.ancestors().any(hides) || hides(path.as_str())
    }

    fn is_hidden(&self, layer: usize, path: &ImagePath) -> bool {
        let hides = |path: &str| {
            let above = self.places.get(path).and_then(|place| place.hides_below);
            above.is_some_and(|above| above < layer)
        };
        path.ancestors().any(hides) || hides(path.as_str())
    }

    fn hide_below(&mut self, layer: usize, path: &str) -> Result<(), TreeFull> {
        let place = self.place(path)?;
        place.hides_below = Some(place.hides_below.map_or(layer, |above| above.min(layer)));
        Ok(())
    }

    /// Adds the parent directories of a visible entry. Returns true if one of them is something
    /// else in the same layer.
    fn add_directories<'a>(
        &mut self,
        layer: usize,
        paths: impl Iterator<Item = &'a str>,
    ) -> Result<bool, TreeFull> {
        let mut contradictory = false;
        for path in paths {
            match &mut self.place(path)?.node {
                Some((_, TreeNode::Directory)) => {}
                Some(_) => contradictory = true,
                node @ None => *node = Some((layer, TreeNode::Directory)),
            }
        }
        Ok(contradictory)
    }

    fn place(&mut self, path: &str) -> Result<&mut Place, TreeFull> {
        if !self.places.contains_key(path) {
            self.charge(path.len() as u64 + PLACE)?;
        }
        Ok(self.places.entry(path.to_owned()).or_default())
    }

    /// Charges memory against the cap.
    fn charge(&mut self, bytes: u64) -> Result<(), TreeFull> {
        self.used = self.used.saturating_add(bytes);
        match self.used > self.cap {
            true => Err(TreeFull { cap: self.cap }),
            false => Ok(()),
        }
    }
}
