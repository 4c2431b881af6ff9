//! The graph of an inventory: which OCI manifests and blobs its images reach.
//!
//! Rows name each other by digest. Here each digest is looked up once and becomes an index, so
//! that a walk takes one step for each row and each digest in it, however many rows share one.
//! The inventory need not be valid: digests without a row are left out, and cycles do not make a
//! walk endless.

use std::collections::BTreeSet;

use super::{BlobPlace, Digest, ImageEntry, Inventory};

/// The manifests and blobs of an inventory, by the indexes of their rows.
#[derive(Debug)]
pub struct Graph<'a> {
    inventory: &'a Inventory,
    children: Lists,
    blobs: Lists,
}

/// A list of indexes for each row.
#[derive(Debug, Default)]
struct Lists {
    /// For each row, the end of its list in `all`; the list begins where the previous one ends.
    ends: Vec<usize>,
    all: Vec<u32>,
}

impl Lists {
    fn of(&self, row: u32) -> &[u32] {
        let row = row as usize;
        let before = row.checked_sub(1).and_then(|before| self.ends.get(before));
        let range = before.copied().unwrap_or(0)..self.ends.get(row).copied().unwrap_or(0);
        self.all.get(range).unwrap_or_default()
    }

    fn close(&mut self) {
        self.ends.push(self.all.len());
    }
}

/// Facts about everything that an OCI manifest reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// Number of manifests in the longest chain of children, this manifest included. `u32::MAX`
    /// when it reaches a cycle.
    pub levels: u32,
    /// True if it reaches a missing blob.
    pub missing: bool,
}

impl<'a> Graph<'a> {
    /// Looks up every digest of the inventory once.
    pub fn new(inventory: &'a Inventory) -> Self {
        let mut this = Self {
            inventory,
            children: Lists::default(),
            blobs: Lists::default(),
        };
        for row in &inventory.manifests {
            let children = row.children.iter();
            let children = children.filter_map(|child| this.manifest(child));
            let blobs = row.blobs.iter().filter_map(|blob| this.blob(blob));
            let (children, blobs): (Vec<u32>, Vec<u32>) = (children.collect(), blobs.collect());
            this.children.all.extend(children);
            this.children.close();
            this.blobs.all.extend(blobs);
            this.blobs.close();
        }
        this
    }

    /// Returns the index of a manifest's row.
    pub fn manifest(&self, digest: &Digest) -> Option<u32> {
        let rows = &self.inventory.manifests;
        let index = rows.binary_search_by(|row| row.digest.cmp(digest)).ok()?;
        u32::try_from(index).ok()
    }

    /// Returns the index of a blob's row.
    pub fn blob(&self, digest: &Digest) -> Option<u32> {
        let rows = &self.inventory.blobs;
        let index = rows.binary_search_by(|row| row.digest.cmp(digest)).ok()?;
        u32::try_from(index).ok()
    }

    /// Returns the carried children of a manifest.
    pub fn children(&self, manifest: u32) -> &[u32] {
        self.children.of(manifest)
    }

    /// Returns the blobs of a manifest.
    pub fn blobs(&self, manifest: u32) -> &[u32] {
        self.blobs.of(manifest)
    }

    /// Returns the root and the attachments of an image, as far as they have rows.
    pub fn roots(&self, image: &ImageEntry) -> Vec<u32> {
        let roots = image.roots();
        roots.filter_map(|root| self.manifest(&root)).collect()
    }

    /// Returns for each manifest what it reaches. Works from the leaves up and visits every row
    /// and every child once.
    pub fn below(&self) -> Vec<Reach> {
        let is_missing = |blob: &u32| {
            let row = self.inventory.blobs.get(*blob as usize);
            row.is_some_and(|row| matches!(row.place, BlobPlace::Missing { .. }))
        };
        let count = self.inventory.manifests.len();
        let mut below = vec![Reach::default(); count];
        // 0: not visited; 1: its children are being visited; 2: done.
        let mut state = vec![0u8; count];
        let rows = 0..u32::try_from(count).unwrap_or(u32::MAX);
        for start in rows {
            let mut stack = vec![(start, false)];
            while let Some((row, children_done)) = stack.pop() {
                let index = row as usize;
                let known = state.get(index).copied().unwrap_or(2);
                if !children_done {
                    if known == 0 {
                        if let Some(state) = state.get_mut(index) {
                            *state = 1;
                        }
                        stack.push((row, true));
                        let children = self.children(row).iter();
                        let open = children.filter(|c| state.get(**c as usize) == Some(&0));
                        stack.extend(open.map(|child| (*child, false)));
                    }
                    continue;
                }
                let mut found = Reach {
                    levels: 1,
                    missing: self.blobs(row).iter().any(is_missing),
                };
                for child in self.children(row) {
                    let child = *child as usize;
                    let is_open = state.get(child) == Some(&1);
                    let child = below.get(child).copied().unwrap_or_default();
                    let levels = if is_open { u32::MAX } else { child.levels };
                    found.levels = found.levels.max(levels.saturating_add(1));
                    found.missing |= child.missing;
                }
                if let (Some(below), Some(state)) = (below.get_mut(index), state.get_mut(index)) {
                    (*below, *state) = (found, 2);
                }
            }
        }
        below
    }

    /// Returns the inverted graph: for each blob and each manifest, the manifests that name it.
    pub fn parents(&self) -> Parents {
        let (mut manifests, mut blobs) = (Vec::new(), Vec::new());
        let rows = u32::try_from(self.inventory.manifests.len()).unwrap_or(u32::MAX);
        for row in 0..rows {
            manifests.extend(self.children(row).iter().map(|child| (*child, row)));
            blobs.extend(self.blobs(row).iter().map(|blob| (*blob, row)));
        }
        Parents {
            manifests: turned(manifests, self.inventory.manifests.len()),
            blobs: turned(blobs, self.inventory.blobs.len()),
        }
    }
}

/// Turns pairs (row, parent) into one list of parents for each row.
fn turned(mut pairs: Vec<(u32, u32)>, rows: usize) -> Lists {
    pairs.sort_unstable();
    let mut lists = Lists::default();
    let mut pairs = pairs.into_iter().peekable();
    for row in 0..rows {
        while let Some((_, parent)) = pairs.next_if(|(child, _)| *child as usize == row) {
            lists.all.push(parent);
        }
        lists.close();
    }
    lists
}

/// The inverted graph: the parents of each manifest and blob.
#[derive(Debug)]
pub struct Parents {
    manifests: Lists,
    blobs: Lists,
}

impl Parents {
    /// Returns the manifests of which this one is a child.
    pub fn of_manifest(&self, manifest: u32) -> &[u32] {
        self.manifests.of(manifest)
    }

    /// Returns the manifests that name this blob.
    pub fn of_blob(&self, blob: u32) -> &[u32] {
        self.blobs.of(blob)
    }
}

/// A walker through the graph. It can be used for many walks, without clearing its memory between
/// two of them.
#[derive(Debug)]
pub struct Walk<'g, 'a> {
    graph: &'g Graph<'a>,
    /// For each row, the number (`turn`) of the last walk that visited it.
    manifests: Vec<u32>,
    blobs: Vec<u32>,
    turn: u32,
    steps: usize,
}

/// The result of a walk; each index once.
#[derive(Debug, Default)]
pub struct Reached {
    /// Indexes of manifests; each one, unless it is a root, comes after a manifest that names it.
    pub manifests: Vec<u32>,
    /// Indexes of blobs, in the order of the manifests.
    pub blobs: Vec<u32>,
}

impl<'g, 'a> Walk<'g, 'a> {
    /// Creates a walker that has visited nothing.
    pub fn new(graph: &'g Graph<'a>) -> Self {
        Self {
            graph,
            manifests: vec![0; graph.inventory.manifests.len()],
            blobs: vec![0; graph.inventory.blobs.len()],
            turn: 0,
            steps: 0,
        }
    }

    /// Number of rows visited and of digests looked at in them, summed over all walks.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Returns everything that these manifests reach, themselves included.
    pub fn reach(&mut self, roots: &[u32]) -> Reached {
        self.turn = self.turn.wrapping_add(1);
        if self.turn == 0 {
            self.manifests.fill(0);
            self.blobs.fill(0);
            self.turn = 1;
        }
        let mut reached = Reached::default();
        let mut stack: Vec<u32> = roots.iter().rev().copied().collect();
        while let Some(row) = stack.pop() {
            if !first(&mut self.manifests, row, self.turn) {
                continue;
            }
            reached.manifests.push(row);
            let (children, blobs) = (self.graph.children(row), self.graph.blobs(row));
            self.steps = self.steps.saturating_add(children.len() + blobs.len() + 1);
            for blob in blobs {
                if first(&mut self.blobs, *blob, self.turn) {
                    reached.blobs.push(*blob);
                }
            }
            let seen = &self.manifests;
            let new = |child: &&u32| seen.get(**child as usize) != Some(&self.turn);
            stack.extend(children.iter().rev().filter(new));
        }
        reached
    }
}

impl Walk<'_, '_> {
    /// Returns the digests of all manifests that a manifest reaches, itself included.
    pub fn manifests_from(&mut self, root: &Digest) -> impl Iterator<Item = Digest> {
        let roots: Vec<u32> = self.graph.manifest(root).into_iter().collect();
        let rows = &self.graph.inventory.manifests;
        let reached = self.reach(&roots).manifests.into_iter();
        reached.filter_map(|row| rows.get(row as usize).map(|row| row.digest))
    }
}

/// Returns the manifests that `roots` reach and that are not in `seen`, and adds them to it: depth
/// first, each before its children, children in their order. `children` returns `None` for a
/// manifest that is not there, which is left out.
///
/// For content without an inventory, and where one walk is enough; [`Walk`] makes many.
pub fn reach<'c>(
    roots: impl IntoIterator<Item = Digest>,
    seen: &mut BTreeSet<Digest>,
    children: impl Fn(&Digest) -> Option<&'c [Digest]>,
) -> Vec<Digest> {
    let mut stack: Vec<Digest> = roots.into_iter().collect();
    stack.reverse();
    let mut reached = Vec::new();
    while let Some(digest) = stack.pop() {
        if let Some(children) = children(&digest)
            && seen.insert(digest)
        {
            reached.push(digest);
            stack.extend(children.iter().rev());
        }
    }
    reached
}

/// Marks a row as visited in this walk; true if it was not marked before.
fn first(seen: &mut [u32], row: u32, turn: u32) -> bool {
    match seen.get_mut(row as usize) {
        Some(seen) if *seen != turn => {
            *seen = turn;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
