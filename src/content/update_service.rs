//! Addresses of the update services, and the query for a graph (Cincinnati, `GET .../graph`).

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::graph::Channel;

/// The product whose releases are meant: each project runs an update service of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Product {
    /// OpenShift Container Platform.
    #[default]
    Ocp,
    /// OKD.
    Okd,
}

impl Product {
    /// The address of the product's update service.
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::Ocp => "https://api.openshift.com/api/upgrades_info/v1/graph",
            Self::Okd => "https://origin-release.ci.openshift.org/graph",
        }
    }
}

/// Error for a text that is not an architecture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not an architecture: write for example amd64, arm64 or multi", .0.escape_debug())]
pub struct ArchitectureError(String);

/// The architecture of a release payload: as in image configs (`amd64`), or `multi` for a payload
/// that is a manifest list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Architecture(String);

impl Architecture {
    /// The name for payloads that are manifest lists.
    pub const MULTI: &'static str = "multi";

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Architecture {
    /// The default of the update service's other clients.
    fn default() -> Self {
        Self("amd64".to_owned())
    }
}

impl FromStr for Architecture {
    type Err = ArchitectureError;

    fn from_str(text: &str) -> Result<Self, ArchitectureError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if text.is_empty() || text.len() > 32 || !text.bytes().all(plain) {
            return Err(ArchitectureError(text.chars().take(40).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the address of a channel's graph. Other clients also send an `id`, which identifies the
/// cluster; the service answers without it too.
pub fn graph_url(service: &Url, channel: &Channel, architecture: &Architecture) -> Url {
    let mut url = service.clone();
    url.query_pairs_mut()
        .append_pair("arch", architecture.as_str())
        .append_pair("channel", channel.as_str());
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_names_only_architecture_and_channel() {
        let channel = "stable-4.18".parse().unwrap();
        let arm = "arm64".parse().unwrap();
        for (service, expected) in [
            (
                Product::Ocp.endpoint(),
                "https://api.openshift.com/api/upgrades_info/v1/graph?arch=arm64&channel=stable-4.18",
            ),
            (
                "http://mirror.example.com/graph?key=1",
                "http://mirror.example.com/graph?key=1&arch=arm64&channel=stable-4.18",
            ),
        ] {
            let url = graph_url(&Url::parse(service).unwrap(), &channel, &arm);
            assert_eq!(url.as_str(), expected);
        }
        assert!(Url::parse(Product::Okd.endpoint()).is_ok());
    }

    #[test]
    fn architectures_are_words() {
        for good in ["amd64", "s390x", "ppc64le", "multi", "x86_64"] {
            assert_eq!(good.parse::<Architecture>().unwrap().as_str(), good);
        }
        for bad in ["", "linux/amd64", "AMD64", "a&b", &"a".repeat(33)] {
            assert!(bad.parse::<Architecture>().is_err(), "{bad:?}");
        }
    }
}
