//! The `host[:port]` of a registry's API and of URLs.

use url::Url;

use crate::model::Host;

/// Host of Docker Hub's API; references and auth files use other names for it.
pub(super) const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// Returns the `host[:port]` of a registry's API.
pub(super) fn authority(host: &Host) -> String {
    match host.as_str() {
        Host::DOCKER_HUB | "index.docker.io" => DOCKER_HUB_API.to_owned(),
        other => other.to_owned(),
    }
}

/// Returns the `host[:port]` of a URL.
pub(super) fn authority_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
