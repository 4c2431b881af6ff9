//! Holds bytes that do not fit into memory, in a temporary file.

use std::fs::File;
use std::io::{self, Write};

use super::error::{At, Result};
use super::media::{ReadAt, fill_at};

/// A file without a name in the directory for temporary files (`TMPDIR`): written at its end,
/// read at any offset, removed when it is dropped.
#[derive(Debug)]
pub struct Spool {
    file: File,
    length: u64,
}

/// Name of the file in errors.
const NAME: &str = "a temporary file";

impl Spool {
    /// Creates an empty spool.
    ///
    /// # Errors
    ///
    /// If the temporary file cannot be created.
    pub fn new() -> Result<Self> {
        Ok(Self {
            file: tempfile::tempfile().at("make", NAME)?,
            length: 0,
        })
    }

    /// Returns the number of bytes written.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Returns true if nothing was written.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl ReadAt for Spool {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        fill_at(&self.file, buffer, offset).at("read", NAME)
    }

    fn length(&self) -> Result<u64> {
        Ok(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::media::Reader;
    use std::io::Read;

    #[test]
    fn what_was_written_is_read_anywhere() {
        let mut spool = Spool::new().unwrap();
        spool.write_all(b"abcdef").unwrap();
        spool.write_all(b"gh").unwrap();
        assert_eq!(spool.len(), 8);
        let mut text = String::new();
        Reader::new(&spool, 2, 5).read_to_string(&mut text).unwrap();
        assert_eq!(text, "cdefg");
        let mut buffer = [0; 4];
        assert_eq!(spool.read_at(&mut buffer, 6).unwrap(), 2);
    }
}
