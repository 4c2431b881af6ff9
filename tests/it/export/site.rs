//! The connected side: a registry that a test fills and breaks, an account with a key, and a
//! directory for bundles.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::command::{Airferry, Outcome};
use crate::support::fake_registry::{Asked, FakeRegistry, Reply};
use crate::support::images::{Image, digest_of};

/// Returns an answer to a request that replaces the stored content, or `None`.
type Fault = Box<dyn Fn(&Asked) -> Option<Reply> + Send>;

/// Content of a registry; repositories share blobs, as in most real registries.
#[derive(Default)]
struct Stored {
    /// Media type and bytes, by repository and by digest or tag.
    manifests: BTreeMap<(String, String), (String, Bytes)>,
    blobs: BTreeMap<String, Bytes>,
    /// True if there is a referrers API.
    referrers: bool,
    fault: Option<Fault>,
}

/// A connected site.
pub struct Site {
    person: Airferry,
    stored: Arc<Mutex<Stored>>,
    registry: FakeRegistry,
    // The server's tasks run in it, so it must be dropped last.
    _runtime: Runtime,
}

impl Site {
    /// Makes an empty registry, and an account with the key `exporter.pem`.
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let stored = Arc::new(Mutex::new(Stored::default()));
        let shared = Arc::clone(&stored);
        let answer = move |asked: &Asked, _| {
            let stored = shared.lock().unwrap();
            let fault = stored.fault.as_ref().and_then(|fault| fault(asked));
            fault.unwrap_or_else(|| stored.answer(asked))
        };
        let registry = runtime.block_on(FakeRegistry::start(answer));
        let site = Self {
            person: Airferry::new(),
            stored,
            registry,
            _runtime: runtime,
        };
        site.run(["keygen", "--out", "exporter"]).succeeds();
        site
    }

    /// Returns the registry's `127.0.0.1:port`.
    pub fn host(&self) -> String {
        self.registry.host().to_string()
    }

    /// Stores an image with all that it names in the registry, and returns its reference.
    pub fn put(&self, repository: &str, tag: &str, image: &Image) -> String {
        let mut stored = self.stored.lock().unwrap();
        for part in image.walk() {
            for blob in part.blobs.iter().filter(|blob| blob.urls.is_empty()) {
                let bytes = Bytes::from(blob.bytes.clone());
                stored.blobs.insert(blob.digest(), bytes);
            }
            let entry = (part.media_type.to_owned(), Bytes::from(part.bytes.clone()));
            let key = (repository.to_owned(), part.digest());
            stored.manifests.insert(key, entry);
        }
        let entry = (
            image.media_type.to_owned(),
            Bytes::from(image.bytes.clone()),
        );
        let key = (repository.to_owned(), tag.to_owned());
        stored.manifests.insert(key, entry);
        format!("{}/{repository}:{tag}", self.host())
    }

    /// Stores any bytes as a manifest.
    pub fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) {
        let entry = (media_type.to_owned(), Bytes::copy_from_slice(bytes));
        let mut stored = self.stored.lock().unwrap();
        let key = (repository.to_owned(), digest_of(bytes));
        stored.manifests.insert(key, entry.clone());
        let key = (repository.to_owned(), tag.to_owned());
        stored.manifests.insert(key, entry);
    }

    /// Stores a blob that belongs to no image.
    pub fn put_blob(&self, digest: &str, bytes: Bytes) {
        let mut stored = self.stored.lock().unwrap();
        stored.blobs.insert(digest.to_owned(), bytes);
    }

    /// Returns the bytes of a blob.
    pub fn blob(&self, digest: &str) -> Bytes {
        self.stored.lock().unwrap().blobs[digest].clone()
    }

    /// Removes a tag.
    pub fn untag(&self, repository: &str, tag: &str) {
        let mut stored = self.stored.lock().unwrap();
        let key = (repository.to_owned(), tag.to_owned());
        stored.manifests.remove(&key).unwrap();
    }

    /// Turns the referrers API on.
    pub fn with_referrers(&self) {
        self.stored.lock().unwrap().referrers = true;
    }

    /// From now on, answers the requests for which `fault` returns an answer with that.
    pub fn fault(&self, fault: impl Fn(&Asked) -> Option<Reply> + Send + 'static) {
        self.stored.lock().unwrap().fault = Some(Box::new(fault));
    }

    /// Removes the fault.
    pub fn heal(&self) {
        self.stored.lock().unwrap().fault = None;
    }

    /// Returns all requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.registry.asked()
    }

    /// Returns the bytes of blobs that were requested since request number `from`.
    pub fn blob_bytes_asked(&self, from: usize) -> u64 {
        let asked = self.asked();
        let stored = self.stored.lock().unwrap();
        let bytes = |asked: &Asked| {
            let digest = asked.path().split("/blobs/").nth(1)?;
            let whole = stored.blobs.get(digest)?.len();
            Some(whole.saturating_sub(asked.range_start()) as u64)
        };
        asked.iter().skip(from).filter_map(bytes).sum()
    }

    /// Returns a path in the account's home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.person.path(name)
    }

    /// Runs the program in the account.
    pub fn run(&self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Outcome {
        let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        self.person.run(args)
    }

    /// Returns the command that exports to a directory; `more` are references and flags.
    pub fn export_command(&self, to: &Path, more: &[&str]) -> Command {
        let mut command = self.person.command();
        command
            .args(["export", "--tls-verify=false", "--key", "exporter.pem"])
            .arg("--to")
            .arg(to)
            .args(more);
        command
    }

    /// Runs an export.
    pub fn export(&self, to: &Path, more: &[&str]) -> Outcome {
        Outcome::of(self.export_command(to, more))
    }

    /// Runs an export and returns its JSON result; asserts that it ends with `code`.
    #[track_caller]
    pub fn export_json(&self, to: &Path, more: &[&str], code: i32) -> Value {
        let mut command = self.export_command(to, more);
        command.args(["--output", "json"]);
        Outcome::of(command).fails_with(code).json()
    }

    /// Starts an export that a test will stop.
    pub fn start(&self, to: &Path, more: &[&str]) -> Child {
        self.export_command(to, more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Verifies a bundle with the account's key.
    pub fn verify(&self, bundle: &Path, more: &[&str]) -> Outcome {
        let mut command = self.person.command();
        command
            .args(["verify", "--trust", "exporter.pub"])
            .arg(bundle)
            .args(more);
        Outcome::of(command)
    }
}

impl Stored {
    fn answer(&self, asked: &Asked) -> Reply {
        let path = asked.path().strip_prefix("/v2/").unwrap_or_default();
        if let Some((_, digest)) = path.split_once("/blobs/") {
            return match self.blobs.get(digest) {
                Some(bytes) => Reply::range(asked, bytes),
                None => Reply::error(404, "BLOB_UNKNOWN"),
            };
        }
        if let Some((repository, selector)) = path.split_once("/manifests/") {
            let key = (repository.to_owned(), selector.to_owned());
            return match self.manifests.get(&key) {
                Some((media_type, bytes)) => Reply::new(200)
                    .header("content-type", media_type)
                    .header("content-length", bytes.len())
                    .header("docker-content-digest", digest_of(bytes))
                    .body(bytes.clone()),
                None => Reply::error(404, "MANIFEST_UNKNOWN"),
            };
        }
        match path.split_once("/referrers/") {
            Some((repository, subject)) if self.referrers => self.referrers(repository, subject),
            _ => Reply::new(404).body("404 page not found"),
        }
    }

    fn referrers(&self, repository: &str, subject: &str) -> Reply {
        let refers = |((place, name), (media_type, bytes)): (&(String, String), &(_, Bytes))| {
            let document: Value = serde_json::from_slice(bytes).ok()?;
            let by_digest = name.starts_with("sha256:");
            let found =
                place == repository && by_digest && document["subject"]["digest"] == subject;
            let media_type: &String = media_type;
            found.then(|| json!({ "mediaType": media_type, "digest": name, "size": bytes.len() }))
        };
        let manifests: Vec<Value> = self.manifests.iter().filter_map(refers).collect();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
        let body = index.to_string();
        Reply::new(200)
            .header("content-type", media_type)
            .header("content-length", body.len())
            .body(body)
    }
}

/// Returns all files of a bundle with their bytes, except those in `signatures/`.
pub fn files(bundle: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for directory in ["", "chunks"] {
        for entry in fs::read_dir(bundle.join(directory)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let name = entry.file_name().into_string().unwrap();
                let path = format!("{directory}/{name}");
                files.insert(path, fs::read(entry.path()).unwrap());
            }
        }
    }
    files
}

/// Returns the number of bytes in all files of a bundle.
pub fn size(bundle: &Path) -> u64 {
    let all = crate::support::stage::files(bundle).into_iter();
    all.map(|file| fs::metadata(bundle.join(file)).unwrap().len())
        .sum()
}

/// Asserts that two bundles have the same files, except those in `signatures/`.
#[track_caller]
pub fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (files(a), files(b));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    for (name, bytes) in &a {
        assert!(b.get(name) == Some(bytes), "{name} differs");
    }
}

/// Returns true if a request reads the blob.
pub fn reads(asked: &Asked, digest: &str) -> bool {
    asked.method == http::Method::GET && asked.path().ends_with(&format!("/blobs/{digest}"))
}
