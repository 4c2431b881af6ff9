//! Upload sessions: the state that is stored so that an upload can continue after a restart.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Mutex;

use url::Url;

use crate::model::{Digest, Repository};
use crate::registry::locks::lock;
use crate::registry::redact::RedactedUrl;

/// A registry's upload session. Its Location is a secret: it may contain a signature, and it may
/// be all that is needed to write into the session.
#[derive(Clone, PartialEq, Eq)]
pub struct UploadSession {
    pub(super) location: Url,
    /// Bytes that the registry has acknowledged.
    pub(super) offset: u64,
    /// True if, during a whole run, the registry answered "not now" to the request that finishes
    /// the blob.
    pub(super) end_refused: bool,
}

/// Prefix of the location in the text of a session whose end was refused.
const END_REFUSED: &str = "end-refused ";

/// The error for a text that [`UploadSession::to_secret_text`] does not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The text is not an upload session")]
pub struct SessionTextError;

impl UploadSession {
    /// Returns the bytes that the registry had acknowledged when the session was stored.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the session as one line, for a file that only its owner can read.
    pub fn to_secret_text(&self) -> String {
        let mark = if self.end_refused { END_REFUSED } else { "" };
        format!("{} {mark}{}", self.offset, self.location)
    }
}

impl FromStr for UploadSession {
    type Err = SessionTextError;

    fn from_str(text: &str) -> Result<Self, SessionTextError> {
        let (offset, location) = text.trim_end().split_once(' ').ok_or(SessionTextError)?;
        let (location, end_refused) = match location.strip_prefix(END_REFUSED) {
            Some(location) => (location, true),
            None => (location, false),
        };
        let location: Url = location.parse().map_err(|_| SessionTextError)?;
        if !matches!(location.scheme(), "http" | "https") {
            return Err(SessionTextError);
        }
        Ok(Self {
            location,
            offset: offset.parse().map_err(|_| SessionTextError)?,
            end_refused,
        })
    }
}

impl fmt::Debug for UploadSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadSession")
            .field("location", &RedactedUrl::from(&self.location))
            .field("offset", &self.offset)
            .field("end_refused", &self.end_refused)
            .finish()
    }
}

/// Stores upload sessions, across restarts if possible. Called from asynchronous code between two
/// requests, so it may do no more than write or read a small file.
pub trait SessionStore: Send + Sync {
    /// Returns the stored session of this blob, if any.
    fn load(&self, repository: &Repository, digest: &Digest) -> io::Result<Option<UploadSession>>;

    /// Stores a session, replacing an older one. Durable when it returns.
    fn store(
        &self,
        repository: &Repository,
        digest: &Digest,
        session: &UploadSession,
    ) -> io::Result<()>;

    /// Removes the session of this blob, if there is one.
    fn remove(&self, repository: &Repository, digest: &Digest) -> io::Result<()>;
}

/// Stores sessions in memory.
#[derive(Debug, Default)]
pub struct MemorySessions(Mutex<HashMap<(Repository, Digest), UploadSession>>);

impl SessionStore for MemorySessions {
    fn load(&self, repository: &Repository, digest: &Digest) -> io::Result<Option<UploadSession>> {
        let key = (repository.clone(), *digest);
        Ok(lock(&self.0).get(&key).cloned())
    }

    fn store(
        &self,
        repository: &Repository,
        digest: &Digest,
        session: &UploadSession,
    ) -> io::Result<()> {
        lock(&self.0).insert((repository.clone(), *digest), session.clone());
        Ok(())
    }

    fn remove(&self, repository: &Repository, digest: &Digest) -> io::Result<()> {
        lock(&self.0).remove(&(repository.clone(), *digest));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_survive_as_text_and_hide_in_debug() {
        let session: UploadSession = "42 https://r.lan/v2/a/blobs/uploads/1?_state=SECRET\n"
            .parse()
            .unwrap();
        assert_eq!(session.offset(), 42);
        assert_eq!(session.to_secret_text().parse(), Ok(session.clone()));
        let refused = UploadSession {
            end_refused: true,
            ..session.clone()
        };
        assert_eq!(refused.to_secret_text().parse(), Ok(refused.clone()));
        assert!(!format!("{session:?}").contains("SECRET"));
        for bad in [
            "",
            "42",
            "x https://r.lan/",
            "1 file:///etc/passwd",
            "-1 http://r/",
        ] {
            assert_eq!(bad.parse::<UploadSession>(), Err(SessionTextError), "{bad}");
        }
    }
}
