//! Registry mirrors and rewrites, as `registries.conf` describes them.
//!
//! Mirrors are for reading only. Short names are resolved elsewhere.

use std::collections::HashSet;

use super::endpoint::{Endpoint, Places};
use super::registries_conf::{MirrorsError, Settings};
use super::rules::{MirrorRule, PullFrom, Rule};
use crate::model::{Repository, RepositoryPath};
use crate::registry::redact::one_line;

/// Mirrors and rewrites of registries, and the credential helpers for all registries. The default
/// has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mirrors {
    /// Rules, the longest prefix first.
    rules: Vec<Rule>,
    credential_helpers: Option<Vec<String>>,
}

impl Mirrors {
    /// Parses the text of a main `registries.conf`; it may be written in version 1.
    pub fn parse(text: &str) -> Result<Self, MirrorsError> {
        Settings::parse(text).map(Self::of)
    }

    /// Parses a file of `registries.conf.d`, which must be written in version 2.
    pub fn parse_drop_in(text: &str) -> Result<Self, MirrorsError> {
        let settings = Settings::parse(text)?;
        match settings.is_version_1 {
            true => Err(MirrorsError::Version1),
            false => Ok(Self::of(settings)),
        }
    }

    fn of(settings: Settings) -> Self {
        let mut rules = settings.rules;
        // A stable sort: of two rules with the same prefix the first wins, as in
        // containers/image.
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
        Self {
            rules,
            credential_helpers: settings.credential_helpers,
        }
    }

    /// Returns `credential-helpers`: where credentials are looked for, in order; `None` if it is
    /// not set.
    pub fn credential_helpers(&self) -> Option<&[String]> {
        self.credential_helpers.as_deref()
    }

    /// Makes mirrors of one registry or repository for reading by digest, in the order in which
    /// they are asked, as a cluster's mirror sets have them. The source comes last if
    /// `ask_source`.
    ///
    /// # Errors
    ///
    /// When a name is not `host[:port][/path]` or `*.host`.
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
        Ok(Self {
            rules: vec![rule],
            credential_helpers: None,
        })
    }

    /// Adds the rules of a file that is read later: they replace rules with the same prefix.
    #[must_use]
    pub fn overridden_by(mut self, later: Self) -> Self {
        let replaced: HashSet<&str> = later.rules.iter().map(|new| new.prefix.as_str()).collect();
        self.rules
            .retain(|rule| !replaced.contains(rule.prefix.as_str()));
        self.rules.extend(later.rules);
        self.rules
            .sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
        self.credential_helpers = later.credential_helpers.or(self.credential_helpers);
        self
    }

    /// Returns the rule for a name, with the part of the name after the rule's prefix.
    fn rule<'n>(&self, name: &'n str) -> Option<(&Rule, &'n str)> {
        let mut rules = self.rules.iter();
        rules.find_map(|rule| rule.rest(name).map(|rest| (rule, rest)))
    }

    /// True if the repository must not be asked under its own name, without rewrites.
    pub(crate) fn is_blocked(&self, repository: &Repository) -> bool {
        let name = repository.to_string();
        self.rule(&name).is_some_and(|(rule, _)| rule.blocked)
    }

    /// True if TLS may be missing or unverified at the registry itself, without rewrites.
    pub(crate) fn is_insecure(&self, repository: &Repository) -> bool {
        let name = repository.to_string();
        self.rule(&name).is_some_and(|(rule, _)| rule.insecure)
    }

    /// Returns the places where `repository` may be read by digest, or by tag. A mirror or
    /// location that another rule blocks is left out, as in skopeo.
    ///
    /// # Errors
    ///
    /// The name that results from a location, if it is not a repository's.
    pub(crate) fn places(
        &self,
        repository: &Repository,
        by_digest: bool,
    ) -> Result<Places, String> {
        let own = Endpoint {
            repository: repository.clone(),
            insecure: false,
        };
        let name = repository.to_string();
        let Some((rule, rest)) = self.rule(&name) else {
            return Ok(Places {
                mirrors: Vec::new(),
                source: Some(own),
            });
        };
        let place = |location: &str, insecure| {
            let name = format!("{location}{rest}");
            match full_name(&name) {
                Some(repository) => Ok(Endpoint {
                    repository,
                    insecure,
                }),
                None => Err(name),
            }
        };
        let mirrors = rule.mirrors.iter();
        let mirrors = mirrors
            .filter(|mirror| match mirror.pull_from {
                PullFrom::All => true,
                PullFrom::DigestOnly => by_digest,
                PullFrom::TagOnly => !by_digest,
            })
            .map(|mirror| place(&mirror.location, mirror.insecure))
            .collect::<Result<Vec<_>, _>>()?;
        let source = match &rule.location {
            _ if rule.blocked || (by_digest && rule.blocked_by_digest) => None,
            Some(location) => Some(place(location, rule.insecure)?),
            None => Some(Endpoint {
                insecure: rule.insecure,
                ..own
            }),
        };
        let may_be_asked = |place: &Endpoint| !self.is_blocked(&place.repository);
        Ok(Places {
            mirrors: mirrors.into_iter().filter(may_be_asked).collect(),
            source: source.filter(may_be_asked),
        })
    }
}

/// Parses a name that begins with a host. Docker Hub's short forms are not accepted: a location
/// is written out.
fn full_name(name: &str) -> Option<Repository> {
    let (host, path) = name.split_once('/')?;
    let path: RepositoryPath = path.parse().ok()?;
    Some(Repository::new(host.parse().ok()?, path))
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
            text: one_line(text, 80),
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
        let places = mirrors.places(&name.parse().unwrap(), by_digest).unwrap();
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
    fn a_mirror_or_location_that_another_rule_blocks_is_passed_over() {
        let mirrors = Mirrors::parse(
            "[[registry]]\nlocation = 'q.lan'\n\
             [[registry.mirror]]\nlocation = 'm.lan'\n\
             [[registry.mirror]]\nlocation = 'n.lan'\n\
             [[registry]]\nprefix = 'old.lan'\nlocation = 'n.lan'\n\
             [[registry]]\nlocation = 'm.lan'\nblocked = true\n\
             [[registry]]\nlocation = 'n.lan/secret'\nblocked = true\n",
        )
        .unwrap();
        for (name, expected) in [
            ("q.lan/x", &["n.lan/x", "q.lan/x"][..]),
            ("q.lan/secret/x", &["q.lan/secret/x"]),
            ("old.lan/x", &["n.lan/x"]),
            ("old.lan/secret", &[]),
            ("m.lan/x", &[]),
        ] {
            let places = mirrors.places(&name.parse().unwrap(), false).unwrap();
            let found = places.in_order().into_iter();
            let found: Vec<_> = found.map(|place| place.repository.to_string()).collect();
            assert_eq!(found, expected, "{name}");
        }
        assert!(mirrors.is_blocked(&"n.lan/secret/x".parse().unwrap()));
        assert!(!mirrors.is_blocked(&"n.lan/secrets".parse().unwrap()));
    }

    #[test]
    fn what_a_node_of_a_cluster_has_is_read() {
        let text = r#"
            unqualified-search-registries = ["registry.access.redhat.com", "docker.io"]
            short-name-mode = ""
            additional-layer-store-auth-helper = 1
            credential-helpers = ["containers-auth.json"]
            [[registry]]
              prefix = ""
              location = "quay.io/ocp/release/"
              future = { a = [1] }
              [[registry.mirror]]
                location = "m.lan:8443/ocp/"
                pull-from-mirror = "digest-only"
            [[registry]]
              Prefix = "*.lan"
              LOCATION = ""
              Insecure = true
            [[registry]]
              prefix = "never asked"
              location = "a b"
            [aliases]
              x = "y.lan/x"
            [unknown]
        "#;
        for text in [
            text.to_owned(),
            format!("\u{feff}{}", text.replace('\n', "\r\n")),
        ] {
            let mirrors = Mirrors::parse(&text).unwrap();
            let of = |name: &str, by_digest| {
                let places = mirrors.places(&name.parse().unwrap(), by_digest).unwrap();
                let shown = places.in_order().into_iter();
                let shown = shown.map(|place| format!("{} {}", place.repository, place.insecure));
                shown.collect::<Vec<_>>()
            };
            let both = ["m.lan:8443/ocp/x false", "quay.io/ocp/release/x false"];
            assert_eq!(of("quay.io/ocp/release/x", true), both);
            assert_eq!(of("quay.io/ocp/release/x", false), both[1..]);
            assert_eq!(of("r.lan/x", true), ["r.lan/x true"]);
            assert!(mirrors.is_insecure(&"r.lan/x".parse().unwrap()));
            assert_eq!(
                mirrors.credential_helpers().unwrap(),
                ["containers-auth.json"]
            );
        }
        for nothing in [
            "",
            "\u{feff}",
            "# a comment",
            "[registries.search]\nregistries = []",
        ] {
            assert_eq!(Mirrors::parse(nothing), Ok(Mirrors::default()), "{nothing}");
        }
    }

    #[test]
    fn version_1_is_read_alone() {
        let text = "[registries.search]\nregistries = ['x.lan']\n\
                    [registries.insecure]\nregistries = ['i.lan', 'b.lan']\n\
                    [registries.block]\nregistries = ['b.lan']\n";
        let mirrors = Mirrors::parse(text).unwrap();
        let places = |name: &str| mirrors.places(&name.parse().unwrap(), false).unwrap();
        assert!(places("i.lan/a").source.unwrap().insecure);
        assert!(places("b.lan/a").source.is_none());
        assert!(!places("x.lan/a").source.unwrap().insecure);
        assert_eq!(Mirrors::parse_drop_in(text), Err(MirrorsError::Version1));
        for more in [
            "unqualified-search-registries = ['y']",
            "registry = [{location = 'y'}]",
        ] {
            let mixed = format!("{more}\n{text}");
            assert_eq!(
                Mirrors::parse(&mixed),
                Err(MirrorsError::MixedVersions),
                "{mixed}"
            );
        }
    }

    #[test]
    fn what_skopeo_refuses_is_refused_with_file_table_and_reason() {
        let one = "[[registry]]\nlocation = 'q.lan'\n";
        let mirror = "[[registry.mirror]]\n";
        for (text, words) in [
            ("registry = 1".to_owned(), "line 1"),
            (format!("{one}insecure = 'true'"), "line 3"),
            ("\n\n[[registry]".to_owned(), "line 3"),
            (
                format!("{one}{mirror}"),
                "number 1 (`q.lan`) has a mirror without a location",
            ),
            (
                "[[registry]]\nprefix = ''".to_owned(),
                "number 1 has neither",
            ),
            (
                format!("{one}[[registry]]\nlocation = 'https://x'"),
                "number 2 (`https://x`)",
            ),
            (format!("{one}{mirror}location = 'http://x'"), "`http://x`"),
            (
                format!("{one}pull-from-mirror = 'all'"),
                "is allowed only in `[[registry.mirror]]`",
            ),
            (
                format!("{one}{mirror}location = 'm'\npull-from-mirror = 'x'"),
                "\"x\"",
            ),
            (
                format!(
                    "{one}mirror-by-digest-only = true\n{mirror}location = 'm'\npull-from-mirror = 'all'"
                ),
                "mirror-by-digest-only",
            ),
            (format!("{one}{one}insecure = true"), "`insecure`"),
            (format!("{one}{one}blocked = true"), "`blocked`"),
            (
                "[[registry]]\nprefix = '*.a/b'\nlocation = 'x'".to_owned(),
                "and is not only a domain",
            ),
        ] {
            let error = Mirrors::parse(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn keys_in_other_cases_count_less_and_have_a_line() {
        let insecure = |settings: &str| {
            let text = format!("[[registry]]\nlocation = 'q.lan'\n{settings}");
            let mirrors = Mirrors::parse(&text)?;
            Ok::<_, MirrorsError>(mirrors.is_insecure(&"q.lan/x".parse().unwrap()))
        };
        assert_eq!(insecure("INSECURE = true"), Ok(true));
        assert_eq!(insecure("insecure = false\nInsecure = true"), Ok(false));
        assert_eq!(insecure("Insecure = true\ninsecure = false"), Ok(false));
        let error = insecure("Insecure = 'true'").unwrap_err().to_string();
        assert!(error.contains("line 3"), "{error}");
    }

    #[test]
    fn a_location_that_makes_no_name_costs_its_own_repositories() {
        let mirrors = Mirrors::parse("[[registry]]\nprefix = 'q.lan'\nlocation = 'a b'").unwrap();
        let places = |name: &str| mirrors.places(&name.parse().unwrap(), false);
        assert_eq!(places("q.lan/x"), Err("a b/x".to_owned()));
        assert!(places("other.lan/x").is_ok());
        for name in ["https://quay.io", "a b", "quay.io/../x", "*.", ""] {
            let error = Mirrors::by_digest(name, &[], true).unwrap_err();
            assert!(matches!(error, MirrorsError::Name { .. }), "{name}");
        }
    }
}
