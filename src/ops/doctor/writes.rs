//! Tries out what a target takes, in up to three repositories of its own, and removes what it can.

use std::collections::BTreeMap;

use super::images::{Blob, Images};
use super::report::Report;
use super::request::{Request, TargetRequest};
use crate::error::{Class, Error, Result, chain};
use crate::model::{ByteSize, Count, Digest, Fact, RawManifest, Repository, Tag};
use crate::ops::context::Context;
use crate::plan::naming::Target;
use crate::registry::{self, Client, Mount, Removal, Selector};

/// Name of the repository below the namespace.
const NAME: &str = "airferry-doctor";

/// Bytes of the blob that is sent in one request: the most that an import sends so.
const WHOLE: usize = 32 << 20;

/// Bytes of the blob that is sent in pieces, and of each piece.
const IN_PIECES: usize = 12 << 20;
const PIECE: usize = 5 << 20;

/// Returns the repository in which writes are tried.
pub(super) fn repository(target: &Target) -> std::result::Result<Repository, String> {
    named(target, NAME)
}

fn named(target: &Target, name: &str) -> std::result::Result<Repository, String> {
    let path = match &target.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    let path = path.parse().map_err(|error| format!("{error}"))?;
    Ok(Repository::new(target.host.clone(), path))
}

/// Returns the repositories into which a probe writes.
pub fn planned_repositories(target: &Target) -> Vec<String> {
    let names = [
        NAME.to_owned(),
        format!("{NAME}-mount"),
        format!("{NAME}-deep/a/b"),
    ];
    names
        .iter()
        .filter_map(|name| named(target, name).ok())
        .map(|repository| repository.to_string())
        .collect()
}

/// Returns about how many bytes a probe sends.
pub fn size_of_probe() -> ByteSize {
    ByteSize((WHOLE + IN_PIECES) as u64)
}

/// Tries everything out, and removes what can be removed, also after an interruption.
pub(super) async fn check(
    request: &Request,
    wanted: &TargetRequest,
    report: &mut Report,
    context: &Context,
) -> Result<()> {
    let place = |name: &str| named(&wanted.target, name).map_err(Error::usage);
    let mut probe = Probe {
        client: &request.client,
        repository: place(NAME)?,
        mounted: place(&format!("{NAME}-mount"))?,
        deep: place(&format!("{NAME}-deep/a/b"))?,
        nonce: &wanted.nonce,
        blobs: Vec::new(),
        manifests: Vec::new(),
        tags: Vec::new(),
        report,
    };
    let done = tokio::select! {
        () = probe.all() => Ok(()),
        () = context.cancel.cancelled() => Err(Error::interrupted()),
    };
    probe.remove_all().await;
    if done.is_err() {
        for left in &report.leftovers {
            context.warn(format!("left on the target: {left}"));
        }
    }
    done
}

struct Probe<'a> {
    client: &'a Client,
    repository: Repository,
    mounted: Repository,
    deep: Repository,
    nonce: &'a str,
    /// What was written, or may have been.
    blobs: Vec<(Repository, Digest, u64)>,
    manifests: Vec<(Repository, Digest)>,
    tags: Vec<Tag>,
    report: &'a mut Report,
}

/// Reads an answer: it works, it does not with the registry's words, or that is unknown.
fn judged<T>(answer: &registry::Result<T>) -> (Option<bool>, Option<String>) {
    match answer {
        Ok(_) => (Some(true), None),
        Err(error) => {
            // A server's failure after all retries counts as a refusal if the registry answered:
            // distribution 2.8 refuses some manifests with status 500.
            let refused = error
                .answer()
                .is_some_and(|answer| !matches!(answer.status, 401 | 408 | 425 | 429 | 502..=504));
            (refused.then_some(false), Some(chain(error)))
        }
    }
}

/// True if a registry refused a repository for its name.
fn is_about_name<T>(answer: &registry::Result<T>) -> bool {
    let refusal = answer.as_ref().err().and_then(registry::Error::answer);
    refusal.is_some_and(|answer| {
        let named = |code: &str| answer.code.as_deref() == Some(code);
        named("NAME_INVALID") || (answer.status == 404 && !named("BLOB_UNKNOWN"))
    })
}

impl Probe<'_> {
    async fn all(&mut self) {
        let images = Images::new(self.nonce);
        if !self.push_right(&images).await {
            return;
        }
        self.uploads().await;
        self.mount(&images.config).await;
        self.depth(&images.config).await;
        let named = |end: &str| format!("probe-{}{end}", self.nonce);
        let tries = [
            (Fact::OciManifest, named("-oci"), &images.oci),
            (Fact::DockerManifest, named("-docker"), &images.docker),
            (Fact::OciIndex, named("-index"), &images.oci_index),
            (Fact::DockerList, named("-list"), &images.docker_list),
            (Fact::SparseIndex, named("-sparse"), &images.sparse),
            (Fact::Artifact, named("-artifact"), &images.artifact),
        ];
        for (fact, tag, manifest) in tries {
            self.manifest(fact, &tag, manifest).await;
        }
        self.subject(&images).await;
        self.moves(&images).await;
    }

    /// Sends the blobs that all manifests need.
    async fn push_right(&mut self, images: &Images) -> bool {
        for blob in [&images.config, &images.layer] {
            let sent = self.send(blob, None).await;
            if let Err(error) = &sent {
                let (known, words) = judged(&sent);
                let known = known.or(error.is_hidden().then_some(false));
                if known == Some(false) {
                    self.report.fact(Fact::Push, known, words);
                } else {
                    let hint = error.hint();
                    let subject = "probe of writes";
                    self.report
                        .problem(Class::Target, subject, chain(error), hint);
                }
                return false;
            }
        }
        self.report.fact(Fact::Push, Some(true), None);
        true
    }

    async fn send(&mut self, blob: &Blob, piece: Option<usize>) -> registry::Result<()> {
        let repository = self.repository.clone();
        let size = blob.bytes.len() as u64;
        self.blobs.push((repository.clone(), blob.digest, size));
        let client = self.client;
        client
            .try_upload(&repository, &blob.digest, &blob.bytes, piece)
            .await
    }

    async fn uploads(&mut self) {
        let tries = [
            (Fact::UploadWhole, WHOLE, None),
            (Fact::UploadPieces, IN_PIECES, Some(PIECE)),
        ];
        for (fact, size, piece) in tries {
            let blob = Blob::large(self.nonce, size);
            let sent = self.send(&blob, piece).await;
            let (mut known, mut words) = judged(&sent);
            if known == Some(true) {
                // Some proxies answer before the registry has the bytes.
                let (digest, size) = (blob.digest, size as u64);
                let there = self.client.blob_present(&self.repository, digest, size);
                if matches!(there.await, Ok(false)) {
                    known = Some(false);
                    words = Some("it answered that it has the blob, and does not".to_owned());
                }
            }
            self.report.fact(fact, known, words);
        }
        let refused = |fact| self.report.target.get(fact) == Some(false);
        if refused(Fact::UploadWhole) && refused(Fact::UploadPieces) {
            let found = "large blobs arrive neither in one request nor in pieces";
            self.report.problem(Class::Target, "uploads", found, None);
        }
    }

    async fn mount(&mut self, blob: &Blob) {
        let from = &self.repository.path;
        let size = blob.bytes.len() as u64;
        self.blobs.push((self.mounted.clone(), blob.digest, size));
        let asked = self.client.mount(&self.mounted, blob.digest, from).await;
        let (known, words) = match asked {
            Ok(Mount::Mounted) => {
                let there = self.client.blob_present(&self.mounted, blob.digest, size);
                match there.await {
                    Ok(true) => (Some(true), None),
                    Ok(false) => {
                        let words = "it answered that it has mounted the blob, and did not";
                        (Some(false), Some(words.to_owned()))
                    }
                    Err(error) => (None, Some(chain(&error))),
                }
            }
            Ok(Mount::Upload(_)) => {
                let words = "it wants the blob to be sent again";
                (Some(false), Some(words.to_owned()))
            }
            Err(error) => judged::<()>(&Err(error)),
        };
        self.report.fact(Fact::Mount, known, words);
    }

    /// Tries a repository three levels deeper, if the depth is not known from the software.
    async fn depth(&mut self, blob: &Blob) {
        if self.report.target.max_components.is_some() {
            return;
        }
        let deep = self.deep.clone();
        let size = blob.bytes.len() as u64;
        let client = self.client;
        self.blobs.push((deep.clone(), blob.digest, size));
        let sent = client.try_upload(&deep, &blob.digest, &blob.bytes, None);
        let sent = sent.await;
        // The depth that works for certain is that of the repository written before.
        let written = self.repository.path.components().count();
        match judged(&sent) {
            (Some(true), _) => {
                let found = format!("{} components work", deep.path.components().count());
                self.report.ok("nested repositories", found);
            }
            // Any other refusal may be about rights or quota, and one component alone proves little.
            (Some(false), words) if is_about_name(&sent) && written > 1 => {
                let works = written;
                self.report.target.max_components = u32::try_from(works).ok();
                self.report.note(
                    "nested repositories",
                    words.unwrap_or_default(),
                    Some(format!("import with `--max-components {works}`")),
                );
            }
            (_, words) => {
                let words = words.unwrap_or_default();
                self.report.unknown("nested repositories", words, None);
            }
        }
    }

    /// Pushes a manifest, and reads it back: an answer alone proves nothing.
    async fn push(&mut self, tag: Option<&Tag>, manifest: &RawManifest) -> registry::Result<bool> {
        let selector = tag.map_or_else(|| Selector::from(manifest.digest), Selector::from);
        let repository = &self.repository;
        self.manifests.push((repository.clone(), manifest.digest));
        if let Some(tag) = tag.filter(|tag| !self.tags.contains(tag)) {
            self.tags.push(tag.clone());
        }
        self.client
            .push_manifest(repository, &selector, manifest)
            .await?;
        let there = self.client.head_manifest(repository, &selector).await?;
        Ok(there.is_some_and(|there| there.value.digest == manifest.digest))
    }

    async fn manifest(&mut self, fact: Fact, tag: &str, manifest: &RawManifest) {
        let Ok(tag) = tag.parse::<Tag>() else {
            return;
        };
        let pushed = self.push(Some(&tag), manifest).await;
        let (known, words) = stored(&pushed);
        self.report.fact(fact, known, words);
    }

    /// Pushes a manifest with a subject, and looks for it in the list of referrers.
    async fn subject(&mut self, images: &Images) {
        let (known, words) = stored(&self.push(None, &images.subject).await);
        self.report.fact(Fact::Subject, known, words);
        let (repository, digest) = (self.repository.clone(), images.oci.digest);
        let client = self.client;
        let Ok(mut api) = client.referrers_api_there(&repository, digest, true).await else {
            return;
        };
        let mut words = None;
        if api == Some(true) && known == Some(true) {
            let listed = client.referrers(&repository, digest).await;
            let is_own =
                |entry: &registry::Referrer| entry.descriptor.digest == images.subject.digest;
            if listed.is_ok_and(|listed| !listed.entries.iter().any(is_own)) {
                api = Some(false);
                words = Some("it answers, and does not list the artifact just pushed".to_owned());
            }
        }
        self.report.fact(Fact::ReferrersApi, api, words);
    }

    /// Moves a tag, and asks for the image to which it pointed.
    async fn moves(&mut self, images: &Images) {
        let Ok(tag) = format!("probe-{}", self.nonce).parse::<Tag>() else {
            return;
        };
        let [first, second] = &images.moves;
        if !matches!(self.push(Some(&tag), first).await, Ok(true)) {
            return;
        }
        let (known, words) = stored(&self.push(Some(&tag), second).await);
        self.report.fact(Fact::TagsMove, known, words);
        if known != Some(true) {
            return;
        }
        let old = Selector::from(first.digest);
        let asked = self.client.head_manifest(&self.repository, &old).await;
        let (kept, words) = match asked {
            Ok(found) => (Some(found.is_some()), None),
            Err(error) if error.is_not_found() => (Some(false), None),
            Err(error) => (None, Some(chain(&error))),
        };
        self.report.fact(Fact::KeepsUntagged, kept, words);
    }

    /// Removes manifests, tags and blobs, and reports what is still there.
    async fn remove_all(&mut self) {
        let (mut manifests, mut tags) = (0_usize, 0_usize);
        // Indexes were pushed after their children.
        for (repository, digest) in self.manifests.drain(..).rev() {
            let selector = Selector::from(digest);
            let _ = self
                .client
                .remove(&repository, Removal::Manifest(&selector))
                .await;
            let there = self.client.head_manifest(&repository, &selector).await;
            manifests += usize::from(matches!(there, Ok(Some(_))));
        }
        for tag in self.tags.drain(..) {
            let selector = Selector::from(&tag);
            let there = self.client.head_manifest(&self.repository, &selector).await;
            if matches!(there, Ok(Some(_))) {
                let removal = Removal::Manifest(&selector);
                let _ = self.client.remove(&self.repository, removal).await;
                let there = self.client.head_manifest(&self.repository, &selector).await;
                tags += usize::from(matches!(there, Ok(Some(_))));
            }
        }
        let mut blobs: BTreeMap<Repository, (u64, u64)> = BTreeMap::new();
        for (repository, digest, size) in self.blobs.drain(..) {
            let _ = self
                .client
                .remove(&repository, Removal::Blob(&digest))
                .await;
            if matches!(
                self.client.blob_present(&repository, digest, size).await,
                Ok(true)
            ) {
                let (count, bytes) = blobs.entry(repository).or_default();
                *count += 1;
                *bytes = bytes.saturating_add(size);
            }
        }
        let left = &mut self.report.leftovers;
        for (count, what) in [(manifests, "manifest"), (tags, "tag")] {
            if count > 0 {
                let count = Count::of(count, what);
                left.push(format!("{count} in {}", self.repository));
            }
        }
        for (repository, (count, bytes)) in &blobs {
            left.push(format!(
                "{} ({}) in {repository}, until its garbage collection",
                Count::of(*count, "blob"),
                ByteSize(*bytes),
            ));
        }
        if self.report.target.get(Fact::Push) != Some(true) {
            return;
        }
        left.push(format!(
            "the repositories {}, {} and {}, where they were created and the registry keeps empty ones",
            self.repository, self.mounted, self.deep
        ));
    }
}

/// Reads the answer to a push that was read back.
fn stored(pushed: &registry::Result<bool>) -> (Option<bool>, Option<String>) {
    match pushed {
        Ok(false) => {
            let words = "it accepted the manifest, and does not have it";
            (Some(false), Some(words.to_owned()))
        }
        other => judged(other),
    }
}
