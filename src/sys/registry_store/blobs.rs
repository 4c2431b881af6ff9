//! Reads and links the blobs of repositories.

use std::io::{self, Read, Seek, SeekFrom};

use fs_err as fs;

use super::durable;
use super::error::{IoContext, Result};
use super::{Store, layout};
use crate::model::{Digest, RepositoryPath};

/// A blob that is open for reading.
#[derive(Debug)]
pub struct BlobReader {
    file: fs::File,
    size: u64,
}

impl BlobReader {
    /// Returns the length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Continues reading at `offset`, in bytes from the start.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
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
    /// Returns the size in bytes of a blob in the repository, or `None`.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    pub fn blob_size(&self, repository: &RepositoryPath, digest: &Digest) -> Result<Option<u64>> {
        if !fs::exists(self.layout.blob_link(repository, digest)).doing("look for a blob")? {
            return Ok(None);
        }
        not_found_as_none(fs::metadata(self.layout.data(digest)).map(|facts| facts.len()))
            .doing("look for a blob")
    }

    /// Opens a blob in the repository, or returns `None`.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
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
        not_found_as_none(open()).doing("open a blob")
    }

    /// Links a blob of repository `from` into `repository`. Returns false if `from` does not have
    /// it.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read or written.
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

    /// Removes a blob from a repository; the data stays. Returns true if the repository had it.
    ///
    /// # Errors
    ///
    /// If the disk cannot be written.
    pub fn unlink_blob(&self, repository: &RepositoryPath, digest: &Digest) -> Result<bool> {
        durable::remove(&self.layout.blob_link(repository, digest)).doing("remove a blob")
    }

    /// Returns true if the repository has ever held a blob or a manifest.
    pub fn has_repository(&self, repository: &RepositoryPath) -> bool {
        layout::has_content(&self.layout.repository(repository))
    }
}

/// Turns "not found" into `None`.
pub(super) fn not_found_as_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
