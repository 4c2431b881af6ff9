//! Locks a directory against a second run.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self as sysfs, FlockOperation, Mode, OFlags};

use super::error::{At, FileError, Result};

/// An exclusive lock on a directory, held until it is dropped. It leaves no file behind and ends
/// with the process, even if that is killed.
#[derive(Debug)]
pub struct DirLock {
    _handle: OwnedFd,
}

impl DirLock {
    /// Takes the lock, or returns `None` if another process holds it.
    ///
    /// On a file system without locks, returns a lock that excludes no other process. If two runs
    /// write to such a medium at once, the hashes reveal it.
    pub fn try_take(directory: &Path) -> Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = sysfs::open(directory, flags, Mode::empty()).at("open", directory)?;
        match sysfs::flock(handle.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _handle: handle })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(
                rustix::io::Errno::NOSYS
                | rustix::io::Errno::OPNOTSUPP
                | rustix::io::Errno::INVAL
                | rustix::io::Errno::NOLCK,
            ) => Ok(Some(Self { _handle: handle })),
            Err(error) => Err(FileError::new("lock", directory, error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_lock_is_refused_until_the_first_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirLock::try_take(directory.path()).unwrap();
        assert!(first.is_some());
        assert!(DirLock::try_take(directory.path()).unwrap().is_none());
        drop(first);
        assert!(DirLock::try_take(directory.path()).unwrap().is_some());
    }
}
