//! `host[:port]` of a registry's API and of URLs.

use url::Url;

use crate::model::Host;

/// Where Docker Hub's API is; references and auth files call it otherwise.
pub(super) const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// `host[:port]` of a registry's API.
pub(super) fn authority(host: &Host) -> String {
    match host.as_str() {
        Host::DOCKER_HUB | "index.docker.io" => DOCKER_HUB_API.to_owned(),
        other => other.to_owned(),
    }
}

/// `host[:port]` of a URL.
pub(super) fn authority_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
