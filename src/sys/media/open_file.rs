//! An open file of a medium, with its path for messages.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::{ReadAt, WriteFile, fill_at};
use crate::sys::error::{At, Result};

/// A file that is open for reading, or for writing in place.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

impl ReadAt for OpenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        fill_at(&self.file, buffer, offset).at("read", &self.path)
    }

    fn length(&self) -> Result<u64> {
        Ok(self.file.metadata().at("look at", &self.path)?.len())
    }
}

impl WriteFile for OpenFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).at("write", &self.path)
    }

    fn seek(&mut self, position: u64) -> Result<()> {
        let sought = self.file.seek(SeekFrom::Start(position));
        sought.at("write", &self.path).map(drop)
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data().at("flush", &self.path)
    }
}
