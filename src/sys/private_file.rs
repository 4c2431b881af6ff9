//! Reads files that hold secrets, only if other users have no access to them.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The reason why a file with secrets was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateFileError {
    /// The operating system reported an error; the source names the path.
    #[error("Cannot read the file")]
    Io {
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// Other users may read or write the file.
    #[error("`{}` can be read or written by others (mode {mode:03o})", path.display())]
    Exposed {
        /// Path of the file.
        path: PathBuf,
        /// Permission bits of the file.
        mode: u32,
    },
    /// The path is a directory, a device, or another kind of file that may have no end.
    #[error("`{}` is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is longer than the limit.
    #[error("`{}` has more than {limit} bytes", path.display())]
    TooLong {
        /// Path of the file.
        path: PathBuf,
        /// Limit in bytes.
        limit: u64,
    },
}

/// How to treat a file that other users can access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Refuse a file that others can read or write (on Unix).
    Refused,
    /// Accept any permissions.
    Allowed,
}

/// Reads a file of at most `limit` bytes. The bytes are wiped from memory after use.
///
/// # Errors
///
/// If the file is absent, not regular or too long, or others have access and must not.
pub fn read(
    path: &Path,
    limit: u64,
    exposure: Exposure,
) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let failed = |source| PrivateFileError::Io { source };
    // Checked before opening, because opening a FIFO would wait for its other end. Checked again
    // on the open file, because that is the file that is read.
    let not_a_file = || PrivateFileError::NotAFile { path: path.into() };
    if !fs_err::metadata(path).map_err(failed)?.is_file() {
        return Err(not_a_file());
    }
    let file = fs_err::File::open(path).map_err(failed)?;
    let facts = file.metadata().map_err(failed)?;
    if !facts.is_file() {
        return Err(not_a_file());
    }
    #[cfg(unix)]
    if exposure == Exposure::Refused {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = facts.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(PrivateFileError::Exposed {
                path: path.into(),
                mode,
            });
        }
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(PrivateFileError::TooLong {
            path: path.into(),
            limit,
        });
    }
    Ok(bytes)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn reads_only_what_is_private_and_short() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs_err::write(&path, "hunter2").unwrap();
        let chmod = |mode| {
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for mode in [0o644, 0o640, 0o602] {
            chmod(mode);
            let refused = read(&path, 100, Exposure::Refused).unwrap_err();
            assert!(
                matches!(refused, PrivateFileError::Exposed { .. }),
                "{mode:o}"
            );
            assert!(read(&path, 100, Exposure::Allowed).is_ok());
        }
        chmod(0o600);
        let bytes = read(&path, 7, Exposure::Refused).unwrap();
        assert_eq!(bytes.as_slice(), b"hunter2");
        let refused = read(&path, 6, Exposure::Refused).unwrap_err();
        assert!(matches!(refused, PrivateFileError::TooLong { .. }));
        let refused = read(directory.path(), 6, Exposure::Allowed).unwrap_err();
        assert!(matches!(refused, PrivateFileError::NotAFile { .. }));
    }
}
