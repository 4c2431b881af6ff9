//! Gathers a release's signatures from the places that publish them.
//!
//! A store has them at `sha256=<hex>/signature-1` and so on. The first number that it does not
//! have ends its list; a store that fails is remembered, and the next one is asked. A directory
//! may also be what `import --resources` or `unpack` wrote: then they are in the ConfigMap that
//! is meant for the cluster.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::cluster;
use crate::content::release::judgement::Evidence;
use crate::content::release::signature::MESSAGE_LIMIT;
use crate::content::release::verification_config::{SignatureStore, VerificationConfig};
use crate::error::{Result, chain};
use crate::model::{Digest, ReleaseSignature};
use crate::ops::blocking;
use crate::registry::{self, Client, DocumentRequest, RedactedUrl};
use crate::sys::{IoAt, files};

/// Signatures that a store may have of one release (a count; library-go reads no more).
const MOST: usize = 9;

/// How long a store may take for one signature, retries included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest file with signatures for a cluster, in bytes: `MOST` signatures in base64.
const CONFIG_MAP_LIMIT: u64 = 1 << 20;

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

/// Why a store gave no more.
#[derive(Debug)]
enum Failure {
    Web(registry::Error),
    Slow,
    Directory(IoAt),
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

/// A store that did not answer, or not well.
#[derive(Debug)]
struct Unread {
    store: Store,
    failure: Failure,
}

/// Signatures that were found, and stores that could not be asked.
#[derive(Debug, Default)]
pub(super) struct GatheredSignatures {
    /// In the order of their stores, each once.
    pub(super) signatures: Vec<ReleaseSignature>,
    unread: Vec<Unread>,
}

impl GatheredSignatures {
    /// What is carried beside a release; nobody was asked.
    pub(super) fn carried(signatures: Vec<ReleaseSignature>) -> Self {
        let unread = Vec::new();
        Self { signatures, unread }
    }

    /// What may be judged.
    pub(super) fn evidence(&self) -> Evidence<'_> {
        Evidence {
            signatures: &self.signatures,
            is_whole: self.unread.is_empty(),
        }
    }

    /// The signatures over one manifest.
    fn over(&self, digest: &Digest) -> Vec<Vec<u8>> {
        let over = self.signatures.iter().filter(|s| s.over == *digest);
        over.map(|signature| signature.message.clone()).collect()
    }

    /// Asks stores, one after the other, for signatures over one manifest, until there are
    /// `enough`. One that has failed is not asked again.
    ///
    /// # Errors
    ///
    /// When a worker fails. Failures of stores are kept.
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

    /// Whether the network gave nothing at all.
    pub(super) fn is_cut_off(&self, stores: &[Store]) -> bool {
        let mut unread = self.unread.iter();
        self.signatures.is_empty()
            && self.unread.len() == stores.len()
            && unread.all(|unread| unread.failure.is_network())
    }

    /// Which stores failed, and how: a line for each.
    pub(super) fn failures(&self) -> impl Iterator<Item = String> {
        let unread = self.unread.iter();
        unread.map(|Unread { store, failure }| format!("store {store}: {}", failure.text()))
    }
}

/// The signatures of one store, and why it gave no more, if that was not for want of more.
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

/// Where a store has a signature.
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
        return match read_file(directory, CONFIG_MAP_LIMIT) {
            Ok(bytes) => {
                let bytes = bytes.unwrap_or_default();
                (cluster::signatures_in(&bytes, release), None)
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
    let name = cluster::signature_file_name(release);
    for path in [directory.join(&name), directory.join("config").join(&name)] {
        match read_file(&path, CONFIG_MAP_LIMIT) {
            Ok(Some(bytes)) => found.extend(cluster::signatures_in(&bytes, release)),
            Ok(None) => {}
            Err(failure) => return (found, Some(failure)),
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
