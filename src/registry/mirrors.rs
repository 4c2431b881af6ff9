//! Registry mirrors: `registries.conf`, version 2 (containers-registries.conf(5)).
//!
//! For reading only. Short names are resolved elsewhere, so `unqualified-search-registries`
//! is ignored, as are keys that concern the local store.

use serde::Deserialize;

use crate::model::{Repository, RepositoryPath};

/// Why a text is not a `registries.conf` that we understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorsError {
    /// The text is not TOML, or a value has the wrong type.
    #[error("`registries.conf` cannot be read: {reason}")]
    Syntax {
        /// What the parser said, with the place.
        reason: String,
    },
    /// The text has tables of version 1.
    #[error("`registries.conf` is written in version 1, which has `[registries.search]`")]
    Version1,
    /// A registry has neither prefix nor location.
    #[error("`registries.conf` has a `[[registry]]` without `prefix` and `location`")]
    NoLocation,
    /// A prefix or location is no `host[/path]`.
    #[error("`{text}` is not a registry or repository")]
    Name {
        /// What stands there.
        text: String,
    },
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    registry: Vec<RegistryTable>,
    registries: Option<toml::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RegistryTable {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<MirrorTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct MirrorTable {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: PullFrom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PullFrom {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// `host[:port][/path]`, or `*.host`.
    prefix: String,
    /// What replaces the prefix at the source; `None` keeps the name.
    location: Option<String>,
    insecure: bool,
    /// The source may not be asked: for nothing, or for nothing by digest.
    blocked: bool,
    blocked_by_digest: bool,
    mirrors: Vec<MirrorRule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct MirrorRule {
    location: String,
    insecure: bool,
    pull_from: PullFrom,
}

/// A place from which a repository may be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Endpoint {
    /// The repository there.
    pub(crate) repository: Repository,
    /// Whether TLS may be missing or unverified at this place.
    pub(crate) insecure: bool,
}

/// Where a repository may be read, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) mirrors: Vec<Endpoint>,
    /// The repository itself; `None` when it is blocked.
    pub(crate) source: Option<Endpoint>,
}

/// Mirrors and rewrites of registries. The default has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mirrors {
    /// Longest prefix first.
    rules: Vec<Rule>,
}

impl Mirrors {
    /// Parses the text of one `registries.conf`, version 2.
    pub fn parse(text: &str) -> Result<Self, MirrorsError> {
        let document: Document = toml::from_str(text).map_err(|error| MirrorsError::Syntax {
            reason: super::redact::one_line(error.message(), 200),
        })?;
        if document.registries.is_some() {
            return Err(MirrorsError::Version1);
        }
        let mut rules = Vec::with_capacity(document.registry.len());
        for table in document.registry {
            rules.push(Rule::try_from(table)?);
        }
        // Stable: of two rules with one prefix the first wins, as in containers/image.
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
        Ok(Self { rules })
    }

    /// Mirrors of one registry or repository for reading by digest, in the order in which they
    /// are asked, as clusters are given them; the source comes last, if it may be asked.
    ///
    /// # Errors
    ///
    /// When a name is no `host[:port][/path]` or `*.host`.
    pub fn by_digest(
        source: &str,
        mirrors: &[String],
        ask_source: bool,
    ) -> Result<Self, MirrorsError> {
        let mirror = |location: &String| {
            Ok(MirrorRule {
                location: checked(location)?,
                insecure: false,
                pull_from: PullFrom::DigestOnly,
            })
        };
        let rule = Rule {
            prefix: checked(source)?,
            location: None,
            insecure: false,
            blocked: false,
            blocked_by_digest: !ask_source,
            mirrors: mirrors.iter().map(mirror).collect::<Result<_, _>>()?,
        };
        Ok(Self { rules: vec![rule] })
    }

    /// Adds the rules of a file that is read later: they replace those with the same prefix.
    #[must_use]
    pub fn overridden_by(mut self, later: Self) -> Self {
        let replaced = |rule: &Rule| later.rules.iter().any(|new| new.prefix == rule.prefix);
        self.rules.retain(|rule| !replaced(rule));
        self.rules.extend(later.rules);
        self.rules
            .sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
        self
    }

    /// Where `repository` may be read by digest, or by tag.
    pub(crate) fn places(&self, repository: &Repository, by_digest: bool) -> Places {
        let own = Endpoint {
            repository: repository.clone(),
            insecure: false,
        };
        let name = repository.to_string();
        let found = self
            .rules
            .iter()
            .find_map(|rule| rule.rest(&name).map(|rest| (rule, rest)));
        let Some((rule, rest)) = found else {
            return Places {
                mirrors: Vec::new(),
                source: Some(own),
            };
        };
        let place = |location: &str, insecure| {
            let repository = full_name(&format!("{location}{rest}"))?;
            Some(Endpoint {
                repository,
                insecure,
            })
        };
        let mirrors = rule.mirrors.iter();
        let mirrors = mirrors
            .filter(|mirror| match mirror.pull_from {
                PullFrom::All => true,
                PullFrom::DigestOnly => by_digest,
                PullFrom::TagOnly => !by_digest,
            })
            .filter_map(|mirror| place(&mirror.location, mirror.insecure))
            .collect();
        let source = match &rule.location {
            _ if rule.blocked || (by_digest && rule.blocked_by_digest) => None,
            Some(location) => place(location, rule.insecure),
            None => Some(Endpoint {
                insecure: rule.insecure,
                ..own
            }),
        };
        Places { mirrors, source }
    }
}

/// A name with its host, and no Docker Hub short forms: a location is written out.
fn full_name(name: &str) -> Option<Repository> {
    let (host, path) = name.split_once('/')?;
    let path: RepositoryPath = path.parse().ok()?;
    Some(Repository::new(host.parse().ok()?, path))
}

impl Rule {
    /// What follows the prefix in `name`, when the rule applies to it.
    fn rest<'n>(&self, name: &'n str) -> Option<&'n str> {
        if let Some(domain) = self.prefix.strip_prefix('*') {
            // The location of such a rule stands for the whole host.
            let end = name.find('/')?;
            let (host, rest) = name.split_at_checked(end)?;
            let host_matches = host.ends_with(domain) && host.len() > domain.len();
            return host_matches.then_some(rest);
        }
        let rest = name.strip_prefix(self.prefix.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

impl TryFrom<RegistryTable> for Rule {
    type Error = MirrorsError;

    fn try_from(table: RegistryTable) -> Result<Self, MirrorsError> {
        let location = table
            .location
            .map(|location| checked(&location))
            .transpose()?;
        let prefix = match &table.prefix {
            Some(prefix) => checked(prefix)?,
            None => location.clone().ok_or(MirrorsError::NoLocation)?,
        };
        let mut mirrors = Vec::with_capacity(table.mirror.len());
        for mirror in table.mirror {
            mirrors.push(MirrorRule {
                location: checked(&mirror.location)?,
                insecure: mirror.insecure,
                pull_from: if table.mirror_by_digest_only {
                    PullFrom::DigestOnly
                } else {
                    mirror.pull_from_mirror
                },
            });
        }
        Ok(Self {
            prefix,
            location,
            insecure: table.insecure,
            blocked: table.blocked,
            blocked_by_digest: false,
            mirrors,
        })
    }
}

/// Accepts `host[:port][/path]` and `*.host`, without a trailing slash.
fn checked(text: &str) -> Result<String, MirrorsError> {
    let trimmed = text.trim().trim_end_matches('/');
    let (host, path) = match trimmed.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (trimmed, None),
    };
    let host = host.strip_prefix("*.").unwrap_or(host);
    let ok = host.parse::<crate::model::Host>().is_ok()
        && path.is_none_or(|path| path.parse::<RepositoryPath>().is_ok());
    if ok {
        Ok(trimmed.to_owned())
    } else {
        Err(MirrorsError::Name {
            text: super::redact::one_line(text, 80),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONF: &str = r#"
        unqualified-search-registries = ["docker.io"]
        [[registry]]
        prefix = "quay.io"
        location = "quay.example/proxy"
        [[registry]]
        location = "quay.io/okd"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "mirror.lan:5000/okd"
        insecure = true
        [[registry]]
        prefix = "registry.example/a/b"
        blocked = true
        [[registry.mirror]]
        location = "one.lan/x"
        pull-from-mirror = "tag-only"
        [[registry.mirror]]
        location = "two.lan/y"
        [[registry]]
        prefix = "*.wild.example"
        location = "tame.example"
        insecure = true
    "#;

    fn places(name: &str, by_digest: bool) -> (Vec<String>, Option<String>) {
        let shown = |endpoint: Endpoint| {
            let mark = if endpoint.insecure { "!" } else { "" };
            format!("{}{mark}", endpoint.repository)
        };
        let mirrors = Mirrors::parse(CONF).unwrap();
        let places = mirrors.places(&name.parse().unwrap(), by_digest);
        let mirrors = places.mirrors.into_iter().map(shown).collect();
        (mirrors, places.source.map(shown))
    }

    #[test]
    fn the_longest_prefix_wins() {
        for (name, by_digest, mirrors, source) in [
            (
                "quay.io/okd/scos",
                true,
                vec!["mirror.lan:5000/okd/scos!"],
                Some("quay.io/okd/scos"),
            ),
            ("quay.io/okd/scos", false, vec![], Some("quay.io/okd/scos")),
            (
                "quay.io/okdx/scos",
                true,
                vec![],
                Some("quay.example/proxy/okdx/scos"),
            ),
            ("quay.io:443/okd/x", true, vec![], Some("quay.io:443/okd/x")),
            ("registry.example/a/b", true, vec!["two.lan/y"], None),
            (
                "registry.example/a/b/c",
                false,
                vec!["one.lan/x/c", "two.lan/y/c"],
                None,
            ),
            (
                "registry.example/a/bc",
                false,
                vec![],
                Some("registry.example/a/bc"),
            ),
            ("x.wild.example/p", true, vec![], Some("tame.example/p!")),
            ("wild.example/p", true, vec![], Some("wild.example/p")),
            ("busybox", true, vec![], Some("docker.io/library/busybox")),
        ] {
            let (found, found_source) = places(name, by_digest);
            assert_eq!(found, mirrors, "{name} {by_digest}");
            assert_eq!(found_source.as_deref(), source, "{name} {by_digest}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let refused = |text: &str| Mirrors::parse(text).unwrap_err();
        assert_eq!(
            refused("[registries.search]\nregistries = ['x']"),
            MirrorsError::Version1
        );
        assert_eq!(
            refused("[[registry]]\ninsecure = true"),
            MirrorsError::NoLocation
        );
        assert!(matches!(
            refused("registry = 1"),
            MirrorsError::Syntax { .. }
        ));
        for name in ["https://quay.io", "a b", "quay.io/../x", "*.", ""] {
            let text = format!("[[registry]]\nprefix = '{name}'");
            assert!(
                matches!(refused(&text), MirrorsError::Name { .. }),
                "{name}"
            );
        }
    }
}
