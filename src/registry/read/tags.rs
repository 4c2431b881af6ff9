//! Lists tags.

use std::collections::BTreeSet;

use reqwest::Method;
use serde::Deserialize;

use super::paging::{MOST_PAGES, PAGE_LIMIT, Pages, next_page};
use crate::model::{Repository, Tag};
use crate::registry::client::{Call, Client};
use crate::registry::error::{Error, Result};
use crate::registry::places::Endpoint;

/// Maximum tags read of one repository.
const MOST_TAGS: usize = 1_000_000;

/// Query with the number of tags per page.
const PAGE_TAGS: &str = "n=1000";

#[derive(Deserialize)]
struct Page {
    /// distribution writes `null` after the last tag was deleted.
    tags: Option<Vec<String>>,
}

impl Client {
    /// Returns all tags of a repository, sorted. Mirrors are not asked, because their lists may
    /// be incomplete.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such repository; [`Error::Protocol`] when a tag is
    /// not valid, or the list has no end.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>> {
        let place = self.source_place(repository)?;
        let mut url = self.url(&place, "tags/list").await?;
        url.set_query(Some(PAGE_TAGS));
        let mut tags = BTreeSet::new();
        let mut pages = Pages::default();
        for _ in 0..MOST_PAGES {
            pages.visit(&url)?;
            let (page, next) = self.tag_page(&place, &url).await?;
            pages.count(&url, page.len())?;
            for tag in page {
                let tag: Tag = tag.parse().map_err(|error| Error::Protocol {
                    url: (&url).into(),
                    reason: format!("{error}"),
                })?;
                tags.insert(tag);
            }
            match next {
                _ if tags.len() > MOST_TAGS => break,
                Some(next) => url = next,
                None => return Ok(tags.into_iter().collect()),
            }
        }
        Err(Error::Protocol {
            url: (&url).into(),
            reason: format!("there are more than {MOST_TAGS} tags or {MOST_PAGES} pages"),
        })
    }

    /// Returns false only if the registry clearly answers that it does not know the repository.
    /// Mirrors are not asked.
    ///
    /// # Errors
    ///
    /// When the registry cannot be asked at all. A refusal to list tags is not an error: the
    /// repository may exist.
    pub async fn repository_exists(&self, repository: &Repository) -> Result<bool> {
        let place = self.source_place(repository)?;
        let mut url = self.url(&place, "tags/list").await?;
        url.set_query(Some("n=1"));
        match self.tag_page(&place, &url).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) if error.is_network() => Err(error),
            Err(_) => Ok(true),
        }
    }

    async fn tag_page(
        &self,
        place: &Endpoint,
        url: &url::Url,
    ) -> Result<(Vec<String>, Option<url::Url>)> {
        let scopes = self.read_scopes(place);
        let what = format!("tags of {}", place.repository);
        let asked = self.retry(what, || async {
            let call = Call::new(place, &scopes, Method::GET, url.clone());
            let response = self.call(call).await?;
            if !response.status().is_success() {
                return Err(response.into_error().await);
            }
            let next = next_page(&response)?;
            let not_understood = response.unexpected("it is no list of tags");
            let body = response.read(PAGE_LIMIT).await?;
            let page: Page = serde_json::from_slice(&body).map_err(|_| not_understood)?;
            Ok((page.tags.unwrap_or_default(), next))
        });
        asked.await
    }
}
