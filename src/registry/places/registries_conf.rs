//! The format of `registries.conf` (containers-registries.conf(5)), parsed as by the library that
//! skopeo, podman and CRI-O share: unknown keys are ignored, keys may be in any case, and what it
//! refuses is refused. More lenient in two points: a prefix needs no location, and settings of
//! short names are not checked.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::rules::{MirrorRule, PullFrom, Rule};
use crate::registry::redact::one_line;

/// Reason for which a text is not a valid `registries.conf`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorsError {
    /// The text is not TOML, or a value has the wrong type.
    #[error("it is not valid{}: {reason}", .line.map(|line| format!(" at line {line}")).unwrap_or_default())]
    Syntax {
        /// The line, from 1, if it is known.
        line: Option<usize>,
        /// The parser's message.
        reason: String,
    },
    /// Tables of version 1 beside keys of version 2.
    #[error(
        "it mixes version 1 (`[registries.search]`, `.insecure`, `.block`) with version 2 of the format"
    )]
    MixedVersions,
    /// A file in `registries.conf.d` has tables of version 1.
    #[error(
        "it is written in version 1 of the format (`[registries.search]`, `.insecure`, `.block`), which cannot be added to other files"
    )]
    Version1,
    /// A `[[registry]]` cannot be used.
    #[error("its `[[registry]]` number {number}{} {reason}", .name.as_ref().map(|name| format!(" (`{name}`)")).unwrap_or_default())]
    Registry {
        /// Number of the table, from 1.
        number: usize,
        /// Its prefix or location, if it has one.
        name: Option<String>,
        /// The reason, as a predicate of the table ("has ...").
        reason: String,
    },
    /// A prefix or location is not `host[/path]`.
    #[error("`{text}` is not a registry or repository")]
    Name {
        /// The value in the file.
        text: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    #[serde(default)]
    registry: Vec<RegistryTable>,
    unqualified_search_registries: Option<Vec<String>>,
    credential_helpers: Option<Vec<String>>,
    #[serde(default)]
    registries: Version1Tables,
}

/// The tables of version 1: `[registries.search]` and so on.
#[derive(Deserialize, Default)]
struct Version1Tables {
    #[serde(default)]
    search: Version1List,
    #[serde(default)]
    insecure: Version1List,
    #[serde(default)]
    block: Version1List,
}

#[derive(Deserialize, Default)]
struct Version1List {
    #[serde(default)]
    registries: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RegistryTable {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    pull_from_mirror: String,
    #[serde(default)]
    mirror: Vec<MirrorTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct MirrorTable {
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: String,
}

/// The settings of a file that are used here.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) rules: Vec<Rule>,
    pub(super) credential_helpers: Option<Vec<String>>,
    /// True if the file is written in version 1 of the format.
    pub(super) is_version_1: bool,
}

impl Settings {
    pub(super) fn parse(text: &str) -> Result<Self, MirrorsError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let document = Document::parse(text)?;
        let version_1 = document.registries;
        let lists = [&version_1.search, &version_1.insecure, &version_1.block];
        let is_version_1 = lists.iter().any(|list| !list.registries.is_empty());
        let searched = document.unqualified_search_registries.unwrap_or_default();
        let is_version_2 = !document.registry.is_empty()
            || !searched.is_empty()
            || document.credential_helpers.is_some();
        if is_version_1 && is_version_2 {
            return Err(MirrorsError::MixedVersions);
        }
        let tables = match is_version_1 {
            true => version_1.tables(),
            false => document.registry,
        };
        let mut rules: Vec<Rule> = Vec::with_capacity(tables.len());
        let mut access = BTreeMap::new();
        for (index, table) in tables.into_iter().enumerate() {
            let name = [&table.prefix, &table.location];
            let name = name.into_iter().find(|name| !name.is_empty());
            let name = name.map(|name| one_line(name, 80));
            let refused = |reason: String| MirrorsError::Registry {
                number: index.saturating_add(1),
                name,
                reason,
            };
            match Rule::of(table).and_then(|rule| rule.agrees(&mut access).map(|()| rule)) {
                Ok(rule) => rules.push(rule),
                Err(reason) => return Err(refused(reason)),
            }
        }
        Ok(Self {
            rules,
            credential_helpers: document.credential_helpers,
            is_version_1,
        })
    }
}

impl Document {
    fn parse(text: &str) -> Result<Self, MirrorsError> {
        let read = || {
            let mut table = DeTable::parse(text)?;
            lower_keys(table.get_mut());
            Self::deserialize(toml::Deserializer::from(table))
        };
        read().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            MirrorsError::Syntax {
                line: before.map(|before| before.matches('\n').count().saturating_add(1)),
                reason: one_line(error.message(), 200),
            }
        })
    }
}

/// Converts all keys to lower case. A key that is lower case already takes precedence over
/// another spelling of it.
fn lower_keys(table: &mut DeTable<'_>) {
    let has_upper = |key: &str| key.bytes().any(|byte| byte.is_ascii_uppercase());
    if table.keys().any(|key| has_upper(key.get_ref())) {
        let all = std::mem::take(table).into_iter();
        let (others, exact): (Vec<_>, Vec<_>) = all.partition(|(key, _)| has_upper(key.get_ref()));
        let (mut exact, mut renamed) = (DeTable::from_iter(exact), DeTable::new());
        for (key, value) in others {
            let name = key.get_ref().to_ascii_lowercase();
            if !exact.contains_key(name.as_str()) {
                renamed.insert(Spanned::new(key.span(), name.into()), value);
            }
        }
        exact.extend(renamed);
        *table = exact;
    }
    for (_, value) in table.iter_mut() {
        lower_keys_in(value.get_mut());
    }
}

fn lower_keys_in(value: &mut DeValue<'_>) {
    match value {
        DeValue::Table(table) => lower_keys(table),
        DeValue::Array(list) => {
            for value in list.iter_mut() {
                lower_keys_in(value.get_mut());
            }
        }
        _ => {}
    }
}

impl Version1Tables {
    /// Returns the tables of version 2 with the same meaning.
    fn tables(&self) -> Vec<RegistryTable> {
        let (blocked, insecure) = (&self.block.registries, &self.insecure.registries);
        let (blocked, insecure): (BTreeSet<_>, BTreeSet<_>) =
            (blocked.iter().collect(), insecure.iter().collect());
        let table = |name: &String| RegistryTable {
            prefix: String::new(),
            location: name.clone(),
            insecure: insecure.contains(name),
            blocked: blocked.contains(name),
            mirror_by_digest_only: false,
            pull_from_mirror: String::new(),
            mirror: Vec::new(),
        };
        blocked.union(&insecure).copied().map(table).collect()
    }
}

impl Rule {
    /// Converts a table; the error says why it cannot be used.
    fn of(table: RegistryTable) -> Result<Self, String> {
        let location = location(&table.location)?;
        let prefix = location_or(&table.prefix, &location)?;
        if let Some(rest) = prefix.strip_prefix("*.")
            && rest.contains(['/', '@', ':'])
        {
            return Err("has a prefix that begins with `*.` and is not only a domain".to_owned());
        }
        if !table.pull_from_mirror.is_empty() {
            return Err(
                "has `pull-from-mirror`, which is allowed only in `[[registry.mirror]]`".to_owned(),
            );
        }
        let mut mirrors = Vec::with_capacity(table.mirror.len());
        for mirror in &table.mirror {
            mirrors.push(MirrorRule::of(mirror, table.mirror_by_digest_only)?);
        }
        Ok(Self {
            prefix,
            location: (!location.is_empty()).then_some(location),
            insecure: table.insecure,
            blocked: table.blocked,
            blocked_by_digest: false,
            mirrors,
        })
    }

    /// Checks that the rule does not contradict an earlier one of the same file. `earlier`: the
    /// values of `insecure` and `blocked` by location; one entry for each location is enough,
    /// since all earlier rules agree.
    fn agrees(&self, earlier: &mut BTreeMap<String, (bool, bool)>) -> Result<(), String> {
        let place = self.location.as_ref().unwrap_or(&self.prefix);
        let Some((insecure, blocked)) = earlier.get(place) else {
            earlier.insert(place.clone(), (self.insecure, self.blocked));
            return Ok(());
        };
        for (setting, is_same) in [
            ("insecure", *insecure == self.insecure),
            ("blocked", *blocked == self.blocked),
        ] {
            if !is_same {
                return Err(format!(
                    "has another value of `{setting}` than an earlier one with the same location"
                ));
            }
        }
        Ok(())
    }
}

impl MirrorRule {
    fn of(mirror: &MirrorTable, by_digest_only: bool) -> Result<Self, String> {
        let location = location(&mirror.location)?;
        if location.is_empty() {
            return Err("has a mirror without a location".to_owned());
        }
        let chosen = match mirror.pull_from_mirror.as_str() {
            "" => None,
            "all" => Some(PullFrom::All),
            "digest-only" => Some(PullFrom::DigestOnly),
            "tag-only" => Some(PullFrom::TagOnly),
            other => {
                let other = one_line(other, 40);
                return Err(format!(
                    "has a mirror with the unknown value `pull-from-mirror = \"{other}\"` (known: \
                     all, digest-only, tag-only)"
                ));
            }
        };
        let pull_from = match (by_digest_only, chosen) {
            (true, Some(_)) => {
                return Err(
                    "has `mirror-by-digest-only`, and a mirror with `pull-from-mirror`".to_owned(),
                );
            }
            (true, None) => PullFrom::DigestOnly,
            (false, chosen) => chosen.unwrap_or_default(),
        };
        Ok(Self {
            location,
            insecure: mirror.insecure,
            pull_from,
        })
    }
}

/// Returns a location without trailing slashes; it may be empty.
fn location(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    if trimmed.starts_with("http://") || trimmed.starts_with("https://") {
        let text = one_line(text, 80);
        return Err(format!("has `{text}`: remove the `http://` or `https://`"));
    }
    Ok(trimmed.to_owned())
}

/// Returns the prefix, which defaults to the location.
fn location_or(prefix: &str, location_of: &str) -> Result<String, String> {
    let prefix = location(prefix)?;
    match (prefix.is_empty(), location_of.is_empty()) {
        (false, _) => Ok(prefix),
        (true, false) => Ok(location_of.to_owned()),
        (true, true) => Err("has neither `prefix` nor `location`".to_owned()),
    }
}
