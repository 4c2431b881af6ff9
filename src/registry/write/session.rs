//! Upload sessions: what has to be kept so that an upload can go on after a restart.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Mutex;

use url::Url;

use crate::model::{Digest, Repository};
use crate::registry::locks::lock;
use crate::registry::redact::RedactedUrl;

/// A registry's upload session. Its Location is a secret: it may hold a signature, or be all
/// that is needed to write into the session.
#[derive(Clone, PartialEq, Eq)]
pub struct UploadSession {
    pub(super) location: Url,
    /// Bytes that the registry has acknowledged.
    pub(super) offset: u64,
    /// In a whole run the registry answered "not now" to the request that finishes the blob.
    pub(super) end_refused: bool,
}

/// Stands before the location of a session whose end was refused.
const END_REFUSED: &str = "end-refused ";

/// A text is not what [`UploadSession::to_secret_text`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The text is not an upload session")]
pub struct SessionTextError;

impl UploadSession {
    /// Bytes that the registry had acknowledged when the session was kept.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The session as one line, for a file that only its owner can read.
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

/// Keeps upload sessions, over restarts if it can. Called from asynchronous code between two
/// requests: a small file is fine, more is not.
pub trait SessionStore: Send + Sync {
    /// The session kept for this blob, if any.
    fn load(&self, repository: &Repository, digest: &Digest) -> io::Result<Option<UploadSession>>;

    /// Keeps a session, in place of an older one. Durable when it returns.
    fn store(
        &self,
        repository: &Repository,
        digest: &Digest,
        session: &UploadSession,
    ) -> io::Result<()>;

    /// Forgets the session of this blob; there need not be one.
    fn remove(&self, repository: &Repository, digest: &Digest) -> io::Result<()>;
}

/// Keeps sessions for as long as the process lives.
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
