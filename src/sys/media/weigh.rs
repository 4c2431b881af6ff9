//! What lies in directories that are not the bundle's: counted to the bottom, never opened.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self as sysfs, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::Weight;
use crate::model::Limits;

/// Weighs directories; all of them together have one allowance of entries.
pub(super) struct Scales {
    left: usize,
    weights: BTreeMap<String, Weight>,
}

impl Scales {
    pub(super) fn new() -> Self {
        Self {
            left: Limits::ENTRIES,
            weights: BTreeMap::new(),
        }
    }

    /// Weighs all directories in an open directory but those of these names. `prefix` stands
    /// before their names in the result.
    pub(super) fn directories(&mut self, parent: BorrowedFd<'_>, prefix: &str, but: &[&str]) {
        let Ok(entries) = sysfs::Dir::read_from(parent) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            if is_self_or_parent(name) || but.contains(&&*shown) || !is_directory(parent, name) {
                continue;
            }
            let mut weight = Weight {
                is_whole: true,
                ..Weight::default()
            };
            self.add(parent, name, 1, &mut weight);
            // Two names that are no UTF-8 may look the same.
            let known = self
                .weights
                .entry(format!("{prefix}{shown}"))
                .or_insert(Weight {
                    is_whole: true,
                    ..Weight::default()
                });
            known.add(&weight);
        }
    }

    pub(super) fn into_weights(self) -> BTreeMap<String, Weight> {
        self.weights
    }

    /// Adds everything in a directory. The recursion is as deep as the cap on levels.
    fn add(&mut self, parent: BorrowedFd<'_>, name: &CStr, depth: usize, weight: &mut Weight) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = sysfs::openat(parent, name, flags, Mode::empty());
        let (Ok(handle), true) = (opened, depth <= Limits::DIRECTORY_DEPTH) else {
            weight.is_whole = false;
            return;
        };
        let Ok(entries) = sysfs::Dir::read_from(&handle) else {
            weight.is_whole = false;
            return;
        };
        for entry in entries {
            let (Ok(entry), Some(left)) = (entry, self.left.checked_sub(1)) else {
                weight.is_whole = false;
                return;
            };
            let name = entry.file_name();
            if is_self_or_parent(name) {
                continue;
            }
            self.left = left;
            weight.entries = weight.entries.saturating_add(1);
            match sysfs::statat(&handle, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                    FileType::RegularFile => {
                        let length = u64::try_from(stat.st_size).unwrap_or(0);
                        weight.files = weight.files.saturating_add(1);
                        weight.bytes = weight.bytes.saturating_add(length);
                    }
                    FileType::Directory => self.add(handle.as_fd(), name, depth + 1, weight),
                    _ => weight.others = weight.others.saturating_add(1),
                },
                Err(Errno::NOENT) => {}
                Err(_) => weight.is_whole = false,
            }
        }
    }
}

fn is_self_or_parent(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

fn is_directory(parent: BorrowedFd<'_>, name: &CStr) -> bool {
    let stat = sysfs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}
