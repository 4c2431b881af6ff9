//! Temporary files with a path, removed when they are dropped.

use std::io::{Read, Write};
use std::path::Path;

use super::error::{At, FileError, Result};

/// A temporary file on this machine, for content that a library can only read from a file.
#[derive(Debug)]
pub struct ScratchFile(tempfile::NamedTempFile);

impl ScratchFile {
    /// Writes all of `content`, which may have at most `cap` bytes, to a new file in the
    /// directory for temporary files (`TMPDIR`).
    ///
    /// # Errors
    ///
    /// If the file cannot be written, or `content` fails or is longer.
    pub fn of(content: &mut dyn Read, cap: u64) -> Result<Self> {
        let name = "a temporary file";
        let mut file = tempfile::Builder::new()
            .prefix("airferry-")
            .tempfile()
            .at("make", name)?;
        let mut content = content.take(cap.saturating_add(1));
        let written = std::io::copy(&mut content, &mut file).at("write", name)?;
        if written > cap {
            let why = format!("its content is longer than the {cap} bytes allowed");
            return Err(FileError::refused("write", name, &why));
        }
        file.flush().at("write", name)?;
        Ok(Self(file))
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::files;

    #[test]
    fn content_is_there_until_it_is_dropped() {
        let file = ScratchFile::of(&mut &b"abc"[..], 3).unwrap();
        let path = file.path().to_owned();
        assert_eq!(files::read(&path, 10).unwrap(), b"abc");
        drop(file);
        assert!(!files::exists(&path));
    }

    #[test]
    fn the_cap_is_exact() {
        assert!(ScratchFile::of(&mut &b"abcd"[..], 3).is_err());
    }
}
