//! Referrers of a manifest: signatures, SBOMs and other artifacts (distribution-spec, "Listing
//! Referrers" and "Referrers Tag Schema").

use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderValue};
use serde::Deserialize;

use super::manifest::Selector;
use super::paging::{PAGE_LIMIT, Pages, next_page};
use crate::model::{Descriptor, Digest, ManifestKind, MediaType, RawManifest, Repository, Tag};
use crate::registry::auth::RequestKind;
use crate::registry::client::{Call, Client, Reply};
use crate::registry::error::{Error, Result, chain};
use crate::registry::places::Endpoint;
use crate::registry::redact::RedactedUrl;

/// Maximum referrers read for one manifest.
const MOST_REFERRERS: usize = 10_000;

/// Maximum pages read of one list of referrers.
const MOST_REFERRER_PAGES: usize = 1_000;

/// How a registry listed the referrers of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferrersSource {
    /// With the referrers API.
    Api,
    /// With the index under the tag `sha256-<hex>`.
    FallbackTag,
    /// Neither: the registry has no API and no such index.
    None,
}

/// An artifact that refers to a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// The artifact's manifest.
    pub descriptor: Descriptor,
    /// Its artifact type, if the list gives one.
    pub artifact_type: Option<String>,
}

/// The referrers of a manifest. If there are no entries, the registry answered that there are
/// none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrers {
    /// The artifacts, in the registry's order.
    pub entries: Vec<Referrer>,
    /// How they were listed.
    pub source: ReferrersSource,
    /// The index that lists them, for [`ReferrersSource::FallbackTag`].
    pub index: Option<RawManifest>,
    /// The repository that listed them: the one requested, or a mirror of it.
    pub fetched_from: Repository,
    /// Why the registry refused to list them, if it did: then the entries are those of the
    /// fallback tag, and there may be more.
    pub refusal: Option<String>,
}

#[derive(Deserialize)]
struct IndexDocument {
    manifests: Vec<EntryDocument>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryDocument {
    media_type: String,
    digest: Digest,
    size: u64,
    artifact_type: Option<String>,
}

#[derive(Deserialize)]
struct SubjectDocument {
    subject: Option<SubjectEntry>,
}

#[derive(Deserialize)]
struct SubjectEntry {
    digest: Digest,
}

impl From<EntryDocument> for Referrer {
    fn from(entry: EntryDocument) -> Self {
        Self {
            descriptor: Descriptor {
                digest: entry.digest,
                size: entry.size,
                media_type: MediaType::new(entry.media_type),
                platform: None,
                urls: Vec::new(),
                describes: None,
            },
            artifact_type: entry.artifact_type,
        }
    }
}

impl Client {
    /// Returns the referrers of a manifest, from the first place that lists any.
    ///
    /// # Errors
    ///
    /// Failures that may pass (429, 5xx, no connection), if no place listed a referrer: "absent"
    /// is never a guess. If a registry refuses to list referrers, its fallback tag is read, and
    /// [`Referrers::refusal`] has the reason.
    pub async fn referrers(&self, repository: &Repository, digest: Digest) -> Result<Referrers> {
        let places = self.places(repository, true)?;
        let asked = self.first_place(repository, &places, |place, _| async move {
            let found = self.referrers_at(place, digest).await?;
            Ok(match found.entries.is_empty() {
                true => Reply::Empty(found),
                false => Reply::Settled(found),
            })
        });
        asked.await
    }

    async fn referrers_at(&self, place: &Endpoint, digest: Digest) -> Result<Referrers> {
        let refusal = match self.referrers_api(place, digest).await {
            Ok(Some(entries)) => {
                return Ok(Referrers {
                    entries,
                    source: ReferrersSource::Api,
                    index: None,
                    fetched_from: place.repository.clone(),
                    refusal: None,
                });
            }
            Ok(None) => None,
            Err(error) if is_refusal(&error) => Some(chain(&error)),
            Err(error) => return Err(error),
        };
        let by_tag = self.referrers_by_tag(place, digest).await?;
        Ok(Referrers { refusal, ..by_tag })
    }

    /// Returns the referrers that the fallback tag lists.
    async fn referrers_by_tag(&self, place: &Endpoint, digest: Digest) -> Result<Referrers> {
        let (entries, source, index) = match self.referrers_tag(place, digest).await? {
            Some((index, entries)) => (entries, ReferrersSource::FallbackTag, Some(index)),
            None => (Vec::new(), ReferrersSource::None, None),
        };
        Ok(Referrers {
            entries,
            source,
            index,
            fetched_from: place.repository.clone(),
            refusal: None,
        })
    }

    /// Returns the referrers that the fallback tag of a repository lists, for a registry that is
    /// known to have no referrers API. Mirrors are not asked.
    ///
    /// # Errors
    ///
    /// Every failure but a clear "not found".
    pub async fn referrers_without_api(
        &self,
        repository: &Repository,
        digest: Digest,
    ) -> Result<Referrers> {
        let place = self.own_place(repository);
        self.referrers_by_tag(&place, digest).await
    }

    /// Returns the index under the tag `sha256-<hex>` of a repository, whether or not its
    /// registry has the referrers API. Mirrors are not asked. `None` if there is no list of
    /// referrers: such a tag may be an image's, and counts as a list only if all its existing
    /// entries have this subject.
    ///
    /// # Errors
    ///
    /// Every failure but a clear "not found".
    pub async fn referrers_index(
        &self,
        repository: &Repository,
        subject: Digest,
    ) -> Result<Option<RawManifest>> {
        let place = self.own_place(repository);
        let found = self.referrers_tag(&place, subject).await?;
        // An empty index may be something else than a list of referrers.
        let listing = found.filter(|(_, entries)| !entries.is_empty());
        Ok(listing.map(|(index, _)| index))
    }

    /// `None` if the registry has no referrers API.
    async fn referrers_api(
        &self,
        place: &Endpoint,
        digest: Digest,
    ) -> Result<Option<Vec<Referrer>>> {
        let mut url = self.url(place, &format!("referrers/{digest}")).await?;
        let mut entries = Vec::new();
        let mut pages = Pages::default();
        for page in 0..MOST_REFERRER_PAGES {
            pages.visit(&url)?;
            let (found, next) = match self.referrers_page(place, &url, digest).await {
                Ok(answer) => answer,
                Err(error) if error.is_not_found() && page == 0 => return Ok(None),
                Err(error) => return Err(error),
            };
            pages.count(&url, found.len())?;
            entries.extend(found);
            match next {
                _ if entries.len() > MOST_REFERRERS => break,
                Some(next) => url = next,
                None => return Ok(Some(entries)),
            }
        }
        Err(Error::Protocol {
            url: (&url).into(),
            reason: format!(
                "there are more than {MOST_REFERRERS} referrers, or {MOST_REFERRER_PAGES} pages of \
                 them"
            ),
        })
    }

    async fn referrers_page(
        &self,
        place: &Endpoint,
        url: &url::Url,
        digest: Digest,
    ) -> Result<(Vec<Referrer>, Option<url::Url>)> {
        let scopes = self.read_scopes(place);
        let what = format!("referrers of {}@{digest}", place.repository);
        let asked = self.retry(what, || async {
            let call = Call::new(place, &scopes, Method::GET, url.clone())
                .kind(RequestKind::Referrers)
                .header(ACCEPT, HeaderValue::from_static(MediaType::OCI_INDEX));
            match self.read_referrers(call).await {
                // Elsewhere 501 counts as a failure that may pass; here it means that there is no
                // such API.
                Err(error) if is_refusal(&error) => Ok(Err(error)),
                answered => answered.map(Ok),
            }
        });
        asked.await?
    }

    async fn read_referrers(&self, call: Call<'_>) -> Result<(Vec<Referrer>, Option<url::Url>)> {
        let response = self.call(call).await?;
        if !response.status().is_success() {
            return Err(response.into_error().await);
        }
        let next = next_page(&response)?;
        let not_understood = response.unexpected("it is no list of referrers");
        let body = response.read(PAGE_LIMIT).await?;
        let page: IndexDocument = serde_json::from_slice(&body).map_err(|_| not_understood)?;
        let entries = page.manifests.into_iter().map(Referrer::from).collect();
        Ok((entries, next))
    }

    /// `None` if there is no such tag, or if its content is not a list of referrers: other tools
    /// give such tags to images that have no tag.
    async fn referrers_tag(
        &self,
        place: &Endpoint,
        digest: Digest,
    ) -> Result<Option<(RawManifest, Vec<Referrer>)>> {
        let name = format!("{}-{}", Digest::ALGORITHM, digest.hex());
        let tag: Tag = name.parse().map_err(|error| Error::Protocol {
            url: RedactedUrl::of_authority("https", place.repository.host.as_str()),
            reason: format!("{error}"),
        })?;
        let index = match self.manifest_at(place, &Selector::from(&tag), true).await {
            Ok(index) => index,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_index = index.media_type.manifest_kind() == Some(ManifestKind::Index);
        if !is_index || index.digest == digest {
            return Ok(None);
        }
        let Ok(document) = serde_json::from_slice::<IndexDocument>(&index.bytes) else {
            return Ok(None);
        };
        if document.manifests.len() > MOST_REFERRERS {
            return Ok(None);
        }
        for entry in &document.manifests {
            let selector = Selector::from(entry.digest);
            match self.manifest_at(place, &selector, true).await {
                Ok(manifest) if subject(&manifest) == Some(digest) => {}
                Ok(_) => return Ok(None),
                // An entry of the index may have been deleted; that says nothing about the index.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        let entries = document.manifests.into_iter().map(Referrer::from);
        Ok(Some((index, entries.collect())))
    }
}

/// True if the registry itself refuses to list referrers, so that a retry cannot help. Some
/// answer 400, 401, 403, 405, 406 or 501, or an HTML page, where the specification requires 404.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::Protocol { .. } | Error::TooLong { .. } | Error::UntrustedRealm { .. } => true,
        Error::Status { status, .. } => *status == 501 || !error.is_network(),
        other => other
            .answer()
            .is_some_and(|answer| answer.status == 501 || !other.is_network()),
    }
}

fn subject(manifest: &RawManifest) -> Option<Digest> {
    let document: SubjectDocument = serde_json::from_slice(&manifest.bytes).ok()?;
    document.subject.map(|subject| subject.digest)
}
