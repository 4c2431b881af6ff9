//! Names of images: registry, repository, tag, digest.
//!
//! The grammar is that of the distribution project's reference package (the OCI distribution-spec
//! gives the same rules for `<name>` and `<reference>`), with its short forms: no registry means
//! `docker.io`, `index.docker.io` means `docker.io`, and a single component on Docker Hub means
//! `library/`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Digest, compare_parts, order_by_text};

/// Upper limit of a repository path in bytes, the registry not included.
const MAX_REPOSITORY: usize = 255;

/// Upper limit of a tag in bytes.
const MAX_TAG: usize = 128;

/// The error for a text that is not a name of an image, or of a part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a valid {what}: {why}", text.escape_debug())]
pub struct NameError {
    what: &'static str,
    text: String,
    why: &'static str,
}

impl NameError {
    fn new(what: &'static str, text: &str, why: &'static str) -> Self {
        let text = text.chars().take(100).collect();
        Self { what, text, why }
    }
}

/// A registry's `host[:port]`, as written in references. Clones share the text: a bundle of
/// thousands of images repeats a few names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Arc<str>);

/// A repository's path on its registry: lower-case components joined by `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryPath(Arc<str>);

/// A tag: 1 to 128 of `[A-Za-z0-9_.-]`, not beginning with `.` or `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        text_deserialize!($name);
    };
}

macro_rules! display_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        text_deserialize!($name);
    };
}

macro_rules! text_deserialize {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::from_text(deserializer)
            }
        }
    };
}

text_type!(Host);
text_type!(RepositoryPath);
text_type!(Tag);

impl FromStr for Host {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = |why| Err(NameError::new("registry", text, why));
        if text.is_empty() || text.len() > 260 {
            return refused("a host has 1 to 253 characters, a port at most 5 digits");
        }
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((address, tail)) => {
                    if address.parse::<std::net::Ipv6Addr>().is_err() {
                        return refused("the text in brackets is not an IPv6 address");
                    }
                    match tail.strip_prefix(':') {
                        Some(port) => ("", Some(port)),
                        None if tail.is_empty() => ("", None),
                        None => return refused("only `:port` may follow the bracket"),
                    }
                }
                None => return refused("a bracket is not closed"),
            },
            None => match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            },
        };
        if let Some(port) = port
            && port
                .parse::<u16>()
                .map_or(true, |_| port.starts_with(['+', '0']))
        {
            return refused("the port is not a number from 1 to 65535 without leading zeros");
        }
        let label_ok = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !text.starts_with('[') && !name.split('.').all(label_ok) {
            return refused("host labels hold letters, digits and inner hyphens, joined by dots");
        }
        Ok(Self(text.into()))
    }
}

impl Host {
    /// Docker Hub's name in references.
    pub const DOCKER_HUB: &'static str = "docker.io";

    /// An older name of Docker Hub. [`Repository`] parses it as [`Self::DOCKER_HUB`], as
    /// container tools do.
    pub const OLD_DOCKER_HUB: &'static str = "index.docker.io";

    /// All names of Docker Hub in references; `oc` treats them alike.
    pub const DOCKER_HUB_NAMES: [&'static str; 3] = [
        Self::DOCKER_HUB,
        Self::OLD_DOCKER_HUB,
        "registry-1.docker.io",
    ];

    /// True if the first component of a name is a registry, not a part of the repository.
    fn looks_like_host(component: &str) -> bool {
        component.contains(['.', ':'])
            || component == "localhost"
            || component.bytes().any(|b| b.is_ascii_uppercase())
    }
}

impl FromStr for RepositoryPath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = |why| Err(NameError::new("repository", text, why));
        if text.is_empty() || text.len() > MAX_REPOSITORY {
            return refused("a repository has 1 to 255 characters");
        }
        if !text.split('/').all(path_component_ok) {
            return refused(
                "components hold lower-case letters and digits, joined by `.`, `_`, `__` or hyphens",
            );
        }
        Ok(Self(text.into()))
    }
}

/// True if a component matches `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn path_component_ok(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if !alphanumeric(*first) || !alphanumeric(*last) {
        return false;
    }
    component
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

impl RepositoryPath {
    /// Returns the components between the slashes.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if text.is_empty()
            || text.len() > MAX_TAG
            || text.starts_with(['.', '-'])
            || !text.bytes().all(ok)
        {
            let why =
                "a tag has 1 to 128 characters of A-Z a-z 0-9 _ . - and does not begin with . or -";
            return Err(NameError::new("tag", text, why));
        }
        Ok(Self(text.into()))
    }
}

/// A repository on a registry, for example `quay.io/okd/scos-release`. Ordered by its text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Repository {
    /// Host and port of the registry.
    pub host: Host,
    /// Path on the registry.
    pub path: RepositoryPath,
}

impl Repository {
    /// Joins a registry and a path.
    pub fn new(host: Host, path: RepositoryPath) -> Self {
        Self { host, path }
    }

    /// Returns the reference `self:tag`.
    pub fn tagged(&self, tag: Tag) -> Reference {
        Reference {
            repository: self.clone(),
            tag: Some(tag),
            digest: None,
        }
    }

    /// Returns the reference `self@digest`.
    pub fn pinned(&self, digest: Digest) -> Reference {
        Reference {
            repository: self.clone(),
            tag: None,
            digest: Some(digest),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Repository {
    type Err = NameError;

    /// Parses a name without tag and digest; short forms mean Docker Hub.
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('/') {
            Some((first, rest)) if Host::looks_like_host(first) => {
                let host = match first {
                    Host::OLD_DOCKER_HUB => Host(Host::DOCKER_HUB.into()),
                    first => first.parse()?,
                };
                if Host::DOCKER_HUB_NAMES.contains(&host.as_str()) && !rest.contains('/') {
                    return Ok(Self::new(host, format!("library/{rest}").parse()?));
                }
                Ok(Self::new(host, rest.parse()?))
            }
            Some(_) => Ok(Self::new(Host(Host::DOCKER_HUB.into()), text.parse()?)),
            None => {
                let path = format!("library/{text}");
                Ok(Self::new(Host(Host::DOCKER_HUB.into()), path.parse()?))
            }
        }
    }
}

display_serde!(Repository);
order_by_text!(Repository, |name| [
    name.host.as_str(),
    "/",
    name.path.as_str()
]);

/// An image reference: a repository with a tag, a digest, both, or neither. Ordered by its text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Registry and path.
    pub repository: Repository,
    /// The tag, if one was written.
    pub tag: Option<Tag>,
    /// The digest, if one was written.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Returns the tag or digest to request from a registry: the digest if there is one, else the
    /// tag, else `latest`.
    pub fn selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.to_string(),
            (None, None) => "latest".to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.repository, f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Reference {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.strip_prefix("docker://").unwrap_or(text);
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse().map_err(|_| {
                    NameError::new("reference", text, "what follows `@` is not a sha256 digest")
                })?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((before, after)) if !after.contains('/') => (before, Some(after.parse()?)),
            _ => (name, None),
        };
        Ok(Self {
            repository: name.parse()?,
            tag,
            digest,
        })
    }
}

display_serde!(Reference);
impl Ord for Reference {
    fn cmp(&self, other: &Self) -> Ordering {
        fn parts(reference: &Reference) -> impl Iterator<Item = &str> {
            let repository = &reference.repository;
            let tag = reference.tag.as_ref();
            let parts = [
                repository.host.as_str(),
                "/",
                repository.path.as_str(),
                tag.map_or("", |_| ":"),
                tag.map_or("", Tag::as_str),
                reference.digest.map_or("", |_| "@"),
            ];
            parts.into_iter()
        }
        // Digests have the same order as their texts.
        compare_parts(parts(self), parts(other)).then_with(|| self.digest.cmp(&other.digest))
    }
}

impl PartialOrd for Reference {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_mean_docker_hub() {
        for (short, full) in [
            ("busybox", "docker.io/library/busybox"),
            ("busybox:1", "docker.io/library/busybox:1"),
            ("docker.io/busybox", "docker.io/library/busybox"),
            ("index.docker.io/busybox", "docker.io/library/busybox"),
            (
                "registry-1.docker.io/busybox:1",
                "registry-1.docker.io/library/busybox:1",
            ),
            ("index.docker.io/a/b:1", "docker.io/a/b:1"),
            ("okd/x", "docker.io/okd/x"),
            ("localhost/x", "localhost/x"),
            ("localhost:5000/a/b:t", "localhost:5000/a/b:t"),
            ("[::1]:5000/a", "[::1]:5000/a"),
            (
                "docker://quay.io/a/b__c/d--e:v1.0_x",
                "quay.io/a/b__c/d--e:v1.0_x",
            ),
        ] {
            let reference: Reference = short.parse().unwrap();
            assert_eq!(reference.to_string(), full);
            assert_eq!(full.parse::<Reference>().unwrap(), reference);
        }
    }

    #[test]
    fn order_is_that_of_the_texts() {
        // Compared part by part, `a.io/x:t` would come before `a.io/x-y`, and `a.io/x` before
        // `a-b.io/x`.
        let texts = [
            "a-b.io/x",
            "a.io/x",
            "a.io/x-y:t",
            "a.io/x/y:t",
            "a.io/x:t",
            "a.io/x:t.1",
            &format!("a.io/x:t@sha256:{}", "1".repeat(64)),
            &format!("a.io/x:t@sha256:{}", "2".repeat(64)),
            &format!("a.io/x@sha256:{}", "0".repeat(64)),
            "a.io:5000/x",
        ];
        let mut references: Vec<Reference> = texts.iter().map(|t| t.parse().unwrap()).collect();
        references.reverse();
        references.sort();
        let sorted: Vec<String> = references.iter().map(Reference::to_string).collect();
        assert_eq!(sorted, texts);
        assert!(sorted.is_sorted());
    }

    #[test]
    fn hostile_names_are_refused() {
        let components = vec!["a"; 300].join("/");
        for bad in [
            "",
            "/",
            "a//b",
            "quay.io/",
            "quay.io/../x",
            "quay.io/a/..",
            "quay.io/a\n/b",
            "quay.io/a: b",
            "quay.io/A/b",
            "quay.io/a___b",
            "quay.io/-a",
            "quay.io/a-",
            "quay.io/a:",
            "quay.io/a:.x",
            "quay.io/a@sha256:00",
            "quay.io/a@md5:00",
            "quay.io:0/a",
            "quay.io:99999/a",
            "quay.io:+1/a",
            "-x.io/a",
            "x..io/a",
            "[zz]:1/a",
            "[::1]x/a",
            "[::1/a",
            "quay.io/a:\u{202e}x",
            components.as_str(),
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn selector_prefers_the_digest() {
        let digest = format!("sha256:{}", "1".repeat(64));
        let both: Reference = format!("quay.io/a/b:t@{digest}").parse().unwrap();
        assert_eq!(both.selector(), digest);
        assert_eq!(
            "quay.io/a/b".parse::<Reference>().unwrap().selector(),
            "latest"
        );
    }
}
