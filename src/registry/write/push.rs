//! Pushes manifests.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};

use crate::model::{Digest, RawManifest, Repository};
use crate::registry::auth::Scopes;
use crate::registry::client::{Call, Client};
use crate::registry::error::{Error, Result};
use crate::registry::http::Payload;
use crate::registry::places::Endpoint;
use crate::registry::read::{CONTENT_DIGEST, Selector};

/// The header by which a registry confirms that it lists the manifest as a referrer
/// (distribution-spec, "Pushing Manifests with Subject").
const SUBJECT: &str = "oci-subject";

/// A manifest that the registry has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedManifest {
    /// Its digest; the registry named the same one, or none.
    pub digest: Digest,
    /// True if the registry listed it as a referrer of its `subject`.
    pub subject_listed: bool,
}

impl Client {
    /// Pushes a manifest to a tag or digest of the target, byte for byte.
    ///
    /// # Errors
    ///
    /// [`Error::ContentUnknown`] when the target lacks content that the manifest refers to;
    /// [`Error::ManifestRejected`] when it refuses the manifest itself; [`Error::PushRefused`]
    /// when the account may not write there; [`Error::DigestMismatch`] when selector, manifest
    /// and answer disagree.
    pub async fn push_manifest(
        &self,
        repository: &Repository,
        selector: &Selector,
        manifest: &RawManifest,
    ) -> Result<PushedManifest> {
        let what = selector.within(repository);
        same_digest(&what, selector.digest(), manifest.digest)?;
        let place = self.own_place(repository);
        let sent = self.retry(&what, || self.push_once(&place, selector, manifest));
        sent.await
            .map_err(|error| rejected(error, &what).into_push_error(repository))
    }

    async fn push_once(
        &self,
        place: &Endpoint,
        selector: &Selector,
        manifest: &RawManifest,
    ) -> Result<PushedManifest> {
        let tail = format!("manifests/{}", selector.as_str());
        let url = self.url(place, &tail).await?;
        let scopes = Scopes::push(&place.repository.path);
        let media_type = HeaderValue::from_str(manifest.media_type.as_str());
        let media_type = media_type.map_err(|_| Error::Protocol {
            url: (&url).into(),
            reason: "the manifest's media type cannot be sent".to_owned(),
        })?;
        let call = Call::new(place, &scopes, Method::PUT, url)
            .header(CONTENT_TYPE, media_type)
            .payload(Payload::Bytes(Bytes::copy_from_slice(&manifest.bytes)));
        let response = self.call(call).await?;
        if !response.status().is_success() {
            return Err(response.into_error().await);
        }
        self.wrote_to(&place.repository);
        let named = response.text(CONTENT_DIGEST).and_then(|d| d.parse().ok());
        same_digest(&selector.within(&place.repository), named, manifest.digest)?;
        Ok(PushedManifest {
            digest: manifest.digest,
            subject_listed: response.headers().contains_key(SUBJECT),
        })
    }
}

fn same_digest(what: &str, expected: Option<Digest>, actual: Digest) -> Result<()> {
    match expected {
        Some(expected) if expected != actual => Err(Error::DigestMismatch {
            what: what.to_owned(),
            expected,
            actual,
        }),
        _ => Ok(()),
    }
}

/// Converts a refusal into what it means for a manifest.
fn rejected(error: Error, what: &str) -> Error {
    let reference = what.to_owned();
    match error {
        Error::NotFound { answer, .. } | Error::Refused { answer, .. }
            if answer.is("MANIFEST_BLOB_UNKNOWN")
                || answer.is("BLOB_UNKNOWN")
                || answer.is("MANIFEST_UNKNOWN") =>
        {
            Error::ContentUnknown {
                reference,
                digests: answer.digests.clone(),
                answer,
            }
        }
        Error::Refused { answer, .. } => Error::ManifestRejected { reference, answer },
        // distribution 2.8 answers so, with status 500, for layers that it does not allow.
        Error::Unavailable { answer, .. } if answer.is("UNKNOWN") => {
            Error::ManifestRejected { reference, answer }
        }
        other => other,
    }
}
