//! Gathers a release's signatures from the places that publish them, and verifies them.
//!
//! A store has them at `sha256=<hex>/signature-1` and so on. The first number that it does not
//! have ends its list; a store that fails is remembered, and the next one is asked.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use url::Url;

use super::super::{Class, Error, Result, blocking, chain};
use crate::content::release::signature::{self, MESSAGE_LIMIT, SignatureError, Verified};
use crate::content::release::trust::ReleaseTrust;
use crate::content::release::verification_config::{SignatureStore, VerificationConfig};
use crate::model::{Digest, Timestamp};
use crate::registry::{self, Client, DocumentRequest, RedactedUrl};
use crate::sys::{IoAt, files};

/// Signatures that a store may have of one release (a count; library-go reads no more).
const MOST: usize = 9;

/// Where signatures are looked for.
#[derive(Clone, PartialEq, Eq)]
pub enum Store {
    /// A web server: `http` or `https`.
    Web(Url),
    /// A directory.
    Directory(PathBuf),
}

impl Store {
    /// The store that a person names: a URL, or else a directory.
    pub fn named(text: &str) -> Self {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https" | "file") => Self::at(&url),
            _ => Self::Directory(PathBuf::from(text)),
        }
    }

    /// The stores that a payload's configuration names.
    pub fn configured(config: &VerificationConfig) -> Vec<Self> {
        let at = |store: &SignatureStore| Self::at(&store.url);
        config.stores.iter().map(at).collect()
    }

    fn at(url: &Url) -> Self {
        match url.to_file_path() {
            Ok(path) if url.scheme() == "file" => Self::Directory(path),
            _ => Self::Web(url.clone()),
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(url) => RedactedUrl::from(url).fmt(f),
            Self::Directory(path) => path.display().fmt(f),
        }
    }
}

/// Like `Display`: a URL may hold secrets.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A verified release with the signatures that were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRelease {
    /// What the signatures prove. Its numbers count in `signatures`, from 1.
    pub verified: Verified,
    /// Whole signature files in the order in which they were found, each once.
    pub signatures: Vec<Vec<u8>>,
}

/// Why a store gave no more.
#[derive(Debug)]
enum Failure {
    Web(registry::Error),
    Directory(IoAt),
}

impl Failure {
    fn is_network(&self) -> bool {
        matches!(self, Self::Web(error) if error.is_network())
    }

    fn text(&self) -> String {
        match self {
            Self::Web(error) => chain(error),
            Self::Directory(error) => chain(error),
        }
    }
}

/// Finds signatures of a release, store after store, until they satisfy its configuration.
///
/// # Errors
///
/// Of [`Class::Network`] when no store could be reached; of [`Class::Usage`] when there is none;
/// else of [`Class::NotAuthenticated`], with the [`SignatureError`] as its cause. Which stores
/// failed stands in the hints.
pub async fn verify_release(
    client: &Client,
    stores: &[Store],
    release: &Digest,
    config: &VerificationConfig,
    trust: &ReleaseTrust,
    now: Timestamp,
) -> Result<SignedRelease> {
    let judge = |signatures: &[Vec<u8>]| signature::verify(release, config, trust, signatures, now);
    // What no signature can mend is known before anybody is asked.
    let mut wanting = match judge(&[]) {
        Err(error @ SignatureError::NoSignature { .. }) => error,
        Err(error) => return Err(not_authenticated(release, error)),
        Ok(verified) => {
            return Ok(SignedRelease {
                verified,
                signatures: Vec::new(),
            });
        }
    };
    let mut signatures: Vec<Vec<u8>> = Vec::new();
    let mut failures = Vec::new();
    for (index, store) in stores.iter().enumerate() {
        let has_alternative = index.saturating_add(1) < stores.len();
        let (found, failure) = read_store(client, store, release, has_alternative).await?;
        for bytes in found {
            if !signatures.contains(&bytes) {
                signatures.push(bytes);
            }
        }
        failures.extend(failure.map(|failure| (store, failure)));
        match judge(&signatures) {
            Ok(verified) => {
                return Ok(SignedRelease {
                    verified,
                    signatures,
                });
            }
            Err(error) => wanting = error,
        }
    }
    Err(refused(release, stores, &failures, wanting))
}

fn not_authenticated(release: &Digest, error: SignatureError) -> Error {
    Error::new(
        Class::NotAuthenticated,
        format!("The signatures of the release {release} do not prove who made it"),
    )
    .caused_by(error)
}

fn refused(
    release: &Digest,
    stores: &[Store],
    failures: &[(&Store, Failure)],
    wanting: SignatureError,
) -> Error {
    if stores.is_empty() {
        return Error::usage("The release payload names no store with signatures")
            .hint("name one with --signature-store");
    }
    let nothing_found = matches!(wanting, SignatureError::NoSignature { .. });
    let all_failed = failures.len() == stores.len();
    let unreachable = failures.iter().all(|(_, failure)| failure.is_network());
    let mut error = if nothing_found && all_failed && unreachable {
        Error::new(
            Class::Network,
            format!("No store with signatures of the release {release} can be reached"),
        )
        .hint("name a store that can be reached with --signature-store")
    } else {
        not_authenticated(release, wanting)
    };
    for (store, failure) in failures {
        error = error.hint(format!("store {store}: {}", failure.text()));
    }
    error
}

/// The signatures of one store, and why it gave no more, if that was not for want of more.
async fn read_store(
    client: &Client,
    store: &Store,
    release: &Digest,
    has_alternative: bool,
) -> Result<(Vec<Vec<u8>>, Option<Failure>)> {
    let mut found = Vec::new();
    for number in 1..=MOST {
        let below = format!("sha256={}/signature-{number}", release.hex());
        let read = match store {
            Store::Web(base) => fetch(client, base, &below, has_alternative).await,
            Store::Directory(directory) => {
                let path = directory.join(below);
                blocking(move || Ok(read_file(&path))).await?
            }
        };
        match read {
            Ok(Some(bytes)) => found.push(bytes),
            Ok(None) => break,
            Err(failure) => return Ok((found, Some(failure))),
        }
    }
    Ok((found, None))
}

async fn fetch(
    client: &Client,
    base: &Url,
    below: &str,
    has_alternative: bool,
) -> std::result::Result<Option<Vec<u8>>, Failure> {
    let mut url = base.clone();
    url.set_path(&format!("{}/{below}", base.path().trim_end_matches('/')));
    let request = DocumentRequest {
        url: &url,
        accept: None,
        limit: MESSAGE_LIMIT as u64,
        has_alternative,
    };
    client.document(request).await.map_err(Failure::Web)
}

fn read_file(path: &Path) -> std::result::Result<Option<Vec<u8>>, Failure> {
    match files::read(path, MESSAGE_LIMIT as u64) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Directory(error)),
    }
}
