//! Reads the manifests and blobs of an image from a registry or a bundle.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::bundle::open::Bundle;
use crate::bundle::read::{Manifests, VerifiedBlob};
use crate::error::{Class, Error, Result};
use crate::format::hash::BlobHasher;
use crate::image::blocking_reader;
use crate::image::walk::LayerBlob;
use crate::model::{BlobPlace, Descriptor, Digest, RawManifest, Repository};
use crate::registry::{self, Client, Selector};

/// Limit of downloaded pieces that wait for the reader; a piece has at least 64 KiB.
const QUEUE: usize = 16;

/// A registry's repository, or a bundle. Its methods block.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A repository of a registry, or mirrors of it.
    Registry {
        /// Client of the registry.
        client: Client,
        /// The repository.
        repository: Repository,
        /// Runtime that drives downloads while the caller blocks.
        runtime: Handle,
        /// Stops reading when cancelled.
        cancel: CancellationToken,
    },
    /// A bundle and its manifests. Everything but the content of its data chunks was verified.
    Bundle {
        /// The bundle.
        bundle: Arc<Bundle>,
        /// OCI manifests of the bundle.
        manifests: Arc<Manifests>,
        /// Locations of blobs that bases carried; `None` if they were not looked up.
        base_blobs: Option<Arc<BaseBlobs>>,
        /// Stops reading when cancelled.
        cancel: CancellationToken,
    },
}

/// Locations of the blobs that a bundle leaves out, because a base carried them.
#[derive(Debug)]
pub(crate) struct BaseBlobs {
    client: Client,
    runtime: Handle,
    places: BTreeMap<Digest, Repository>,
}

impl BaseBlobs {
    /// Takes a registry, and the repository in which each blob was found. Must be called in the
    /// context of a runtime; blocking threads have it.
    pub(crate) fn new(client: Client, places: BTreeMap<Digest, Repository>) -> Self {
        Self {
            client,
            runtime: Handle::current(),
            places,
        }
    }
}

impl Source {
    /// Makes a source of a repository. Must be called in the context of a runtime; blocking
    /// threads have it.
    pub(crate) fn registry(
        client: Client,
        repository: Repository,
        cancel: CancellationToken,
    ) -> Self {
        let runtime = Handle::current();
        Self::Registry {
            client,
            repository,
            runtime,
            cancel,
        }
    }

    /// Makes a source of a bundle, and reads its metadata chunks.
    ///
    /// # Errors
    ///
    /// When its metadata chunks are damaged.
    pub(crate) fn bundle(bundle: Arc<Bundle>, cancel: CancellationToken) -> Result<Self> {
        let manifests = Arc::new(Manifests::read(&bundle)?);
        Ok(Self::Bundle {
            bundle,
            manifests,
            base_blobs: None,
            cancel,
        })
    }

    /// Lets the source read blobs that a base carried from a registry. Only for bundles.
    #[must_use]
    pub(crate) fn with_base_blobs(mut self, other: BaseBlobs) -> Self {
        if let Self::Bundle { base_blobs, .. } = &mut self {
            *base_blobs = Some(Arc::new(other));
        }
        self
    }

    /// Returns a source for another repository with the same client or bundle: a component of a
    /// release may be in another repository. A bundle is unchanged, since it finds content by
    /// digest alone.
    #[must_use]
    pub(crate) fn in_repository(&self, other: &Repository) -> Self {
        let mut source = self.clone();
        if let Self::Registry { repository, .. } = &mut source {
            *repository = other.clone();
        }
        source
    }

    /// Returns the digest to which a tag or digest resolves now. Only for registries: a bundle
    /// finds nothing by tag.
    ///
    /// # Errors
    ///
    /// When there is no such tag, when it cannot be read, and for a bundle.
    pub(crate) fn resolve(&self, selector: &Selector) -> Result<Digest> {
        match self {
            Self::Registry {
                client,
                repository,
                runtime,
                ..
            } => runtime
                .block_on(client.manifest(repository, selector))
                .map(|fetched| fetched.value.digest)
                .map_err(|error| {
                    let what = format!("{repository}:{}", selector.as_str());
                    unreadable(&what, error, Class::Incomplete)
                }),
            Self::Bundle { .. } => Err(Error::usage(
                "A bundle cannot be read by tag; name a digest",
            )),
        }
    }

    /// Returns a verified manifest.
    ///
    /// # Errors
    ///
    /// When there is none with this digest, or it cannot be read.
    pub(crate) fn manifest(&self, digest: &Digest) -> Result<RawManifest> {
        match self {
            Self::Registry {
                client,
                repository,
                runtime,
                ..
            } => {
                let selector = Selector::from(*digest);
                runtime
                    .block_on(client.manifest(repository, &selector))
                    .map(|fetched| fetched.value)
                    .map_err(|error| {
                        unreadable(&format!("{repository}@{digest}"), error, Class::Incomplete)
                    })
            }
            Self::Bundle { manifests, .. } => manifests.get(digest).cloned().ok_or_else(|| {
                let message = format!("The bundle does not contain the manifest {digest}");
                Error::new(Class::Incomplete, message)
            }),
        }
    }

    /// Reads a small blob, such as a config, into memory and verifies it.
    ///
    /// # Errors
    ///
    /// As [`Self::blob`]; when it is longer than `cap` bytes, or has another digest.
    pub(crate) fn small_blob(&self, descriptor: &Descriptor, cap: u64) -> Result<Vec<u8>> {
        if descriptor.size > cap {
            let message = format!(
                "{} has {} bytes, more than the {cap} that are allowed",
                descriptor.digest, descriptor.size
            );
            return Err(Error::new(Class::VerificationFailed, message));
        }
        let mut blob = self.blob(descriptor)?;
        let mut bytes = Vec::new();
        // `finish` returns the cause of a failed read, so it comes first.
        let read = blob.by_ref().take(cap).read_to_end(&mut bytes);
        blob.finish()?;
        match read {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Error::internal("A blob cannot be read", error)),
        }
    }

    /// Opens a blob as a stream; [`LayerBlob::finish`] verifies its digest and size.
    ///
    /// # Errors
    ///
    /// When a bundle does not carry it. Errors of a registry occur only while reading.
    pub(super) fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        let (origin, cancel) = match self {
            Self::Registry {
                client,
                repository,
                runtime,
                cancel,
            } => {
                let download = download(client, repository, descriptor, runtime);
                (Origin::Download(download), cancel)
            }
            Self::Bundle {
                bundle,
                base_blobs,
                cancel,
                ..
            } => {
                let known = base_blobs.as_ref().and_then(|base_blobs| {
                    let repository = base_blobs.places.get(&descriptor.digest)?;
                    Some((base_blobs, repository))
                });
                let origin = match known {
                    // The registry to which the base was imported is the target of this import.
                    Some((bases, repository)) => Origin::Download(Download {
                        refusal: Class::Target,
                        ..download(&bases.client, repository, descriptor, &bases.runtime)
                    }),
                    None => Origin::Stored(stored(bundle, &descriptor.digest)?),
                };
                (origin, cancel)
            }
        };
        Ok(Blob {
            origin,
            digest: descriptor.digest,
            size: descriptor.size,
            hasher: BlobHasher::new(),
            cancel: cancel.clone(),
        })
    }
}

/// Starts a download in the background; it ends when the reader is dropped.
fn download(
    client: &Client,
    repository: &Repository,
    descriptor: &Descriptor,
    runtime: &Handle,
) -> Download {
    let name = format!("{repository}@{}", descriptor.digest);
    let (send, receive) = mpsc::channel::<registry::Result<_>>(QUEUE);
    let (client, repository) = (client.clone(), repository.clone());
    let (digest, size) = (descriptor.digest, descriptor.size);
    let task = runtime.spawn(async move {
        let feed = async {
            let mut download = client.blob(&repository, digest, size, 0).await?;
            while let Some(piece) = download.next().await? {
                if send.send(Ok(piece)).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        if let Err(error) = feed.await {
            // A closed channel means that the reader is gone: the error is dropped.
            let _ = send.send(Err(error)).await;
        }
    });
    Download {
        name,
        bytes: Box::new(blocking_reader(runtime.clone(), receive)),
        failure: None,
        refusal: Class::Incomplete,
        _task: AbortOnDropHandle::new(task),
    }
}

/// Opens a blob that a bundle carries.
fn stored(bundle: &Arc<Bundle>, digest: &Digest) -> Result<VerifiedBlob> {
    let place = bundle.inventory.blob(digest).map(|blob| &blob.place);
    let why = match place {
        Some(BlobPlace::Carried(carried)) => {
            return Ok(VerifiedBlob::new(Arc::clone(bundle), carried));
        }
        Some(BlobPlace::Omitted { origin }) => {
            let message = format!(
                "{digest} is not in this bundle; it is in its base, the bundle {}",
                origin.hex()
            );
            return Err(Error::new(Class::Incomplete, message)
                .hint("read from the registry to which both bundles were imported"));
        }
        Some(BlobPlace::Missing { reason }) => format!("it is missing: {reason}"),
        Some(BlobPlace::Foreign { .. }) => "its media type forbids that".to_owned(),
        None => "it is not in the inventory".to_owned(),
    };
    let message = format!("The bundle does not contain {digest}: {why}");
    Err(Error::new(Class::Incomplete, message))
}

/// The error for content that a registry does not deliver. Refusals of a source are
/// [`Class::Incomplete`], as "not found" is: some registries answer 403 for what they do not have.
fn unreadable(what: &str, error: registry::Error, refusal: Class) -> Error {
    let class = match &error {
        registry::Error::DigestMismatch { .. } | registry::Error::SizeMismatch { .. } => {
            Class::VerificationFailed
        }
        registry::Error::NotFound { .. } => Class::Incomplete,
        error if error.is_network() => Class::Network,
        _ => refusal,
    };
    let hint = error.hint();
    let failed = Error::new(class, format!("{what} cannot be read")).caused_by(error);
    hint.into_iter().fold(failed, Error::hint)
}

/// A blob that is being read, and hashed at the same time.
pub(super) struct Blob {
    origin: Origin,
    digest: Digest,
    size: u64,
    hasher: BlobHasher,
    cancel: CancellationToken,
}

/// Origin of a blob's bytes.
enum Origin {
    Download(Download),
    Stored(VerifiedBlob),
}

/// Receives the bytes of a download.
struct Download {
    name: String,
    bytes: Box<dyn Read + Send>,
    failure: Option<Error>,
    /// The class of a refusal by the registry.
    refusal: Class,
    /// The task that downloads; aborted when the reader is dropped.
    _task: AbortOnDropHandle<()>,
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer).map_err(|error| {
            let error = match error.downcast::<registry::Error>() {
                Ok(error) => error,
                Err(other) => return other,
            };
            let told = io::Error::other(error.to_string());
            self.failure = Some(unreadable(&self.name, error, self.refusal));
            told
        })
    }
}

impl Blob {
    fn take_failure(&mut self) -> Option<Error> {
        match &mut self.origin {
            Origin::Download(download) => download.failure.take(),
            Origin::Stored(stored) => stored.take_failure(),
        }
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("interrupted"));
        }
        let read = match &mut self.origin {
            Origin::Download(download) => download.read(buffer),
            Origin::Stored(stored) => stored.read(buffer),
        }?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

impl LayerBlob for Blob {
    fn finish(&mut self) -> Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            if self.cancel.is_cancelled() {
                return Err(Error::interrupted());
            }
            if let Some(error) = self.take_failure() {
                return Err(error);
            }
            // After a failed read, the next iteration returns its cause.
            if let Ok(0) = self.read(&mut buffer) {
                break;
            }
        }
        let (found, length) = (self.hasher.clone().finish(), self.hasher.length());
        if found != self.digest || length != self.size {
            let message = format!(
                "{} is damaged: read {length} bytes with the digest {found}",
                self.digest
            );
            return Err(Error::new(Class::VerificationFailed, message));
        }
        Ok(())
    }
}
