//! Upload sessions: files that grow, and become blobs if their digest is right.
//!
//! A session is stored in its file: the offset is the file's length, the repository is the
//! directory. So it survives the process. The hash in memory is only an optimisation; without it,
//! the file is read once more at the end.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use fs_err as fs;
use sha2::{Digest as _, Sha256};

use super::error::{IoContext, Result};
use super::{Store, StoreError, durable, lock};
use crate::model::{Digest, RepositoryPath};

/// Number of sessions kept in memory. Beyond it, idle ones are dropped and hashed again at the
/// end.
const REMEMBERED: usize = 1024;

/// An upload session's unguessable id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UploadId([u8; 16]);

/// The error for a text that is not the id of an upload session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("An upload session is named by 32 lower-case hexadecimal digits")]
pub struct UploadIdError;

impl FromStr for UploadId {
    type Err = UploadIdError;

    fn from_str(text: &str) -> std::result::Result<Self, UploadIdError> {
        let mut bytes = [0; 16];
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(UploadIdError);
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| UploadIdError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for UploadId {
    /// Hides the id: with it, anyone may write to the session, so logs must not show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UploadId(..)")
    }
}

/// State of a session in this process.
pub(super) struct Session {
    /// Number of the latest request that took the session. Only that one may write, so that a new
    /// request can replace a stuck one.
    claim: u64,
    /// Number of bytes in the file.
    offset: u64,
    /// Hash of these bytes; `None` if it would have to be computed from the file.
    hash: Option<Sha256>,
    /// True if the file is gone: committed or cancelled.
    closed: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("claim", &self.claim)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// The right to write to an upload session, until a later request takes it over.
#[derive(Debug)]
pub struct Upload {
    id: UploadId,
    repository: RepositoryPath,
    path: PathBuf,
    file: fs::File,
    claim: u64,
    session: Arc<Mutex<Session>>,
}

impl Upload {
    /// Returns the session's id.
    pub fn id(&self) -> UploadId {
        self.id
    }

    /// Returns the repository that the blob will belong to.
    pub fn repository(&self) -> &RepositoryPath {
        &self.repository
    }

    /// Returns the number of bytes received.
    pub fn offset(&self) -> u64 {
        lock(&self.session).offset
    }

    fn check(&self, session: &Session) -> Result<()> {
        if session.closed {
            return Err(StoreError::UploadUnknown);
        }
        if session.claim != self.claim {
            return Err(StoreError::UploadTakenOver);
        }
        Ok(())
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// If a later request has taken over, or the bytes cannot be written; the session is then as
    /// before.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let mut session = lock(&self.session);
        self.check(&session)?;
        if let Err(error) = self.file.write_all(bytes) {
            session.hash = None;
            // Some of the bytes may be written. If removing them fails too, the length decides.
            match self.file.set_len(session.offset) {
                Ok(()) => {}
                Err(_) => session.offset = self.file.metadata().map_or(0, |facts| facts.len()),
            }
            return Err(error).doing("write the upload");
        }
        session.offset = session.offset.saturating_add(bytes.len() as u64);
        if let Some(hash) = &mut session.hash {
            hash.update(bytes);
        }
        Ok(())
    }

    /// Drops the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// If a later request has taken over, or the disk cannot be written.
    pub fn rewind(&mut self, offset: u64) -> Result<()> {
        let mut session = lock(&self.session);
        self.check(&session)?;
        if offset < session.offset {
            self.file.set_len(offset).doing("shorten the upload")?;
            session.offset = offset;
            session.hash = (offset == 0).then(Sha256::new);
        }
        Ok(())
    }

    /// Makes the received bytes durable, so that they may be acknowledged.
    ///
    /// # Errors
    ///
    /// If the disk cannot be written.
    pub fn sync(&self) -> Result<()> {
        self.file
            .sync_all()
            .and_then(|()| durable::sync_entry(&self.path))
            .doing("sync the upload")
    }
}

impl Store {
    /// Starts an upload session.
    ///
    /// # Errors
    ///
    /// If the disk cannot be written.
    pub fn start_upload(&self, repository: &RepositoryPath) -> Result<Upload> {
        const WHAT: &str = "start an upload";
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(io::Error::other)
            .doing(WHAT)?;
        let id = UploadId(bytes);
        let path = self.layout.upload(repository, &id);
        durable::ensure_dir(&self.layout.uploads(repository)).doing(WHAT)?;
        fs::File::create_new(path).doing(WHAT)?;
        self.resume_upload(repository, &id)
    }

    /// Takes over an upload session at its present offset.
    ///
    /// # Errors
    ///
    /// [`StoreError::UploadUnknown`] if the repository has no such session.
    pub fn resume_upload(&self, repository: &RepositoryPath, id: &UploadId) -> Result<Upload> {
        let path = self.layout.upload(repository, id);
        let (file, session) = self.open_session(id, &path)?;
        let claim = {
            let mut session = lock(&session);
            session.claim = session.claim.wrapping_add(1);
            session.claim
        };
        Ok(Upload {
            id: *id,
            repository: repository.clone(),
            path,
            file,
            claim,
            session,
        })
    }

    /// Opens a session's file and its state in memory.
    ///
    /// Holds the map's lock for both: a session is removed from the map only after its file has
    /// left the directory. So a file that opens here without being in the map belongs to no
    /// writer, and is not about to become a blob.
    fn open_session(&self, id: &UploadId, path: &Path) -> Result<(fs::File, Arc<Mutex<Session>>)> {
        let mut sessions = lock(&self.sessions);
        let file = match fs::OpenOptions::new().read(true).append(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::UploadUnknown);
            }
            Err(error) => return Err(error).doing("open the upload"),
        };
        if let Some(session) = sessions.get(id) {
            return Ok((file, Arc::clone(session)));
        }
        if sessions.len() >= REMEMBERED {
            sessions.retain(|_, session| Arc::strong_count(session) > 1);
        }
        let offset = file.metadata().doing("open the upload")?.len();
        let session = Arc::new(Mutex::new(Session {
            claim: 0,
            offset,
            hash: (offset == 0).then(Sha256::new),
            closed: false,
        }));
        sessions.insert(*id, Arc::clone(&session));
        Ok((file, session))
    }

    /// Returns the number of bytes in an upload session, without taking it over.
    ///
    /// # Errors
    ///
    /// [`StoreError::UploadUnknown`] if the repository has no such session.
    pub fn upload_offset(&self, repository: &RepositoryPath, id: &UploadId) -> Result<u64> {
        match fs::metadata(self.layout.upload(repository, id)) {
            Ok(facts) => Ok(facts.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::UploadUnknown),
            Err(error) => Err(error).doing("look at the upload"),
        }
    }

    /// Ends an upload session and discards its bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::UploadUnknown`] if the repository has no such session.
    pub fn cancel_upload(&self, repository: &RepositoryPath, id: &UploadId) -> Result<()> {
        let upload = self.resume_upload(repository, id)?;
        let mut session = lock(&upload.session);
        self.close(&upload, &mut session)
    }

    fn close(&self, upload: &Upload, session: &mut Session) -> Result<()> {
        durable::remove(&upload.path).doing("remove the upload")?;
        session.closed = true;
        lock(&self.sessions).remove(&upload.id);
        Ok(())
    }

    /// Turns the session into a blob of its repository. Returns the blob's size in bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::DigestMismatch`]; the session is then ended and its bytes are removed.
    pub fn commit_upload(&self, upload: Upload, expected: &Digest) -> Result<u64> {
        const WHAT: &str = "store the blob";
        let mut session = lock(&upload.session);
        upload.check(&session)?;
        let actual = match session.hash.take() {
            Some(hash) => Digest::from_bytes(hash.finalize().into()),
            None => hash_file(&upload.path).doing("read the upload again")?,
        };
        if actual != *expected {
            self.close(&upload, &mut session)?;
            return Err(StoreError::DigestMismatch {
                expected: *expected,
                actual,
            });
        }
        upload.file.sync_all().doing(WHAT)?;
        // Replaces an existing copy too, so that sending a blob again repairs damaged data.
        durable::publish(&upload.path, &self.layout.data(expected)).doing(WHAT)?;
        session.closed = true;
        lock(&self.sessions).remove(&upload.id);
        durable::touch(&self.layout.blob_link(&upload.repository, expected)).doing(WHAT)?;
        Ok(session.offset)
    }
}

fn hash_file(path: &Path) -> io::Result<Digest> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            count => hash.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}
