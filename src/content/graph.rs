//! Parses the update service's answer: the releases, and the updates between them.
//!
//! The protocol is Cincinnati's: `GET .../graph?arch=...&channel=...` answers a JSON object with
//! nodes, edges as pairs of indices into them, and edges that hold only under conditions. It is
//! read as `oc` and oc-mirror read it, with the rules of Go's `encoding/json`. `plan::upgrade`
//! chooses updates from it.

mod answer;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use answer::{Answer, AtMost, RawGroup, RawNode, Text};
use serde::Serialize;

use super::go_json;
use super::version::SemanticVersion;
use crate::model::Reference;

/// Maximum length in bytes of an answer. Real ones have up to 3 MiB.
pub const LIMIT: u64 = 16 << 20;

/// Maximum length in bytes of an answer that is parsed a second time by Go's rules: that takes
/// about ten times as much memory.
const MAX_REREAD: usize = 4 << 20;

/// Maximum number of releases in an answer.
const MAX_NODES: usize = 20_000;

/// Maximum number of edges in an answer, conditional ones included.
const MAX_EDGES: usize = 1_000_000;

/// Maximum number of groups of conditional edges in an answer.
const MAX_GROUPS: usize = 20_000;

/// Maximum number of risks in a group. Real ones have less than ten.
const MAX_RISKS: usize = 100;

/// Maximum length in bytes of a channel's name.
const MAX_CHANNEL: usize = 100;

/// Error from parsing an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The answer is longer than [`LIMIT`].
    #[error("The graph has {length} bytes, more than the {LIMIT} that are allowed")]
    TooLong {
        /// Length of the answer in bytes.
        length: usize,
    },
    /// The answer is not JSON of the expected shape.
    #[error("The graph cannot be read")]
    Json(#[source] serde_json::Error),
    /// A list in the answer is longer than any real one.
    #[error("The graph has {count} {what}, more than the {limit} that are allowed")]
    TooMany {
        /// The kind of items in the list.
        what: &'static str,
        /// Number of items in the answer.
        count: usize,
        /// Maximum number of items.
        limit: usize,
    },
    /// An edge refers to a node that is not in the answer.
    #[error(
        "Edge {index} of the graph, from node {from} to node {to}, refers to a node that does not exist ({nodes} nodes)"
    )]
    Edge {
        /// Index of the edge, from 0.
        index: usize,
        /// Index of the node where the edge begins.
        from: u64,
        /// Index of the node where the edge ends.
        to: u64,
        /// Number of nodes in the answer.
        nodes: usize,
    },
}

/// Error for a text that is not a channel name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a channel: write for example stable-4.18", .0.escape_debug())]
pub struct ChannelError(String);

/// The name of an update channel, for example `stable-4.18`: letters, digits, `.`, `_` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Channel(String);

impl Channel {
    /// The channel's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Channel {
    type Err = ChannelError;

    fn from_str(text: &str) -> Result<Self, ChannelError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > MAX_CHANNEL || !text.bytes().all(plain) {
            return Err(ChannelError(text.chars().take(MAX_CHANNEL).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A release in the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The version of the release.
    pub version: SemanticVersion,
    /// The release image: repository and digest, never a tag.
    pub payload: Result<Reference, BadPayload>,
    /// The channels that offer the release; empty if the service does not list them.
    pub channels: BTreeSet<Channel>,
    /// Address of a page about the release; free text.
    pub url: Option<String>,
}

/// The reason why a release's image is unknown. The rest of the graph remains usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPayload {
    /// The payload is not a reference by digest.
    #[error("its payload is `{}`, which is not a reference by digest alone", .0.escape_debug())]
    NotByDigest(String),
    /// The answer lists the version twice, with different payloads.
    #[error("it has two payloads")]
    Two,
}

/// An update that the service advises against under certain conditions (a conditional edge).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionalUpdate {
    /// The version to update from.
    pub from: SemanticVersion,
    /// The version to update to.
    pub to: SemanticVersion,
    /// Names of the risks, sorted; free text. Shared by all edges of a group.
    pub risks: Arc<[String]>,
}

/// The releases, and the updates between them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    /// Sorted by version; the lists below refer to a node by its position here.
    nodes: Vec<Node>,
    /// For each node, the targets of its unconditional updates, sorted, without duplicates.
    edges: Vec<Vec<u32>>,
    /// Sorted by `from` and `to`.
    conditional: Vec<Conditional>,
}

/// A conditional update in compact form: an answer may have a million.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Conditional {
    from: u32,
    to: u32,
    risks: Arc<[String]>,
}

impl Graph {
    /// Parses the service's answer. Conditional edges between versions that the answer does not
    /// list are left out: the service adds them for clusters that run such a version, and no image
    /// of it is known. A node whose version is not a semantic version is left out, and so are its
    /// edges.
    ///
    /// # Errors
    ///
    /// When the answer is not JSON of this shape, exceeds a limit, or has an edge that refers to a
    /// missing node.
    pub fn parse(bytes: &[u8]) -> Result<Self, GraphError> {
        if bytes.len() as u64 > LIMIT {
            let length = bytes.len();
            return Err(GraphError::TooLong { length });
        }
        match serde_json::from_slice(bytes) {
            Ok(answer) => Self::of(answer),
            // Perhaps JSON that only Go's rules accept: a duplicate key, or a key in another case.
            Err(error) if bytes.len() > MAX_REREAD => Err(GraphError::Json(error)),
            Err(_) => {
                let plain = go_json::value(bytes, &answer::FIELDS).map_err(GraphError::Json)?;
                let plain = plain.to_string();
                Self::of(serde_json::from_str(&plain).map_err(GraphError::Json)?)
            }
        }
    }

    fn of(answer: Answer<'_>) -> Result<Self, GraphError> {
        let groups = answer.conditional_edges.unwrap_or_default();
        let groups = check_count("groups of conditional edges", groups)?;
        let groups: Vec<RawGroup<'_>> = groups.into_iter().flatten().collect();
        let conditional = groups.iter().filter_map(|group| group.edges.as_ref());
        let conditional: usize = conditional.map(|edges| edges.count).sum();
        let edges = answer.edges.unwrap_or_default();
        let count = edges.count.saturating_add(conditional);
        if count > MAX_EDGES {
            let (what, limit) = ("edges", MAX_EDGES);
            return Err(GraphError::TooMany { what, count, limit });
        }
        let (nodes, by_index) = sorted(check_count("nodes", answer.nodes)?);
        let mut graph = Self {
            edges: vec![Vec::new(); nodes.len()],
            nodes,
            conditional: Vec::new(),
        };
        for (index, (from, to)) in edges.items.into_iter().enumerate() {
            let at = |n: u64| by_index.get(usize::try_from(n).ok()?).copied();
            match (at(from), at(to)) {
                (Some(Some(from)), Some(Some(to))) => {
                    if from != to
                        && let Some(targets) = graph.edges.get_mut(from as usize)
                    {
                        targets.push(to);
                    }
                }
                (Some(_), Some(_)) => {}
                _ => {
                    let nodes = by_index.len();
                    return Err(GraphError::Edge {
                        index,
                        from,
                        to,
                        nodes,
                    });
                }
            }
        }
        for targets in &mut graph.edges {
            targets.sort_unstable();
            targets.dedup();
        }
        graph.add_conditional(groups)?;
        Ok(graph)
    }

    fn add_conditional(&mut self, groups: Vec<RawGroup<'_>>) -> Result<(), GraphError> {
        let mut known = Vec::with_capacity(groups.len());
        for group in groups {
            let risks = check_count("risks in a group", group.risks.unwrap_or_default())?;
            let risks = risks.into_iter().flatten();
            let risks: BTreeSet<String> = risks
                .map(|risk| risk.name.unwrap_or_default().0.into())
                .collect();
            let edges = group.edges.unwrap_or_default();
            known.push((risks.into_iter().collect::<Arc<[String]>>(), edges));
        }
        // Sort by risks once, so that lists of risks need not be compared for each edge.
        known.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut last: Arc<[String]> = Arc::default();
        for (risks, edges) in known {
            if risks != last {
                last = risks;
            }
            for edge in edges.items.into_iter().flatten() {
                let at = |text: Option<Text<'_>>| self.position(&text?.0.parse().ok()?);
                if let (Some(from), Some(to)) = (at(edge.from), at(edge.to)) {
                    let risks = Arc::clone(&last);
                    self.conditional.push(Conditional { from, to, risks });
                }
            }
        }
        self.conditional
            .sort_by_key(|update| (update.from, update.to));
        self.conditional
            .dedup_by(|b, a| (a.from, a.to) == (b.from, b.to) && Arc::ptr_eq(&a.risks, &b.risks));
        Ok(())
    }

    fn position(&self, version: &SemanticVersion) -> Option<u32> {
        let found = self
            .nodes
            .binary_search_by(|node| node.version.cmp(version));
        found.ok().and_then(|at| u32::try_from(at).ok())
    }

    fn at(&self, position: u32) -> Option<&Node> {
        self.nodes.get(position as usize)
    }

    /// All releases, by ascending version.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = &Node> {
        self.nodes.iter()
    }

    /// Finds a release by version.
    pub fn node(&self, version: &SemanticVersion) -> Option<&Node> {
        self.at(self.position(version)?)
    }

    /// The targets of unconditional updates from a release, by ascending version.
    pub fn targets(
        &self,
        from: &SemanticVersion,
    ) -> impl DoubleEndedIterator<Item = &SemanticVersion> {
        let from = self.position(from);
        let targets = from.and_then(|from| self.edges.get(from as usize));
        let targets = targets.map(Vec::as_slice).unwrap_or_default().iter();
        targets.filter_map(|to| Some(&self.at(*to)?.version))
    }

    /// All conditional updates, by ascending versions.
    pub fn conditional(&self) -> impl Iterator<Item = ConditionalUpdate> {
        self.described(&self.conditional)
    }

    /// The targets of conditional updates from a release, by ascending version. A target may occur
    /// several times, with different risks.
    pub fn conditional_targets(
        &self,
        from: &SemanticVersion,
    ) -> impl Iterator<Item = &SemanticVersion> {
        let updates = match self.position(from) {
            Some(from) => self.conditional_within((from, 0), (from, u32::MAX)),
            None => &[],
        };
        updates
            .iter()
            .filter_map(|update| Some(&self.at(update.to)?.version))
    }

    /// The conditional updates from one release to another.
    pub fn conditional_between(
        &self,
        from: &SemanticVersion,
        to: &SemanticVersion,
    ) -> impl Iterator<Item = ConditionalUpdate> {
        let updates = match (self.position(from), self.position(to)) {
            (Some(from), Some(to)) => self.conditional_within((from, to), (from, to)),
            _ => &[],
        };
        self.described(updates)
    }

    /// The conditional updates from `first` to `last`, both included, as (from, to) pairs.
    fn conditional_within(&self, first: (u32, u32), last: (u32, u32)) -> &[Conditional] {
        let all = &self.conditional;
        let start = all.partition_point(|update| (update.from, update.to) < first);
        let end = all.partition_point(|update| (update.from, update.to) <= last);
        all.get(start..end).unwrap_or_default()
    }

    fn described(&self, updates: &[Conditional]) -> impl Iterator<Item = ConditionalUpdate> {
        updates.iter().filter_map(|update| {
            Some(ConditionalUpdate {
                from: self.at(update.from)?.version.clone(),
                to: self.at(update.to)?.version.clone(),
                risks: Arc::clone(&update.risks),
            })
        })
    }
}

/// Returns the items of a list, or an error if the list was cut off.
fn check_count<T, const LIMIT: usize>(
    what: &'static str,
    list: AtMost<T, LIMIT>,
) -> Result<Vec<T>, GraphError> {
    let (count, limit) = (list.count, LIMIT);
    match count > limit {
        true => Err(GraphError::TooMany { what, count, limit }),
        false => Ok(list.items),
    }
}

/// Sorts nodes by version and merges duplicates. The second list maps each node's index in the
/// answer to its position in the first; `None` for a node that was left out.
fn sorted(raw: Vec<Option<RawNode<'_>>>) -> (Vec<Node>, Vec<Option<u32>>) {
    let mut by_index = vec![None; raw.len()];
    let read = raw.into_iter().map(Option::unwrap_or_default).map(node);
    let mut read: Vec<(usize, Node)> = read
        .enumerate()
        .filter_map(|(index, node)| Some((index, node?)))
        .collect();
    read.sort_by(|(_, a), (_, b)| a.version.cmp(&b.version));
    let mut nodes: Vec<Node> = Vec::with_capacity(read.len());
    for (index, node) in read {
        match nodes.last_mut() {
            Some(last) if last.version == node.version => last.add(node),
            _ => nodes.push(node),
        }
        if let Some(slot) = by_index.get_mut(index) {
            *slot = u32::try_from(nodes.len().saturating_sub(1)).ok();
        }
    }
    (nodes, by_index)
}

impl Node {
    /// Merges another node of the same version into this one.
    fn add(&mut self, other: Self) {
        if self.payload != other.payload {
            self.payload = Err(BadPayload::Two);
        }
        // A node without channels counts as being in the channel that the service was queried for.
        if self.channels.is_empty() || other.channels.is_empty() {
            self.channels.clear();
        } else {
            self.channels.extend(other.channels);
        }
        self.url = self.url.take().or(other.url);
    }
}

/// Converts a node; `None` if its version is not a semantic version.
fn node(raw: RawNode<'_>) -> Option<Node> {
    let version = raw.version?.0.parse().ok()?;
    let metadata = raw.metadata.unwrap_or_default();
    let channels = metadata.channels.unwrap_or_default();
    // Skip invalid channel names: no command-line flag could select them.
    let channels = channels
        .0
        .split(',')
        .filter_map(|name| name.trim().parse().ok());
    Some(Node {
        version,
        payload: payload(&raw.payload.unwrap_or_default().0),
        channels: channels.collect(),
        url: metadata
            .url
            .map(|url| url.0.into())
            .filter(|url: &String| !url.is_empty()),
    })
}

fn payload(text: &str) -> Result<Reference, BadPayload> {
    let read = text.parse().ok();
    let pinned = |read: &Reference| read.digest.is_some() && read.tag.is_none();
    read.filter(pinned)
        .ok_or_else(|| BadPayload::NotByDigest(text.chars().take(200).collect()))
}

#[cfg(test)]
mod tests;
