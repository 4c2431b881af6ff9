//! Gathers a release's signatures from signature stores.
//!
//! A store has them at `sha256=<hex>/signature-1` and so on; the first missing number ends the
//! list. If a store fails, the failure is recorded and the next store is asked. A directory may
//! also be the output of `import --resources` or `unpack`: then the signatures are in the
//! ConfigMap for the cluster.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::cluster;
use crate::content::release::judgement::Evidence;
use crate::content::release::signature::MESSAGE_LIMIT;
use crate::content::release::signature_file::{self, signatures_in};
use crate::content::release::verification_config::{SignatureStore, VerificationConfig};
use crate::error::{Result, chain};
use crate::model::{Digest, ReleaseSignature};
use crate::ops::blocking;
use crate::registry::{self, Client, DocumentRequest, RedactedUrl};
use crate::sys::{FileError, files};

/// Limit of signatures of one release in a store (a count; library-go reads no more).
const MOST: usize = 9;

/// Time limit for fetching one signature from a store, retries included.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place with signatures of releases.
#[derive(Clone, PartialEq, Eq)]
pub enum Store {
    /// A web server: `http` or `https`.
    Web(Url),
    /// A directory.
    Directory(PathBuf),
}

impl Store {
    /// Parses a store from a command line: a URL, or else a directory.
    pub fn named(text: &str) -> Self {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https" | "file") => Self::at(&url),
            _ => Self::Directory(PathBuf::from(text)),
        }
    }

    /// Returns the stores that a payload's configuration names.
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

/// Same as `Display`, which redacts URLs: they may contain secrets.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reason why reading a store failed.
#[derive(Debug)]
enum Failure {
    Web(registry::Error),
    Slow,
    Directory(FileError),
}

impl Failure {
    fn is_network(&self) -> bool {
        match self {
            Self::Web(error) => error.is_network(),
            Self::Slow => true,
            Self::Directory(_) => false,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Web(error) => chain(error),
            Self::Slow => format!("No answer within {} seconds", PATIENCE.as_secs()),
            Self::Directory(error) => chain(error),
        }
    }
}

/// A store that could not be read completely.
#[derive(Debug)]
struct Unread {
    store: Store,
    failure: Failure,
}

/// Signatures that were found, and stores that failed.
#[derive(Debug, Default)]
pub(super) struct GatheredSignatures {
    /// In the order of their stores, without duplicates.
    pub(super) signatures: Vec<ReleaseSignature>,
    unread: Vec<Unread>,
}

impl GatheredSignatures {
    /// Uses only signatures carried beside a release; no store is asked.
    pub(super) fn carried(signatures: Vec<ReleaseSignature>) -> Self {
        let unread = Vec::new();
        Self { signatures, unread }
    }

    /// Returns the signatures as evidence for a judgement.
    pub(super) fn evidence(&self) -> Evidence<'_> {
        Evidence {
            signatures: &self.signatures,
            is_whole: self.unread.is_empty(),
        }
    }

    /// Returns the signatures over one manifest.
    fn over(&self, digest: &Digest) -> Vec<Vec<u8>> {
        let over = self.signatures.iter().filter(|s| s.over == *digest);
        over.map(|signature| signature.message.clone()).collect()
    }

    /// Asks stores, one after the other, for signatures over one manifest, until there are
    /// `enough`. A store that failed is not asked again.
    ///
    /// # Errors
    ///
    /// When a worker fails. Failures of stores are recorded instead.
    pub(super) async fn ask(
        &mut self,
        client: &Client,
        stores: &[Store],
        digest: &Digest,
        enough: impl Fn(&[Vec<u8>]) -> bool,
    ) -> Result<()> {
        for (index, store) in stores.iter().enumerate() {
            if enough(&self.over(digest)) {
                break;
            }
            if self.unread.iter().any(|unread| unread.store == *store) {
                continue;
            }
            let has_alternative = index.saturating_add(1) < stores.len();
            let (found, failure) = read_store(client, store, digest, has_alternative).await?;
            for message in found {
                let signature = ReleaseSignature {
                    over: *digest,
                    message,
                };
                if !self.signatures.contains(&signature) {
                    self.signatures.push(signature);
                }
            }
            self.unread.extend(failure.map(|failure| Unread {
                store: store.clone(),
                failure,
            }));
        }
        Ok(())
    }

    /// True if all stores failed because of the network, and there is no signature.
    pub(super) fn is_cut_off(&self, stores: &[Store]) -> bool {
        let mut unread = self.unread.iter();
        self.signatures.is_empty()
            && self.unread.len() == stores.len()
            && unread.all(|unread| unread.failure.is_network())
    }

    /// Describes the failed stores, one line for each.
    pub(super) fn failures(&self) -> impl Iterator<Item = String> {
        let unread = self.unread.iter();
        unread.map(|Unread { store, failure }| format!("store {store}: {}", failure.text()))
    }
}

/// Returns the signatures of one store, and its failure if it could not be read to the end.
async fn read_store(
    client: &Client,
    store: &Store,
    release: &Digest,
    has_alternative: bool,
) -> Result<(Vec<Vec<u8>>, Option<Failure>)> {
    match store {
        Store::Web(base) => Ok(read_web(client, base, release, has_alternative).await),
        Store::Directory(directory) => {
            let (directory, release) = (directory.clone(), *release);
            blocking(move || Ok(read_directory(&directory, &release))).await
        }
    }
}

/// Returns the path of a signature below a store's address.
fn below(release: &Digest, number: usize) -> String {
    format!("sha256={}/signature-{number}", release.hex())
}

async fn read_web(
    client: &Client,
    base: &Url,
    release: &Digest,
    has_alternative: bool,
) -> (Vec<Vec<u8>>, Option<Failure>) {
    let mut found = Vec::new();
    for number in 1..=MOST {
        let below = below(release, number);
        let fetched = fetch(client, base, &below, has_alternative);
        match tokio::time::timeout(PATIENCE, fetched).await {
            Ok(Ok(Some(bytes))) => found.push(bytes),
            Ok(Ok(None)) => break,
            Ok(Err(failure)) => return (found, Some(failure)),
            Err(_) => return (found, Some(Failure::Slow)),
        }
    }
    (found, None)
}

fn read_directory(directory: &Path, release: &Digest) -> (Vec<Vec<u8>>, Option<Failure>) {
    let mut found = Vec::new();
    if files::is_file(directory) {
        return match read_file(directory, signature_file::LIMIT) {
            Ok(bytes) => {
                let bytes = bytes.unwrap_or_default();
                (signatures_in(&bytes, release), None)
            }
            Err(failure) => (found, Some(failure)),
        };
    }
    for number in 1..=MOST {
        match read_file(
            &directory.join(below(release, number)),
            MESSAGE_LIMIT as u64,
        ) {
            Ok(Some(bytes)) => found.push(bytes),
            Ok(None) => break,
            Err(failure) => return (found, Some(failure)),
        }
    }
    let name = PathBuf::from(cluster::signature_file_name(release));
    // Up to 4.10, oc wrote the same content to a file with the other ending.
    for name in [name.with_extension("yaml"), name] {
        for below in ["", "config", cluster::APPLY] {
            let path = directory.join(below).join(&name);
            match read_file(&path, signature_file::LIMIT) {
                Ok(Some(bytes)) => found.extend(signatures_in(&bytes, release)),
                Ok(None) => {}
                Err(failure) => return (found, Some(failure)),
            }
        }
    }
    (found, None)
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

fn read_file(path: &Path, limit: u64) -> std::result::Result<Option<Vec<u8>>, Failure> {
    match files::read(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Directory(error)),
    }
}
