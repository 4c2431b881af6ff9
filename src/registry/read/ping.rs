//! Asks the root of a registry's API whether it is a registry and accepts our credentials.

use std::collections::HashSet;

use reqwest::Method;
use reqwest::header::{DATE, SERVER};

use crate::model::{Host, Repository};
use crate::registry::auth::Scopes;
use crate::registry::client::{Call, Client};
use crate::registry::error::{Error, Result};
use crate::registry::http::http_date;
use crate::registry::places::Endpoint;
use crate::registry::redact::{RedactedUrl, one_line};

/// The authentication that a registry asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication {
    /// None, for its root.
    None,
    /// A user name and a password.
    Basic,
    /// Tokens.
    Bearer,
}

/// The answer of a registry's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// The root of the API.
    pub url: RedactedUrl,
    /// True if the connection uses TLS.
    pub tls: bool,
    /// The authentication that it asked for; it accepted our credentials.
    pub authentication: Authentication,
    /// The `Server` header, if there is one.
    pub software: Option<String>,
    /// The server's time (`Date`), in seconds since 1970.
    pub date: Option<i64>,
}

impl Client {
    /// Asks a registry's root (`/v2/`); succeeds if it is reachable and grants access.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`] when it asks for other credentials; [`Error::Protocol`] when it is
    /// not a registry; connection errors.
    pub async fn ping(&self, host: &Host) -> Result<Ping> {
        let not_a_name = |error: crate::model::NameError| Error::Protocol {
            url: RedactedUrl::of_authority("https", host.as_str()),
            reason: error.to_string(),
        };
        // Without scopes the path is not used.
        let path = "ping".parse().map_err(not_a_name)?;
        self.ping_for(&Repository::new(host.clone(), path)).await
    }

    /// Asks the root of a repository's registry, with the settings for that repository
    /// (`insecure`, `blocked`), without mirrors and rewrites.
    ///
    /// # Errors
    ///
    /// As for [`ping`](Self::ping); [`Error::Blocked`].
    pub async fn ping_for(&self, repository: &Repository) -> Result<Ping> {
        self.ping_at(&self.own_place(repository)).await
    }

    /// Pings the registries of repositories, after rewrites, and returns the error of the first
    /// one that is unreachable. Blocked registries are not asked.
    pub async fn first_unreachable<'r>(
        &self,
        repositories: impl IntoIterator<Item = &'r Repository>,
    ) -> Option<Error> {
        let mut asked = HashSet::new();
        for repository in repositories {
            let Ok(place) = self.source_place(repository) else {
                continue;
            };
            if !asked.insert(place.repository.host.clone()) {
                continue;
            }
            match self.ping_at(&place).await {
                Err(error) if error.is_network() => return Some(error),
                _ => {}
            }
        }
        None
    }

    async fn ping_at(&self, place: &Endpoint) -> Result<Ping> {
        let what = place.repository.host.to_string();
        self.retry(what, || self.ping_once(place)).await
    }

    async fn ping_once(&self, place: &Endpoint) -> Result<Ping> {
        let base = self.base(place).await?;
        let scopes = Scopes::default();
        let call = Call::new(place, &scopes, Method::GET, base);
        let response = self.call(call).await?;
        if response.status() == 404 {
            return Err(response.unexpected("it is not a container registry (404)"));
        }
        if !response.status().is_success() {
            return Err(response.into_error().await);
        }
        Ok(Ping {
            url: response.shown(),
            tls: response.url().scheme() == "https",
            authentication: match self.auth().scheme(place) {
                Some("basic") => Authentication::Basic,
                Some(_) => Authentication::Bearer,
                None => Authentication::None,
            },
            software: response.text(SERVER).map(|text| one_line(text, 80)),
            date: response.text(DATE).and_then(http_date),
        })
    }
}
