//! Counts the content of directories that are not the bundle's, with all their levels, without
//! opening files.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use super::DirectoryTotals;
use crate::model::Limits;

/// Counts the content of directories, with one limit on entries for all of them.
pub(super) struct DirectoryCounter {
    left: usize,
    weights: BTreeMap<String, DirectoryTotals>,
}

impl DirectoryCounter {
    pub(super) fn new() -> Self {
        Self {
            left: Limits::ENTRIES,
            weights: BTreeMap::new(),
        }
    }

    /// Counts all directories in `parent` except those named in `but`. `prefix` is put before
    /// their names in the result; it is empty for the bundle's own directory, the only one that
    /// may be reached through a link.
    pub(super) fn directories(&mut self, parent: &Path, prefix: &str, but: &[&str]) {
        let entries = WalkDir::new(parent)
            .follow_root_links(prefix.is_empty())
            .min_depth(1)
            .max_depth(1);
        for entry in entries.into_iter().flatten() {
            let shown = entry.file_name().to_string_lossy();
            if but.contains(&&*shown) || !entry.file_type().is_dir() {
                continue;
            }
            let weight = self.weigh(entry.path());
            // Names that are not UTF-8 may become equal when made printable.
            let known = self.weights.entry(format!("{prefix}{shown}"));
            known.or_insert(EMPTY).add(&weight);
        }
    }

    pub(super) fn into_weights(self) -> BTreeMap<String, DirectoryTotals> {
        self.weights
    }

    /// Counts everything in a directory.
    fn weigh(&mut self, directory: &Path) -> DirectoryTotals {
        let mut weight = EMPTY;
        let entries = WalkDir::new(directory)
            .follow_root_links(false)
            .min_depth(1)
            .max_depth(Limits::DIRECTORY_DEPTH)
            // With fewer open directories, walkdir would read whole listings into memory.
            .max_open(Limits::DIRECTORY_DEPTH + 1);
        for entry in entries {
            let Some(left) = self.left.checked_sub(1) else {
                weight.is_whole = false;
                break;
            };
            self.left = left;
            match entry {
                Ok(entry) => count(&entry, &mut weight),
                Err(_) => weight.is_whole = false,
            }
        }
        weight
    }
}

const EMPTY: DirectoryTotals = DirectoryTotals {
    files: 0,
    entries: 0,
    others: 0,
    bytes: 0,
    is_whole: true,
};

fn count(entry: &DirEntry, weight: &mut DirectoryTotals) {
    weight.entries = weight.entries.saturating_add(1);
    let kind = entry.file_type();
    if kind.is_dir() {
        // A directory at the limit of depth is not entered, so its content is not counted.
        weight.is_whole &= entry.depth() < Limits::DIRECTORY_DEPTH;
    } else if kind.is_file() {
        match entry.metadata() {
            Ok(file) => {
                weight.files = weight.files.saturating_add(1);
                weight.bytes = weight.bytes.saturating_add(file.len());
            }
            Err(error) => {
                let io = error.io_error().map(std::io::Error::kind);
                weight.is_whole &= io == Some(ErrorKind::NotFound);
            }
        }
    } else {
        weight.others = weight.others.saturating_add(1);
    }
}
