//! Extended attributes of files: name-value pairs that some file systems keep beside the content.
//! `ntfs-3g` shows the alternate data streams of NTFS as attributes `user.*`.

use std::os::fd::AsFd;

use rustix::buffer::spare_capacity;
use rustix::fs::{fgetxattr_query, flistxattr};

/// Largest list of names that Linux returns, in bytes (`XATTR_LIST_MAX`).
const LIST: usize = 64 << 10;

/// Attributes that Linux sets on every file of a system that uses them.
const OF_THE_SYSTEM: [&str; 3] = [
    "security.selinux",
    "system.posix_acl_access",
    "system.posix_acl_default",
];

/// An extended attribute of a file or directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attribute {
    /// Its name, made printable if it is not UTF-8.
    pub name: String,
    /// Length of its value in bytes.
    pub bytes: u64,
}

/// Returns the attributes of an open file or directory, sorted by name. Empty if the file system
/// has none, or does not show them.
pub(super) fn of(handle: impl AsFd) -> Vec<Attribute> {
    let mut names = Vec::with_capacity(LIST);
    if flistxattr(&handle, spare_capacity(&mut names)).is_err() {
        return Vec::new();
    }
    let names = names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let mut attributes: Vec<Attribute> = names
        .map(|name| Attribute {
            name: String::from_utf8_lossy(name).into_owned(),
            bytes: fgetxattr_query(&handle, name).unwrap_or(0) as u64,
        })
        .filter(|attribute| !OF_THE_SYSTEM.contains(&&*attribute.name))
        .collect();
    attributes.sort();
    attributes
}
