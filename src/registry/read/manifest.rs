//! Reads and verifies manifests, and reports the place from which each was read.

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::model::{
    Digest, Limits, ManifestKind, MediaType, RawManifest, Reference, Repository, Tag,
};
use crate::progress::Event;
use crate::registry::client::{Call, Client, Reply};
use crate::registry::error::{Error, Result};
use crate::registry::http::Response;
use crate::registry::places::Endpoint;
use crate::registry::redact::one_line;

/// The header with a manifest's digest.
pub(in crate::registry) const CONTENT_DIGEST: &str = "docker-content-digest";

/// Every manifest type, so that a registry has no reason to convert a manifest.
const ACCEPTED: [&str; 6] = [
    MediaType::OCI_MANIFEST,
    MediaType::OCI_INDEX,
    MediaType::DOCKER_MANIFEST,
    MediaType::DOCKER_LIST,
    MediaType::DOCKER_SCHEMA1,
    MediaType::DOCKER_SCHEMA1_UNSIGNED,
];

/// The tag or digest by which a manifest is requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    text: String,
    digest: Option<Digest>,
}

impl Selector {
    /// Returns the selector of a reference: its digest, else its tag, else `latest`.
    pub fn of(reference: &Reference) -> Self {
        Self {
            text: reference.selector(),
            digest: reference.digest,
        }
    }

    /// Returns the digest, if the selector is one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Returns the selector as it is written in URLs.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the reference of the manifest in `repository`, for messages.
    pub(in crate::registry) fn within(&self, repository: &Repository) -> String {
        let separator = if self.digest.is_some() { '@' } else { ':' };
        format!("{repository}{separator}{}", self.text)
    }
}

impl From<Digest> for Selector {
    fn from(digest: Digest) -> Self {
        Self {
            text: digest.to_string(),
            digest: Some(digest),
        }
    }
}

impl From<&Tag> for Selector {
    fn from(tag: &Tag) -> Self {
        Self {
            text: tag.to_string(),
            digest: None,
        }
    }
}

/// A value with the place from which it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched<T> {
    /// The value.
    pub value: T,
    /// The repository that had it: the one requested, or a mirror of it.
    pub fetched_from: Repository,
}

/// A registry's answer to HEAD of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    /// The manifest's digest.
    pub digest: Digest,
    /// Its `Content-Type`, if that is a manifest's.
    pub media_type: Option<MediaType>,
    /// Its size in bytes, if the registry gives it.
    pub size: Option<u64>,
}

impl Client {
    /// Fetches a manifest from the first place that has it.
    ///
    /// The bytes are verified against the selector's digest and the one that the registry names.
    /// A schema 1 manifest is returned with its media type and unverified (its digest covers less
    /// than its bytes); the caller must refuse it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when no place has it; [`Error::TooLong`] above 4 MiB;
    /// [`Error::DigestMismatch`]; connection errors.
    pub async fn manifest(
        &self,
        repository: &Repository,
        selector: &Selector,
    ) -> Result<Fetched<RawManifest>> {
        let places = self.places(repository, selector.digest.is_some())?;
        let asked = self.first_place(repository, &places, |place, last| async move {
            let value = self.manifest_at(place, selector, last).await?;
            self.remember_place(repository, place);
            Ok(Reply::Settled(Fetched {
                value,
                fetched_from: place.repository.clone(),
            }))
        });
        asked.await
    }

    /// Returns a manifest's digest without its content; `None` if no place has it.
    ///
    /// # Errors
    ///
    /// Every failure but a clear "not found".
    pub async fn head_manifest(
        &self,
        repository: &Repository,
        selector: &Selector,
    ) -> Result<Option<Fetched<ManifestHead>>> {
        let places = self.places(repository, selector.digest.is_some())?;
        let asked = self.first_place(repository, &places, |place, last| async move {
            Ok(Reply::Settled(Fetched {
                value: self.head_at(place, selector, last).await?,
                fetched_from: place.repository.clone(),
            }))
        });
        match asked.await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Fetches a manifest from one place.
    pub(super) async fn manifest_at(
        &self,
        place: &Endpoint,
        selector: &Selector,
        last: bool,
    ) -> Result<RawManifest> {
        let what = selector.within(&place.repository);
        let asked = self.retry_at(&what, last, || async {
            let response = self.ask_manifest(place, selector, Method::GET).await?;
            if !response.status().is_success() {
                return Err(response.into_error().await);
            }
            let named = match selector.digest {
                None => other_digest(&response),
                Some(_) => None,
            };
            let manifest = receive(response, &what, selector.digest).await?;
            if let Some(named) = named {
                let message = format!(
                    "{what}: the registry names this image {named}; airferry handles sha256 only \
                     and names it {}. References by the other digest do not find it",
                    manifest.digest
                );
                let progress = &self.http().settings().progress;
                progress.emit(Event::Warning { message });
            }
            Ok(manifest)
        });
        asked.await
    }

    async fn head_at(
        &self,
        place: &Endpoint,
        selector: &Selector,
        last: bool,
    ) -> Result<ManifestHead> {
        let what = selector.within(&place.repository);
        // The response must not outlive this request: it holds its admission, and the
        // next request would wait for one.
        let asked = self.retry_at(&what, last, || async {
            let response = self.ask_manifest(place, selector, Method::HEAD).await?;
            match response.status().as_u16() {
                200..=299 => Ok(named(&response)),
                // Some registries do not support HEAD, or fail only there.
                400 | 405 | 501 => Ok(None),
                _ => Err(response.into_error().await),
            }
        });
        let head = match asked.await {
            // The answer to HEAD has no body, so the reason comes with that to GET.
            Err(error) if error.is_hidden() => None,
            head => head?,
        };
        if let Some(head) = head {
            let actual = head.digest;
            return match selector.digest.filter(|expected| *expected != actual) {
                Some(expected) => Err(Error::DigestMismatch {
                    what,
                    expected,
                    actual,
                }),
                None => Ok(head),
            };
        }
        let manifest = self.manifest_at(place, selector, last).await?;
        Ok(ManifestHead {
            digest: manifest.digest,
            media_type: Some(manifest.media_type),
            size: u64::try_from(manifest.bytes.len()).ok(),
        })
    }

    async fn ask_manifest(
        &self,
        place: &Endpoint,
        selector: &Selector,
        method: Method,
    ) -> Result<Response> {
        let url = self
            .url(place, &format!("manifests/{}", selector.text))
            .await?;
        let scopes = self.read_scopes(place);
        let mut call = Call::new(place, &scopes, method, url);
        for accepted in ACCEPTED {
            call = call.header(ACCEPT, HeaderValue::from_static(accepted));
        }
        self.call(call).await
    }
}

/// Reads the headers of a response to HEAD; `None` without a digest.
fn named(response: &Response) -> Option<ManifestHead> {
    Some(ManifestHead {
        digest: response.text(CONTENT_DIGEST)?.parse().ok()?,
        media_type: content_type(response),
        size: response.content_length(),
    })
}

/// Returns the digest by which the registry names a manifest, if it is of another algorithm than
/// sha256, made fit for one line.
fn other_digest(response: &Response) -> Option<String> {
    let named = response.text(CONTENT_DIGEST)?.trim();
    let (algorithm, _) = named.split_once(':')?;
    (algorithm != "sha256").then(|| one_line(named, 150))
}

/// Reads and verifies a manifest.
async fn receive(response: Response, what: &str, expected: Option<Digest>) -> Result<RawManifest> {
    let named: Option<Digest> = response.text(CONTENT_DIGEST).and_then(|d| d.parse().ok());
    let served_as = content_type(&response);
    let url = response.shown();
    let bytes = response.read(Limits::OCI_MANIFEST).await?;
    let Some(media_type) = media_type(&bytes, served_as) else {
        return Err(Error::Protocol {
            url,
            reason: "it is not a manifest of a known type".to_owned(),
        });
    };
    let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
    if media_type.manifest_kind() != Some(ManifestKind::Schema1) {
        for expected in [expected, named].into_iter().flatten() {
            if expected != digest {
                return Err(Error::DigestMismatch {
                    what: what.to_owned(),
                    expected,
                    actual: digest,
                });
            }
        }
    }
    Ok(RawManifest {
        digest,
        media_type,
        bytes,
    })
}

/// Returns the `Content-Type` without parameters, if it is a manifest's.
fn content_type(response: &Response) -> Option<MediaType> {
    let text = response.text(CONTENT_TYPE)?;
    let text = text.split(';').next().unwrap_or(text).trim();
    let media_type = MediaType::new(text.to_ascii_lowercase());
    media_type.manifest_kind().map(|_| media_type)
}

/// The fields by which the types of manifests are told apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// Returns a manifest's media type: its own field, else the registry's header, else a guess from
/// its fields.
fn media_type(bytes: &[u8], served_as: Option<MediaType>) -> Option<MediaType> {
    let shape: Shape = serde_json::from_slice(bytes).ok()?;
    if let Some(own) = shape.media_type.filter(|own| !own.is_empty()) {
        let own = MediaType::new(own);
        return own.manifest_kind().map(|_| own);
    }
    if served_as.is_some() {
        return served_as;
    }
    let guess = if shape.manifests.is_some() {
        MediaType::OCI_INDEX
    } else if shape.config.is_some() {
        MediaType::OCI_MANIFEST
    } else if shape.fs_layers.is_some() {
        MediaType::DOCKER_SCHEMA1
    } else {
        return None;
    };
    Some(MediaType::new(guess))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifests_own_media_type_wins() {
        let served = |text: &str| Some(MediaType::new(text));
        let own = format!(r#"{{"mediaType":"{}"}}"#, MediaType::DOCKER_LIST);
        for (bytes, served, expected) in [
            (
                own.as_str(),
                served(MediaType::OCI_INDEX),
                Some(MediaType::DOCKER_LIST),
            ),
            (
                r#"{"mediaType":"text/x"}"#,
                served(MediaType::OCI_INDEX),
                None,
            ),
            (
                "{}",
                served(MediaType::DOCKER_MANIFEST),
                Some(MediaType::DOCKER_MANIFEST),
            ),
            (r#"{"manifests":[]}"#, None, Some(MediaType::OCI_INDEX)),
            (
                r#"{"config":{},"layers":[]}"#,
                None,
                Some(MediaType::OCI_MANIFEST),
            ),
            (r#"{"fsLayers":[]}"#, None, Some(MediaType::DOCKER_SCHEMA1)),
            ("{}", None, None),
            ("<html>", served(MediaType::OCI_MANIFEST), None),
        ] {
            let found = media_type(bytes.as_bytes(), served);
            assert_eq!(found.as_ref().map(MediaType::as_str), expected, "{bytes}");
        }
    }
}
