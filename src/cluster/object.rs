//! The frame that all objects share: API version, kind, metadata, `spec`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::split::{self, ObjectSize};
use super::yaml::Node;
use super::{ClusterError, Entry, Group};

/// Error for a text that cannot begin an object's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot begin an object's name: 1 to 160 of a-z, 0-9, hyphen and dot, labels beginning and ending with a letter or digit", .0.escape_debug())]
pub struct NamePrefixError(String);

/// The prefix of an object's name: a DNS-1123 subdomain that leaves room for a suffix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamePrefix(String);

impl FromStr for NamePrefix {
    type Err = NamePrefixError;

    fn from_str(text: &str) -> Result<Self, NamePrefixError> {
        let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let label = |label: &str| {
            let bytes = label.as_bytes();
            bytes.first().is_some_and(|b| alphanumeric(*b))
                && bytes.last().is_some_and(|b| alphanumeric(*b))
                && bytes.iter().all(|b| alphanumeric(*b) || *b == b'-')
        };
        if text.len() > 160 || !text.split('.').all(label) {
            return Err(NamePrefixError(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for NamePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object: type, metadata and `spec`.
pub(super) struct Object<'a> {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) name: String,
    /// The namespace; `None` for kinds that are cluster-scoped.
    pub(super) namespace: Option<&'static str>,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) spec: Node,
}

impl Object<'_> {
    /// The object as a YAML document of its own.
    pub(super) fn into_yaml(self) -> String {
        let mut metadata = BTreeMap::from([("name", Node::Text(self.name))]);
        if let Some(namespace) = self.namespace {
            metadata.insert("namespace", Node::text(namespace));
        }
        if !self.labels.is_empty() {
            metadata.insert("labels", Node::Strings(self.labels.clone()));
        }
        let object = Node::map([
            ("apiVersion", Node::text(self.api_version)),
            ("kind", Node::text(self.kind)),
            ("metadata", Node::Map(metadata)),
            ("spec", self.spec),
        ]);
        object.to_yaml()
    }

    /// The object as a YAML document of a stream.
    pub(super) fn into_document(self) -> String {
        format!("---\n{}", self.into_yaml())
    }
}

/// A kind of object whose `spec` is a list of mirror entries, which may be split over several
/// objects.
pub(super) struct ListKind {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    /// The short name of the kind, in lower case.
    pub(super) short: &'static str,
    /// The key of the list in `spec`.
    pub(super) list: &'static str,
}

impl ListKind {
    /// Renders as many objects as the entries need; none if there are no entries.
    pub(super) fn render(
        &self,
        entries: &[Entry],
        group: &Group<'_>,
        entry: impl Fn(&Entry) -> Node,
    ) -> Result<String, ClusterError> {
        let object = |name: String, items: Vec<Node>| Object {
            api_version: self.api_version,
            kind: self.kind,
            name,
            namespace: None,
            labels: &group.labels,
            spec: Node::map([(self.list, Node::List(items))]),
        };
        let frame = object(group.name.longest(self.short), Vec::new())
            .into_yaml()
            .len();
        let length = |one: &Entry| {
            let text = Node::List(vec![entry(one)]).to_yaml();
            // In the object, the list is indented by two more columns.
            text.len() + 2 * text.lines().count()
        };
        let limit: ObjectSize = group.options.object_size;
        let parts = split::split(entries, limit, frame, length)?;
        let documents = parts.into_iter().map(|(number, entries)| {
            let name = group.name.of(self.short, number, &entries);
            let items = entries.into_iter().map(&entry).collect();
            object(name, items).into_document()
        });
        Ok(documents.collect())
    }
}

/// The fields `mirrors` and `source`, which every kind of entry has.
pub(super) fn mirrors_and_source(entry: &Entry) -> BTreeMap<&'static str, Node> {
    let mirrors = entry.mirrors.iter().map(Node::text).collect();
    BTreeMap::from([
        ("mirrors", Node::List(mirrors)),
        ("source", Node::text(&entry.source)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_subdomains() {
        for good in ["a", "okd-4.18", "idms-generic", "0"] {
            assert_eq!(good.parse::<NamePrefix>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "A",
            "a_b",
            "a/b",
            "-a",
            "a-",
            "a..b",
            "a.",
            &"a".repeat(161),
        ] {
            assert!(bad.parse::<NamePrefix>().is_err(), "{bad}");
        }
    }
}
