//! Parses a request's path into typed names. No other module uses an unparsed path.

use crate::model::{Digest, RepositoryPath, Tag};
use crate::sys::registry_store::UploadId;

use super::response::{ApiError, Code};

/// The tag or digest in a manifest's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selector {
    /// A tag.
    Tag(Tag),
    /// A digest.
    Digest(Digest),
}

/// The endpoint of a path (OCI distribution-spec, "Endpoints").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags(RepositoryPath),
    /// `/v2/<name>/manifests/<reference>`
    Manifest(RepositoryPath, Selector),
    /// `/v2/<name>/manifests/<reference>` whose reference is neither tag nor digest.
    BadReference(RepositoryPath),
    /// `/v2/<name>/blobs/<digest>`
    Blob(RepositoryPath, Digest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(RepositoryPath),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(RepositoryPath, UploadId),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(RepositoryPath, Digest),
}

/// Parses a path as received, without percent-decoding: no valid name needs it.
pub(super) fn route(path: &str) -> Result<Route, ApiError> {
    let unknown = || ApiError::new(Code::NotFound, "The registry has no such endpoint");
    let rest = match path {
        "/v2" | "/v2/" => return Ok(Route::Base),
        "/v2/_catalog" => return Ok(Route::Catalog),
        _ => path.strip_prefix("/v2/").ok_or_else(unknown)?,
    };
    let (before, last) = rest.rsplit_once('/').ok_or_else(unknown)?;
    let (name, verb) = before.rsplit_once('/').ok_or_else(unknown)?;
    match (verb, last) {
        ("tags", "list") => Ok(Route::Tags(repository(name)?)),
        ("manifests", reference) => {
            let name = repository(name)?;
            Ok(match selector(reference) {
                Some(selector) => Route::Manifest(name, selector),
                None => Route::BadReference(name),
            })
        }
        ("blobs", "uploads") => Ok(Route::Uploads(repository(name)?)),
        ("uploads", id) if name.ends_with("/blobs") => {
            let name = repository(name.strip_suffix("/blobs").unwrap_or_default())?;
            if id.is_empty() {
                return Ok(Route::Uploads(name));
            }
            let id = id.parse().map_err(|_| ApiError::upload_unknown())?;
            Ok(Route::Upload(name, id))
        }
        ("blobs", digest) => Ok(Route::Blob(repository(name)?, parse_digest(digest)?)),
        ("referrers", digest) => Ok(Route::Referrers(repository(name)?, parse_digest(digest)?)),
        _ => Err(unknown()),
    }
}

fn selector(text: &str) -> Option<Selector> {
    match text.contains(':') {
        true => text.parse().ok().map(Selector::Digest),
        false => text.parse().ok().map(Selector::Tag),
    }
}

/// Parses a repository name from the network.
pub(super) fn repository(text: &str) -> Result<RepositoryPath, ApiError> {
    text.parse().map_err(|error: crate::model::NameError| {
        ApiError::new(Code::NameInvalid, error.to_string())
    })
}

/// Parses a digest from the network.
pub(super) fn parse_digest(text: &str) -> Result<Digest, ApiError> {
    text.parse().map_err(|error: crate::model::DigestError| {
        ApiError::new(Code::DigestInvalid, error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryPath {
        text.parse().unwrap()
    }

    #[test]
    fn finds_the_endpoints() {
        let digest = Digest::from_bytes([7; 32]);
        let id = "0123456789abcdef0123456789abcdef";
        for (path, expected) in [
            ("/v2/".to_owned(), Route::Base),
            ("/v2/_catalog".to_owned(), Route::Catalog),
            ("/v2/a/b/tags/list".to_owned(), Route::Tags(name("a/b"))),
            (
                "/v2/a/manifests/v1.0".to_owned(),
                Route::Manifest(name("a"), Selector::Tag("v1.0".parse().unwrap())),
            ),
            (
                format!("/v2/a/manifests/{digest}"),
                Route::Manifest(name("a"), Selector::Digest(digest)),
            ),
            (
                "/v2/a/manifests/.x".to_owned(),
                Route::BadReference(name("a")),
            ),
            (
                "/v2/a/manifests/md5:00".to_owned(),
                Route::BadReference(name("a")),
            ),
            (
                format!("/v2/a/b/c/blobs/{digest}"),
                Route::Blob(name("a/b/c"), digest),
            ),
            ("/v2/a/blobs/uploads/".to_owned(), Route::Uploads(name("a"))),
            ("/v2/a/blobs/uploads".to_owned(), Route::Uploads(name("a"))),
            (
                format!("/v2/a/blobs/uploads/{id}"),
                Route::Upload(name("a"), id.parse().unwrap()),
            ),
            (
                format!("/v2/a/referrers/{digest}"),
                Route::Referrers(name("a"), digest),
            ),
            // Repositories may have the names of endpoints.
            (
                "/v2/blobs/uploads/manifests/x".to_owned(),
                Route::Manifest(name("blobs/uploads"), Selector::Tag("x".parse().unwrap())),
            ),
            ("/v2/tags/tags/list".to_owned(), Route::Tags(name("tags"))),
        ] {
            assert_eq!(route(&path).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn refuses_hostile_names() {
        let long = format!("/v2/{}/tags/list", "a".repeat(256));
        for path in [
            "/",
            "/v1/",
            "/v2//tags/list",
            "/v2/../tags/list",
            "/v2/a/../b/tags/list",
            "/v2/a%2fb/tags/list",
            "/v2/a/%2e%2e/tags/list",
            "/v2/A/tags/list",
            "/v2/_blobs/tags/list",
            "/v2/a/_uploads/tags/list",
            "/v2/a//tags/list",
            "/v2/a\\b/tags/list",
            "/v2/a/blobs/../../etc/passwd",
            "/v2/a/blobs/sha256:../../etc",
            "/v2/a/blobs/uploads/../../x",
            "/v2/a/blobs/uploads/ABCDEF6789abcdef0123456789abcdef",
            "/v2/a/referrers/latest",
            &long,
        ] {
            assert!(route(path).is_err(), "{path}");
        }
    }
}
