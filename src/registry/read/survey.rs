//! Reads what can be learnt about a registry without changing it: its software, the rights that a
//! token grants, its repositories, and whether it lists referrers.

use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderValue, SERVER};
use serde_json::Value;

use super::ping::Authentication;
use crate::model::{Digest, MediaType, Repository};
use crate::registry::auth::{Purpose, PushGrant, RequestKind, Scopes};
use crate::registry::client::{Call, Client};
use crate::registry::error::{Error, Result};
use crate::registry::http::{Payload, Request};
use crate::registry::places::Endpoint;
use crate::registry::redact::one_line;

/// Maximum bytes read of a page that tells a registry's software, or of a list of repositories.
const PAGE: u64 = 4 << 20;

/// The softwares that differ in what a target must be prepared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Known {
    /// Docker Hub.
    DockerHub,
    /// Harbor.
    Harbor,
    /// OpenShift's internal registry.
    OpenShift,
    /// Pulp, also in Red Hat Satellite.
    Pulp,
    /// Quay, also as mirror registry for Red Hat OpenShift.
    Quay,
    /// zot.
    Zot,
}

/// What a registry tells about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Software {
    /// A name for people, if it tells one.
    pub name: Option<String>,
    /// The software, if it is one that this module recognises.
    pub known: Option<Known>,
    /// The authentication that it asks for; it accepted the credentials.
    pub authentication: Authentication,
    /// True if the connection uses TLS.
    pub tls: bool,
    /// The server's time, in seconds since 1970.
    pub date: Option<i64>,
}

impl Client {
    /// Asks a registry's root, and pages on which some softwares name themselves. The pages are
    /// asked without credentials.
    ///
    /// # Errors
    ///
    /// As for [`ping_for`](Self::ping_for). A page that does not answer says nothing.
    pub async fn software(&self, repository: &Repository) -> Result<Software> {
        let ping = self.ping_for(repository).await?;
        let place = self.own_place(repository);
        let mut found = Software {
            name: ping.software,
            known: None,
            authentication: ping.authentication,
            tls: ping.tls,
            date: ping.date,
        };
        if matches!(
            repository.host.as_str(),
            "docker.io" | "registry-1.docker.io"
        ) {
            found.known = Some(Known::DockerHub);
            found.name = Some("Docker Hub".to_owned());
            return Ok(found);
        }
        let realm = self.auth().realm(&place).unwrap_or_default();
        if realm.ends_with("/openshift/token") {
            found.known = Some(Known::OpenShift);
            found.name = Some("OpenShift image registry".to_owned());
            return Ok(found);
        }
        for (page, read) in PAGES {
            let Some(document) = self.page(&place, page).await else {
                continue;
            };
            if let Some((known, version)) = read(&document) {
                let version = version.map(|v| one_line(&v, 40));
                let name = format!("{known:?} {}", version.unwrap_or_default());
                found.known = Some(known);
                found.name = Some(name.trim_end().to_owned());
                return Ok(found);
            }
        }
        if found.name.is_none() && self.names_distribution(&place).await {
            found.name = Some("distribution, or a registry like it".to_owned());
        }
        Ok(found)
    }

    /// Reads a JSON page of the registry's host without credentials.
    async fn page(&self, place: &Endpoint, path: &str) -> Option<Value> {
        let url = self.base(place).await.ok()?.join(path).ok()?;
        let request = Request::new(Method::GET, &url, self.is_insecure(place));
        let sent = self
            .http()
            .send_following_redirects(&request, None, Payload::Empty);
        let response = sent.await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        serde_json::from_slice(&response.read(PAGE).await.ok()?).ok()
    }

    /// True if the root names the API as distribution does, and no server.
    async fn names_distribution(&self, place: &Endpoint) -> bool {
        let Ok(base) = self.base(place).await else {
            return false;
        };
        let scopes = Scopes::default();
        let call = Call::new(place, &scopes, Method::GET, base);
        self.call(call).await.is_ok_and(|response| {
            response.text(SERVER).is_none()
                && response.text("docker-distribution-api-version").is_some()
        })
    }

    /// True if the registry has named a token service in an answer to this process.
    pub fn has_named_token_service(&self, repository: &Repository) -> bool {
        let place = self.own_place(repository);
        self.auth().realm(&place).is_some()
    }

    /// Asks the token service for the right to push into a repository, and returns what the token
    /// grants. Some registries (Quay) create the repository when they are asked this, so ask only
    /// for a repository that exists, or one that is about to be written.
    ///
    /// # Errors
    ///
    /// When the token service refuses.
    pub async fn push_grant(&self, repository: &Repository) -> Result<PushGrant> {
        self.ping_for(repository).await?;
        let place = self.own_place(repository);
        let base = self.base(&place).await?;
        let scopes = Scopes::push(&repository.path);
        let purpose = Purpose {
            endpoint: &place,
            scopes: &scopes,
            kind: RequestKind::default(),
            base: &base,
            insecure: self.is_insecure(&place),
        };
        self.auth().push_grant(self.http(), purpose).await
    }

    /// Returns the repositories that the registry lists on its first page (`_catalog`), at most
    /// 1000. Many registries refuse the list.
    ///
    /// # Errors
    ///
    /// Every answer but a list.
    pub async fn some_repositories(&self, repository: &Repository) -> Result<Vec<Repository>> {
        let place = self.own_place(repository);
        let mut url = self
            .base(&place)
            .await?
            .join("_catalog")
            .map_err(|_| Error::Protocol {
                url: crate::registry::RedactedUrl::of_authority(
                    "https",
                    place.repository.host.as_str(),
                ),
                reason: "`_catalog` is not a valid path below it".to_owned(),
            })?;
        url.query_pairs_mut().append_pair("n", "1000");
        let scopes = Scopes::default();
        let response = self
            .call(Call::new(&place, &scopes, Method::GET, url))
            .await?;
        if !response.status().is_success() {
            return Err(response.into_error().await);
        }
        let refused = response.unexpected("it is no list of repositories");
        let body = response.read(PAGE).await?;
        let document: Value = serde_json::from_slice(&body).map_err(|_| refused)?;
        let names = document["repositories"].as_array().into_iter().flatten();
        let paths = names.filter_map(|name| name.as_str()?.parse().ok());
        let host = &repository.host;
        Ok(paths
            .map(|path| Repository::new(host.clone(), path))
            .collect())
    }

    /// Asks whether a registry has the referrers API; `None` if its answer leaves that open, as for
    /// a repository that does not exist. `certain`: the repository is known to exist, so that every
    /// "not found" means "no such API".
    ///
    /// # Errors
    ///
    /// No answer.
    pub async fn referrers_api_there(
        &self,
        repository: &Repository,
        digest: Digest,
        certain: bool,
    ) -> Result<Option<bool>> {
        let place = self.own_place(repository);
        let url = self.url(&place, &format!("referrers/{digest}")).await?;
        let scopes = self.read_scopes(&place);
        let call = Call::new(&place, &scopes, Method::GET, url)
            .kind(RequestKind::Referrers)
            .header(ACCEPT, HeaderValue::from_static(MediaType::OCI_INDEX));
        let response = match self.call(call).await {
            Ok(response) => response,
            Err(error) if error.is_hidden() => return Ok(None),
            Err(error) => return Err(error),
        };
        if response.status().is_success() {
            let body = response.read(PAGE).await?;
            let list: Option<Value> = serde_json::from_slice(&body).ok();
            return Ok(Some(list.is_some_and(|list| list["manifests"].is_array())));
        }
        let error = response.into_error().await;
        Ok(match error.answer() {
            Some(answer) if answer.status == 404 => {
                let hidden = answer.is("NAME_UNKNOWN") || answer.is("MANIFEST_UNKNOWN");
                (!hidden || certain).then_some(false)
            }
            Some(answer) if matches!(answer.status, 400 | 405 | 406 | 501) => Some(false),
            _ => None,
        })
    }
}

/// Reads the software and its version from a page; `None` if the page is not that software's.
type ReadPage = fn(&Value) -> Option<(Known, Option<String>)>;

/// Pages, relative to `/v2/`, on which softwares name themselves.
const PAGES: [(&str, ReadPage); 4] = [
    ("/.well-known/app-capabilities", quay),
    ("/api/v2.0/systeminfo", harbor),
    ("/v2/_oci/ext/discover", zot),
    ("/pulp/api/v3/status/", pulp),
];

fn quay(page: &Value) -> Option<(Known, Option<String>)> {
    (page["appName"] == "io.quay").then_some((Known::Quay, None))
}

fn harbor(page: &Value) -> Option<(Known, Option<String>)> {
    let version = page["harbor_version"].as_str().map(str::to_owned);
    (page["auth_mode"].is_string() || version.is_some()).then_some((Known::Harbor, version))
}

fn zot(page: &Value) -> Option<(Known, Option<String>)> {
    let mut extensions = page["extensions"].as_array()?.iter();
    let own = extensions.any(|e| e["name"].as_str().is_some_and(|n| n.starts_with("_zot")));
    own.then_some((Known::Zot, None))
}

fn pulp(page: &Value) -> Option<(Known, Option<String>)> {
    let mut parts = page["versions"].as_array()?.iter();
    let container = parts.find(|part| part["component"] == "container")?;
    let version = container["version"].as_str();
    Some((Known::Pulp, version.map(|v| format!("(container {v})"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn softwares_name_themselves_on_their_pages() {
        let pages = [
            (
                json!({"appName": "io.quay", "capabilities": {}}),
                Some(Known::Quay),
            ),
            (
                json!({"auth_mode": "db_auth", "harbor_version": "v2.16.0"}),
                Some(Known::Harbor),
            ),
            (json!({"extensions": [{"name": "_zot"}]}), Some(Known::Zot)),
            (
                json!({"versions": [{"component": "core", "version": "3"}, {"component": "container", "version": "2.30"}]}),
                Some(Known::Pulp),
            ),
            (json!({"versions": [{"component": "core"}]}), None),
            (json!({"extensions": "all"}), None),
            (json!([]), None),
            (json!("io.quay"), None),
        ];
        for (page, expected) in pages {
            let found = PAGES.iter().find_map(|(_, read)| read(&page));
            assert_eq!(found.map(|(known, _)| known), expected, "{page}");
        }
    }
}
