//! Where an image's manifests and blobs come from.

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

/// Pieces of a download that wait for the reader: at least 64 KiB each.
const QUEUE: usize = 16;

/// A registry's repository, or a bundle. Its calls block.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A repository of a registry, or mirrors of it.
    Registry {
        /// How to speak to it.
        client: Client,
        /// The repository.
        repository: Repository,
        /// What drives the downloads while the caller blocks.
        runtime: Handle,
        /// Who may stop it.
        cancel: CancellationToken,
    },
    /// A bundle that was verified but for its chunks' content, and its manifests.
    Bundle {
        /// The bundle.
        bundle: Arc<Bundle>,
        /// Its manifests.
        manifests: Arc<Manifests>,
        /// Where blobs are that a base carried; nowhere, when nobody has looked.
        elsewhere: Option<Arc<Elsewhere>>,
        /// Who may stop it.
        cancel: CancellationToken,
    },
}

/// Where blobs are that a bundle leaves out.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    client: Client,
    runtime: Handle,
    places: BTreeMap<Digest, Repository>,
}

impl Elsewhere {
    /// A registry, and the repositories in which blobs were found. To be called where a runtime
    /// runs, blocking threads included.
    pub(crate) fn new(client: Client, places: BTreeMap<Digest, Repository>) -> Self {
        Self {
            client,
            runtime: Handle::current(),
            places,
        }
    }
}

impl Source {
    /// A repository as a source. To be called where a runtime runs, blocking threads included.
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

    /// A bundle as a source.
    ///
    /// # Errors
    ///
    /// When its metadata chunks are damaged.
    pub(crate) fn bundle(bundle: Arc<Bundle>, cancel: CancellationToken) -> Result<Self> {
        let manifests = Arc::new(Manifests::read(&bundle)?);
        Ok(Self::Bundle {
            bundle,
            manifests,
            elsewhere: None,
            cancel,
        })
    }

    /// The same bundle, whose blobs that a base carried are read from a registry.
    #[must_use]
    pub(crate) fn completed_by(mut self, other: Elsewhere) -> Self {
        if let Self::Bundle { elsewhere, .. } = &mut self {
            *elsewhere = Some(Arc::new(other));
        }
        self
    }

    /// The same registry client or bundle, for another repository: a component of a release
    /// may lie elsewhere. In a bundle content is found by its digest alone.
    #[must_use]
    pub(crate) fn in_repository(&self, other: &Repository) -> Self {
        let mut source = self.clone();
        if let Self::Registry { repository, .. } = &mut source {
            *repository = other.clone();
        }
        source
    }

    /// The digest that a tag points to now. In a bundle nothing is found by tag.
    ///
    /// # Errors
    ///
    /// When there is no such tag, or it cannot be had.
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
                    unreachable(&format!("{repository}:{}", selector.as_str()), error)
                }),
            Self::Bundle { .. } => Err(Error::usage("A bundle is not asked by tag")),
        }
    }

    /// A manifest, verified.
    ///
    /// # Errors
    ///
    /// When there is none with this digest, or it cannot be had.
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
                    .map_err(|error| unreachable(&format!("{repository}@{digest}"), error))
            }
            Self::Bundle { manifests, .. } => manifests.get(digest).cloned().ok_or_else(|| {
                let message = format!("The bundle does not carry the manifest {digest}");
                Error::new(Class::Incomplete, message)
            }),
        }
    }

    /// A small blob whole, verified: a config.
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
        // Why it failed is known to the blob.
        let read = blob.by_ref().take(cap).read_to_end(&mut bytes);
        blob.finish()?;
        match read {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Error::internal("A blob cannot be read", error)),
        }
    }

    /// A blob as a stream; [`LayerBlob::finish`] tells whether it was the right one.
    ///
    /// # Errors
    ///
    /// When a bundle does not carry it. What a registry says comes while reading.
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
                elsewhere,
                cancel,
                ..
            } => {
                let known = elsewhere.as_ref().and_then(|elsewhere| {
                    let repository = elsewhere.places.get(&descriptor.digest)?;
                    Some((elsewhere, repository))
                });
                let origin = match known {
                    Some((elsewhere, repository)) => Origin::Download(download(
                        &elsewhere.client,
                        repository,
                        descriptor,
                        &elsewhere.runtime,
                    )),
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

/// Downloads in the background for as long as somebody listens.
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
            // Nobody listening means nobody to tell.
            let _ = send.send(Err(error)).await;
        }
    });
    Download {
        name,
        bytes: Box::new(blocking_reader(runtime.clone(), receive)),
        failure: None,
        _task: AbortOnDropHandle::new(task),
    }
}

/// A blob that a bundle carries.
fn stored(bundle: &Arc<Bundle>, digest: &Digest) -> Result<VerifiedBlob> {
    let place = bundle.inventory.blob(digest).map(|blob| &blob.place);
    let why = match place {
        Some(BlobPlace::Carried(carried)) => {
            return Ok(VerifiedBlob::new(Arc::clone(bundle), carried));
        }
        Some(BlobPlace::Omitted { origin }) => {
            let message = format!(
                "The bundle does not carry {digest}; the bundle {} did",
                origin.hex()
            );
            return Err(Error::new(Class::Incomplete, message)
                .hint("name the registry to which both were imported instead of the bundle"));
        }
        Some(BlobPlace::Missing { reason }) => format!("it is missing: {reason}"),
        Some(BlobPlace::Foreign { .. }) => "its media type forbids that".to_owned(),
        None => "it is not in the inventory".to_owned(),
    };
    let message = format!("The bundle does not carry {digest}: {why}");
    Err(Error::new(Class::Incomplete, message))
}

/// What it means that a registry does not give something.
fn unreachable(what: &str, error: registry::Error) -> Error {
    let class = match &error {
        registry::Error::NotFound { .. } => Class::Incomplete,
        registry::Error::DigestMismatch { .. } | registry::Error::SizeMismatch { .. } => {
            Class::VerificationFailed
        }
        _ => Class::Network,
    };
    Error::new(class, format!("{what} cannot be read")).caused_by(error)
}

/// A blob on its way, hashed as it is read.
pub(super) struct Blob {
    origin: Origin,
    digest: Digest,
    size: u64,
    hasher: BlobHasher,
    cancel: CancellationToken,
}

/// Where its bytes come from.
enum Origin {
    Download(Download),
    Stored(VerifiedBlob),
}

/// Receives what was downloaded.
struct Download {
    name: String,
    bytes: Box<dyn Read + Send>,
    failure: Option<Error>,
    /// The download; it is aborted when the reader is dropped.
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
            self.failure = Some(unreachable(&self.name, error));
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
            // Why reading failed, the next round knows.
            if let Ok(0) = self.read(&mut buffer) {
                break;
            }
        }
        let (found, length) = (self.hasher.clone().finish(), self.hasher.length());
        if found != self.digest || length != self.size {
            let message = format!(
                "The bytes of {} are not the ones that its digest names: {length} bytes of {found}",
                self.digest
            );
            return Err(Error::new(Class::VerificationFailed, message));
        }
        Ok(())
    }
}
