//! Blobs as repositories see them.

use std::io::{self, Read, Seek, SeekFrom};

use fs_err as fs;

use super::durable;
use super::error::{IoContext, Result};
use super::{Store, layout};
use crate::model::{Digest, RepositoryPath};

/// An open blob.
#[derive(Debug)]
pub struct BlobReader {
    file: fs::File,
    size: u64,
}

impl BlobReader {
    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Continues reading at `offset`, in bytes from the start.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset)).map(drop)
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Store {
    /// Size in bytes of a blob that the repository shows, or `None`.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    pub fn blob_size(&self, repository: &RepositoryPath, digest: &Digest) -> Result<Option<u64>> {
        if !fs::exists(self.layout.blob_link(repository, digest)).doing("look for a blob")? {
            return Ok(None);
        }
        absent_is_none(fs::metadata(self.layout.data(digest)).map(|facts| facts.len()))
            .doing("look for a blob")
    }

    /// Opens a blob that the repository shows, or returns `None`.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    pub fn open_blob(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<BlobReader>> {
        if !fs::exists(self.layout.blob_link(repository, digest)).doing("look for a blob")? {
            return Ok(None);
        }
        let open = || {
            let file = fs::File::open(self.layout.data(digest))?;
            let size = file.metadata()?.len();
            Ok(BlobReader { file, size })
        };
        absent_is_none(open()).doing("open a blob")
    }

    /// Shows a blob of repository `from` in `repository` too; says whether `from` has it.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read or written.
    pub fn mount_blob(
        &self,
        repository: &RepositoryPath,
        from: &RepositoryPath,
        digest: &Digest,
    ) -> Result<bool> {
        if self.blob_size(from, digest)?.is_none() {
            return Ok(false);
        }
        durable::touch(&self.layout.blob_link(repository, digest)).doing("mount a blob")?;
        Ok(true)
    }

    /// Stops showing a blob in a repository; the data stays. Says whether it was shown.
    ///
    /// # Errors
    ///
    /// When the disk cannot be written.
    pub fn unlink_blob(&self, repository: &RepositoryPath, digest: &Digest) -> Result<bool> {
        durable::remove(&self.layout.blob_link(repository, digest)).doing("remove a blob")
    }

    /// Whether anything was ever stored in the repository.
    pub fn has_repository(&self, repository: &RepositoryPath) -> bool {
        layout::has_content(&self.layout.repository(repository))
    }
}

/// Turns "not found" into `None`.
pub(super) fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
