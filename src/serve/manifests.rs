//! Manifests: pull, push with all checks, and delete.

use std::collections::BTreeMap;

use http::{Response, StatusCode, header};
use hyper::body::Incoming;
use sha2::{Digest as _, Sha256};

use super::body;
use super::document::Document;
use super::handler::{Registry, RequestHead};
use super::response::{self, ApiError, Body, CONTENT_DIGEST, Code, OCI_SUBJECT, set};
use super::route::Selector;
use crate::model::{Digest, Limits, RawManifest, RepositoryPath, Tag};
use crate::sys::registry_store::{Referrer, Store, StoreError};

/// Maximum missing digests that an error lists; it always gives their number.
const NAMED: usize = 20;

fn unknown() -> ApiError {
    ApiError::new(Code::ManifestUnknown, "The repository has no such manifest")
}

/// A referrer's descriptor as it appears in the list of referrers.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferrerDescriptor<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, String>>,
}

impl Registry {
    /// GET and HEAD of a manifest. It is sent as it was pushed, regardless of `Accept`.
    pub(super) async fn manifest(
        &self,
        head: &RequestHead,
        name: RepositoryPath,
        selector: Selector,
    ) -> Result<Response<Body>, ApiError> {
        let is_head = head.is_head();
        let found = self.blocking(move |store| {
            let Some(digest) = resolve(store, &name, &selector)? else {
                return Ok(None);
            };
            if is_head {
                let info = store.manifest_info(&name, &digest)?;
                return Ok(info.map(|info| (digest, info.media_type, info.size, Vec::new())));
            }
            let manifest = store.manifest(&name, &digest)?;
            Ok(manifest.map(|manifest| {
                let size = manifest.bytes.len() as u64;
                (digest, manifest.media_type, size, manifest.bytes)
            }))
        });
        let (digest, media_type, size, bytes) = found.await?.ok_or_else(unknown)?;
        let mut response = response::full(StatusCode::OK, bytes);
        set(&mut response, header::CONTENT_LENGTH, size.to_string());
        set(&mut response, header::CONTENT_TYPE, media_type.as_str());
        set(&mut response, header::ETAG, format!("\"{digest}\""));
        set(&mut response, CONTENT_DIGEST, digest.to_string());
        Ok(response)
    }

    /// PUT of a manifest.
    pub(super) async fn put_manifest(
        &self,
        head: &RequestHead,
        name: RepositoryPath,
        selector: Selector,
        body: &mut Incoming,
    ) -> Result<Response<Body>, ApiError> {
        let bytes = body::collect(body, Limits::OCI_MANIFEST, self.idle_timeout).await?;
        let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
        let tag = match selector {
            Selector::Tag(tag) => Some(tag),
            Selector::Digest(expected) if expected == digest => None,
            Selector::Digest(expected) => {
                let actual = digest;
                return Err(StoreError::DigestMismatch { expected, actual }.into());
            }
        };
        let document =
            Document::parse(&bytes, head.header(header::CONTENT_TYPE)).map_err(|error| {
                let code = match error.is_about_media_type() {
                    true => Code::UnsupportedMediaType,
                    false => Code::ManifestInvalid,
                };
                ApiError::new(code, error.to_string())
            })?;
        let subject = document.subject;
        let referrer = match subject {
            Some(subject) => Some(referrer(subject, &document, &digest, bytes.len())?),
            None => None,
        };
        let manifest = RawManifest {
            digest,
            media_type: document.media_type.clone(),
            bytes,
        };
        let location = format!("/v2/{name}/manifests/{digest}");
        let accept_sparse = self.accept_sparse;
        let missing = self.blocking(move |store| {
            let missing = missing(store, &name, &document, accept_sparse)?;
            if missing.is_empty() {
                store.put_manifest(&name, &manifest, tag.as_ref(), referrer.as_ref())?;
            }
            Ok(missing)
        });
        let missing = missing.await?;
        if !missing.is_empty() {
            return Err(blobs_unknown(&missing));
        }
        let mut response = response::empty(StatusCode::CREATED);
        set(&mut response, header::LOCATION, location);
        set(&mut response, CONTENT_DIGEST, digest.to_string());
        if let Some(subject) = subject {
            set(&mut response, OCI_SUBJECT, subject.to_string());
        }
        Ok(response)
    }

    /// DELETE of a tag, or of a manifest with its tags.
    pub(super) async fn delete_manifest(
        &self,
        name: RepositoryPath,
        selector: Selector,
    ) -> Result<Response<Body>, ApiError> {
        let removed = self.blocking(move |store| match &selector {
            Selector::Tag(tag) => store.delete_tag(&name, tag),
            Selector::Digest(digest) => store.delete_manifest(&name, digest),
        });
        match removed.await? {
            true => Ok(response::empty(StatusCode::ACCEPTED)),
            false => Err(unknown()),
        }
    }
}

fn resolve(
    store: &Store,
    name: &RepositoryPath,
    selector: &Selector,
) -> Result<Option<Digest>, StoreError> {
    match selector {
        Selector::Digest(digest) => Ok(Some(*digest)),
        Selector::Tag(tag) => {
            let tag: &Tag = tag;
            store.resolve_tag(name, tag)
        }
    }
}

/// Returns the digests that the manifest refers to and the repository does not have.
fn missing(
    store: &Store,
    name: &RepositoryPath,
    document: &Document,
    accept_sparse: bool,
) -> Result<Vec<Digest>, StoreError> {
    let mut missing = Vec::new();
    for digest in &document.blobs {
        if store.blob_size(name, digest)?.is_none() {
            missing.push(*digest);
        }
    }
    if accept_sparse {
        return Ok(missing);
    }
    for digest in &document.children {
        if store.manifest_info(name, digest)?.is_none() {
            missing.push(*digest);
        }
    }
    for digest in &document.others {
        if store.blob_size(name, digest)?.is_none() && store.manifest_info(name, digest)?.is_none()
        {
            missing.push(*digest);
        }
    }
    Ok(missing)
}

fn blobs_unknown(missing: &[Digest]) -> ApiError {
    let named: Vec<_> = missing.iter().take(NAMED).collect();
    let message = "The manifest refers to blobs or manifests that the repository does not have";
    ApiError::new(Code::ManifestBlobUnknown, message)
        .detail(serde_json::json!({"missing": missing.len(), "digests": named}))
}

fn referrer(
    subject: Digest,
    document: &Document,
    digest: &Digest,
    size: usize,
) -> Result<Referrer, ApiError> {
    let descriptor = ReferrerDescriptor {
        media_type: document.media_type.as_str(),
        digest,
        size,
        artifact_type: document.artifact_type.as_deref(),
        annotations: document.annotations.as_ref(),
    };
    let descriptor =
        serde_json::to_vec(&descriptor).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(Referrer {
        subject,
        descriptor,
    })
}
