//! Lists of repositories, tags and referrers.

use http::{Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::handler::{Registry, RequestHead};
use super::response::{self, ApiError, Body, Code, OCI_FILTERS, set};
use crate::model::{Digest, Limits, MediaType, RepositoryPath};
use crate::sys::registry_store::{Store, StoreError};

/// Maximum bytes of descriptors in one answer: the spec's limit for manifests, less 1 KiB for the
/// rest of the document.
const REFERRERS_BYTES: usize = Limits::OCI_MANIFEST as usize - 1024;

/// The requested part of a list.
struct Page {
    count: Option<usize>,
    last: Option<String>,
}

impl Page {
    fn of(head: &RequestHead) -> Result<Self, ApiError> {
        let count = match head.query("n") {
            None => None,
            Some(text) => Some(
                text.parse()
                    .map_err(|_| ApiError::new(Code::PageInvalid, "`n` is not a number"))?,
            ),
        };
        let last = head.query("last");
        Ok(Self { count, last })
    }

    /// Returns the page of a sorted list, and true if more entries follow.
    fn cut<T: AsRef<str>>(&self, mut sorted: Vec<T>) -> (Vec<T>, bool) {
        if let Some(last) = &self.last {
            let after = sorted.partition_point(|item| item.as_ref() <= last.as_str());
            sorted.drain(..after);
        }
        let count = self.count.unwrap_or(usize::MAX);
        let more = count > 0 && sorted.len() > count;
        sorted.truncate(count);
        (sorted, more)
    }

    /// Returns the `Link` header to the entries after `last` (RFC 8288).
    fn link(&self, path: &str, last: &str, extra: Option<(&str, &str)>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(count) = self.count {
            query.append_pair("n", &count.to_string());
        }
        query.append_pair("last", last);
        if let Some((name, value)) = extra {
            query.append_pair(name, value);
        }
        format!("<{path}?{}>; rel=\"next\"", query.finish())
    }
}

#[derive(Serialize)]
struct TagList<'a> {
    name: &'a str,
    tags: Vec<String>,
}

#[derive(Serialize)]
struct RepositoryList {
    repositories: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferrersIndex {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Box<RawValue>>,
}

/// The field that the filter compares.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filtered {
    artifact_type: Option<String>,
}

fn document(value: &impl Serialize) -> Result<Response<Body>, ApiError> {
    let bytes = serde_json::to_vec(value).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(response::json(StatusCode::OK, bytes))
}

impl Registry {
    /// GET of `/v2/_catalog`.
    pub(super) async fn catalog(&self, head: &RequestHead) -> Result<Response<Body>, ApiError> {
        let page = Page::of(head)?;
        let all = self.blocking(|store| store.repositories()).await?;
        let all = all.iter().map(ToString::to_string).collect();
        let (repositories, more) = page.cut(all);
        let link = repositories
            .last()
            .filter(|_| more)
            .map(|last| page.link("/v2/_catalog", last, None));
        let mut response = document(&RepositoryList { repositories })?;
        if let Some(link) = link {
            set(&mut response, header::LINK, link);
        }
        Ok(response)
    }

    /// GET of a repository's tags.
    pub(super) async fn tags(
        &self,
        head: &RequestHead,
        name: RepositoryPath,
    ) -> Result<Response<Body>, ApiError> {
        let page = Page::of(head)?;
        let repository = name.clone();
        let all = self.blocking(move |store| match store.has_repository(&repository) {
            true => store.tags(&repository).map(Some),
            false => Ok(None),
        });
        let all = all.await?.ok_or_else(|| {
            ApiError::new(Code::NameUnknown, "The registry has no such repository")
        })?;
        let all = all.iter().map(ToString::to_string).collect();
        let (tags, more) = page.cut(all);
        let link = tags
            .last()
            .filter(|_| more)
            .map(|last| page.link(&format!("/v2/{name}/tags/list"), last, None));
        let name = name.as_str();
        let mut response = document(&TagList { name, tags })?;
        if let Some(link) = link {
            set(&mut response, header::LINK, link);
        }
        Ok(response)
    }

    /// GET of a manifest's referrers. An unknown subject has no referrers.
    pub(super) async fn referrers(
        &self,
        head: &RequestHead,
        name: RepositoryPath,
        subject: Digest,
    ) -> Result<Response<Body>, ApiError> {
        let page = Page::of(head)?;
        let filter = head.query("artifactType");
        let (repository, wanted) = (name.clone(), filter.clone());
        let (start, count) = (page.last.clone(), page.count.unwrap_or(usize::MAX));
        let collected = self.blocking(move |store| {
            let after = start.as_deref();
            collect(
                store,
                &repository,
                &subject,
                wanted.as_deref(),
                after,
                count,
            )
        });
        let (manifests, next) = collected.await?;
        let mut response = document(&ReferrersIndex {
            schema_version: 2,
            media_type: MediaType::OCI_INDEX,
            manifests,
        })?;
        set(&mut response, header::CONTENT_TYPE, MediaType::OCI_INDEX);
        if filter.is_some() {
            set(&mut response, OCI_FILTERS, "artifactType");
        }
        if let Some(last) = next {
            let extra = filter.as_deref().map(|filter| ("artifactType", filter));
            let path = format!("/v2/{name}/referrers/{subject}");
            set(
                &mut response,
                header::LINK,
                page.link(&path, &last.to_string(), extra),
            );
        }
        Ok(response)
    }
}

/// Returns one page of referrers, and its last entry if more follow.
fn collect(
    store: &Store,
    name: &RepositoryPath,
    subject: &Digest,
    wanted: Option<&str>,
    after: Option<&str>,
    count: usize,
) -> Result<(Vec<Box<RawValue>>, Option<Digest>), StoreError> {
    let mut page = Vec::new();
    let mut bytes = 0_usize;
    let mut last = None;
    for digest in store.referrers(name, subject)? {
        if after.is_some_and(|after| digest.to_string().as_str() <= after) {
            continue;
        }
        let Some(descriptor) = store.referrer(name, subject, &digest)? else {
            continue;
        };
        let damaged = |_| StoreError::Damaged { digest };
        let facts: Filtered = serde_json::from_slice(&descriptor).map_err(damaged)?;
        if wanted.is_some() && facts.artifact_type.as_deref() != wanted {
            continue;
        }
        bytes = bytes.saturating_add(descriptor.len()).saturating_add(1);
        // An entry larger than a page is a page of its own.
        if page.len() >= count || (bytes > REFERRERS_BYTES && !page.is_empty()) {
            return Ok((page, last));
        }
        page.push(serde_json::from_slice(&descriptor).map_err(damaged)?);
        last = Some(digest);
    }
    Ok((page, None))
}
