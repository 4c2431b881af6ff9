//! The target of an import: `HOST[:PORT][/NAMESPACE]`.

use std::fmt;
use std::str::FromStr;

use crate::model::{Host, NameError, RepositoryPath};

/// The error for a text that is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a target: write HOST[:PORT] or HOST[:PORT]/NAMESPACE", text.escape_debug())]
pub struct TargetError {
    text: String,
    #[source]
    source: NameError,
}

/// A registry, and the path below which images are put.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Host and port of the registry.
    pub host: Host,
    /// The path; if absent, images are put directly below the host.
    pub namespace: Option<RepositoryPath>,
}

impl Target {
    /// Returns the components of the namespace.
    pub(super) fn components(&self) -> impl Iterator<Item = &str> {
        self.namespace.iter().flat_map(RepositoryPath::components)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// Parses `HOST[:PORT][/NAMESPACE]`; a leading `docker://` is allowed, as in `oc-mirror`.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let refused = |source| TargetError {
            text: text.chars().take(100).collect(),
            source,
        };
        let bare = text.strip_prefix("docker://").unwrap_or(text);
        let (host, namespace) = match bare.split_once('/') {
            Some((host, namespace)) => (host, Some(namespace)),
            None => (bare, None),
        };
        let namespace = namespace.map(str::parse).transpose().map_err(refused)?;
        Ok(Self {
            host: host.parse().map_err(refused)?,
            namespace,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        match &self.namespace {
            Some(namespace) => write!(f, "/{namespace}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_hosts_with_and_without_namespace() {
        for text in ["mirror", "mirror.lan:8443", "[::1]:5000/a", "m:5000/a/b/c"] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), text);
            assert_eq!(format!("docker://{text}").parse(), Ok(target));
        }
    }

    #[test]
    fn refuses_what_is_no_target() {
        for bad in [
            "",
            "/a",
            "m/",
            "m//a",
            "m/A",
            "m/a:t",
            "m:99999",
            "https://m/a",
            "m/a@sha256:00",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
