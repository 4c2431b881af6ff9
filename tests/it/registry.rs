//! The registry client, against a server with scripted faults and against distribution 2.8.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Test helpers may panic.

mod auth;
mod documents;
mod pull;
mod real;
mod upload;
mod upload_habits;

use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use airferry::model::Digest;
use airferry::progress::{Event, Progress};
use airferry::registry::{
    AuthFile, BlobDownload, BlobSource, BlobUpload, Client, ClientOptions, Credentials, Error,
    RetryPolicy, SessionStore, Timeouts, Uploaded,
};
use base64::Engine as _;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use sha2::Digest as _;

/// Returns bytes that do not repeat, the same in every run.
fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}

/// Records events.
#[derive(Default)]
struct Events(Mutex<Vec<Event>>);

impl Progress for Events {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Events {
    fn retries(&self) -> Vec<u64> {
        let events = self.0.lock().unwrap();
        let retries = events.iter().filter_map(|event| match event {
            Event::Retrying { after_ms, .. } => Some(*after_ms),
            _ => None,
        });
        retries.collect()
    }

    fn text(&self) -> String {
        format!("{:?}", self.0.lock().unwrap())
    }
}

/// Options for plain HTTP, three attempts, and almost no pauses.
fn options() -> ClientOptions {
    ClientOptions {
        tls_verify: Some(false),
        // One job: a request that has to wait for another request of its own would hang here.
        jobs: NonZeroUsize::new(1),
        retry: RetryPolicy {
            attempts: 3,
            base: Duration::from_millis(1),
            cap: Duration::from_millis(2),
            retry_after_cap: Duration::from_millis(3),
        },
        timeouts: Timeouts {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(10),
            commit: Duration::from_secs(10),
        },
        ..ClientOptions::default()
    }
}

fn client() -> Client {
    Client::new(options())
}

/// Returns the credentials `user:hunter2` for a host.
fn credentials(host: &airferry::model::Host) -> Credentials {
    let auth = base64::engine::general_purpose::STANDARD.encode("user:hunter2");
    let text = format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}}}}"#);
    let name = "auth.json";
    Credentials::parse([AuthFile { name, text: &text }]).unwrap()
}

/// Reads a download to its end.
async fn read(mut download: BlobDownload) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = download.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// A blob in memory, read in pieces as from a disk; reading fails at `fails_at`.
struct Memory {
    bytes: Bytes,
    fails_at: Option<usize>,
}

impl Memory {
    fn new(bytes: &Bytes) -> Self {
        Self {
            bytes: bytes.clone(),
            fails_at: None,
        }
    }
}

impl BlobSource for Memory {
    fn read_from(&self, offset: u64) -> BoxStream<'static, io::Result<Bytes>> {
        const BUFFER: usize = 256 << 10;
        let offset = usize::try_from(offset).unwrap();
        let bytes = self.bytes.clone();
        let end = self.fails_at.unwrap_or(bytes.len()).max(offset);
        let pieces = (offset..end).step_by(BUFFER);
        let good = pieces.map(move |at| Ok(bytes.slice(at..end.min(at + BUFFER))));
        let broken = self.fails_at.map(|_| Err(io::Error::other("stick pulled")));
        stream::iter(good.chain(broken)).boxed()
    }
}

/// Uploads without a listener.
async fn upload(
    client: &Client,
    repository: &airferry::model::Repository,
    digest: Digest,
    source: &Memory,
    sessions: &dyn SessionStore,
) -> Result<Uploaded, Error> {
    let blob = BlobUpload {
        repository,
        digest,
        size: u64::try_from(source.bytes.len()).unwrap(),
        source,
        sessions,
        session: None,
        listener: Arc::new(|_| {}),
    };
    client.upload(&blob).await
}

/// Callers run these in tasks of their own; the test is that this compiles.
#[allow(dead_code)]
fn futures_can_be_spawned(
    client: &'static Client,
    blob: &'static BlobUpload<'static>,
    manifest: &'static airferry::model::RawManifest,
    selector: &'static airferry::registry::Selector,
) {
    fn spawnable<T>(_: impl Future<Output = T> + Send + 'static) {}
    let (repository, digest) = (blob.repository, blob.digest);
    spawnable(client.upload(blob));
    spawnable(client.mount(repository, digest, &repository.path));
    spawnable(client.blob_present(repository, digest, 0));
    spawnable(client.manifest(repository, selector));
    spawnable(client.head_manifest(repository, selector));
    spawnable(client.push_manifest(repository, selector, manifest));
    spawnable(client.referrers(repository, digest));
    spawnable(client.tags(repository));
    spawnable(client.ping(&repository.host));
    spawnable(async move { read(client.blob(repository, digest, 0, 0).await?).await });
}
