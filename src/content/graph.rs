//! The update service's answer: which releases there are, and which may be updated to which.
//!
//! The protocol is Cincinnati's: `GET .../graph?arch=...&channel=...` answers a JSON object with nodes,
//! edges as pairs of indices into them, and edges that hold only under conditions. Read as `oc` and
//! oc-mirror read it, with the rules of Go's `encoding/json`. What to make of it is decided in
//! `plan::upgrade`.

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

/// Longest answer that is read, in bytes. Real ones have less than 2 MiB.
pub const LIMIT: u64 = 16 << 20;

/// Longest answer, in bytes, that is read a second time by Go's rules: that takes some ten times
/// as much memory. Real ones have 1 to 3 MiB.
const PLAIN: usize = 4 << 20;

/// Most releases in an answer (a count).
const MAX_NODES: usize = 20_000;

/// Most edges in an answer, with and without conditions (a count).
const MAX_EDGES: usize = 1_000_000;

/// Most groups of edges under conditions in an answer (a count).
const MAX_GROUPS: usize = 20_000;

/// Most risks of one group (a count). Real ones have less than ten.
const MAX_RISKS: usize = 100;

/// Longest name of a channel in bytes.
const MAX_CHANNEL: usize = 100;

/// Why an answer is not a graph of releases.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// It is longer than [`LIMIT`].
    #[error("The graph has {length} bytes, more than the {LIMIT} that are allowed")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// It is not JSON of the expected shape.
    #[error("The graph cannot be read")]
    Json(#[source] serde_json::Error),
    /// It has more parts than any real one.
    #[error("The graph has {count} {what}, more than the {limit} that are allowed")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// An edge begins or ends nowhere.
    #[error("Edge {index} of the graph, from {from} to {to}, does not join two of {nodes} nodes")]
    Edge {
        /// The edge, counted from 0.
        index: usize,
        /// Index of the node where it begins.
        from: u64,
        /// Index of the node where it ends.
        to: u64,
        /// Number of nodes.
        nodes: usize,
    },
}

/// Why a text is not the name of a channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a channel: write for example stable-4.18", .0.escape_debug())]
pub struct ChannelError(String);

/// The name of an update channel, for example `stable-4.18`: letters, digits, `.`, `_` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Channel(String);

impl Channel {
    /// The text itself.
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

/// A release that the update service knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its version.
    pub version: SemanticVersion,
    /// Its payload: repository and digest, never a tag.
    pub payload: Result<Reference, BadPayload>,
    /// The channels that it is in; empty when the service does not say.
    pub channels: BTreeSet<Channel>,
    /// Where people read about it; free text.
    pub url: Option<String>,
}

/// Why nobody knows which image a release is. It costs that release and no other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPayload {
    /// Its payload is not pinned.
    #[error("its payload is `{}`, which is not a reference by digest alone", .0.escape_debug())]
    NotByDigest(String),
    /// The answer has the version twice, with two payloads.
    #[error("it has two payloads")]
    Two,
}

/// Updates that the service advises against under conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionalUpdate {
    /// Where it begins.
    pub from: SemanticVersion,
    /// Where it ends.
    pub to: SemanticVersion,
    /// Names of the risks, sorted; free text. All edges of a group share them.
    pub risks: Arc<[String]>,
}

/// Releases, and which may be updated to which.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    /// Sorted by version; the lists below name a node by its position here.
    nodes: Vec<Node>,
    /// For each node, where one may go from it without conditions: sorted, each once.
    edges: Vec<Vec<u32>>,
    /// Sorted.
    conditional: Vec<Conditional>,
}

/// A conditional update as it is kept: an answer may have a million.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Conditional {
    from: u32,
    to: u32,
    risks: Arc<[String]>,
}

impl Graph {
    /// Reads the service's answer. Conditional edges whose versions it does not list are left
    /// out: the service lists them for clusters that run such a version, and nobody can be sent
    /// there. A node without a version that we can compare is left out, and so are its edges.
    ///
    /// # Errors
    ///
    /// When it is not JSON of this shape, when it is too long, or when an edge begins or ends at
    /// no node.
    pub fn parse(bytes: &[u8]) -> Result<Self, GraphError> {
        if bytes.len() as u64 > LIMIT {
            let length = bytes.len();
            return Err(GraphError::TooLong { length });
        }
        match serde_json::from_slice(bytes) {
            Ok(answer) => Self::of(answer),
            // Written in a way that only Go's reader takes: a key twice, another case.
            Err(error) if bytes.len() > PLAIN => Err(GraphError::Json(error)),
            Err(_) => {
                let plain = go_json::value(bytes, &answer::FIELDS).map_err(GraphError::Json)?;
                let plain = plain.to_string();
                Self::of(serde_json::from_str(&plain).map_err(GraphError::Json)?)
            }
        }
    }

    fn of(answer: Answer<'_>) -> Result<Self, GraphError> {
        let groups = answer.conditional_edges.unwrap_or_default();
        let groups = within("groups of conditional edges", groups)?;
        let groups: Vec<RawGroup<'_>> = groups.into_iter().flatten().collect();
        let conditional = groups.iter().filter_map(|group| group.edges.as_ref());
        let conditional: usize = conditional.map(|edges| edges.count).sum();
        let edges = answer.edges.unwrap_or_default();
        let count = edges.count.saturating_add(conditional);
        if count > MAX_EDGES {
            let (what, limit) = ("edges", MAX_EDGES);
            return Err(GraphError::TooMany { what, count, limit });
        }
        let (nodes, by_index) = sorted(within("nodes", answer.nodes)?);
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
            let risks = within("risks in a group", group.risks.unwrap_or_default())?;
            let risks = risks.into_iter().flatten();
            let risks: BTreeSet<String> = risks
                .map(|risk| risk.name.unwrap_or_default().0.into())
                .collect();
            let edges = group.edges.unwrap_or_default();
            known.push((risks.into_iter().collect::<Arc<[String]>>(), edges));
        }
        // By groups once, so that lists of risks need not be compared for each edge.
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

    /// The releases to which one may be updated without conditions, by ascending version.
    pub fn targets(
        &self,
        from: &SemanticVersion,
    ) -> impl DoubleEndedIterator<Item = &SemanticVersion> {
        let from = self.position(from);
        let targets = from.and_then(|from| self.edges.get(from as usize));
        let targets = targets.map(Vec::as_slice).unwrap_or_default().iter();
        targets.filter_map(|to| Some(&self.at(*to)?.version))
    }

    /// Updates under conditions, by ascending versions.
    pub fn conditional(&self) -> impl Iterator<Item = ConditionalUpdate> {
        self.described(&self.conditional)
    }

    /// Where one may go from a release under conditions, by ascending version; more than once
    /// under different conditions.
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

    /// The updates from one release to another under conditions.
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

    /// What is sorted from `first` to `last`, both included.
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

/// The items of a list that is not too long.
fn within<T, const LIMIT: usize>(
    what: &'static str,
    list: AtMost<T, LIMIT>,
) -> Result<Vec<T>, GraphError> {
    let (count, limit) = (list.count, LIMIT);
    match count > limit {
        true => Err(GraphError::TooMany { what, count, limit }),
        false => Ok(list.items),
    }
}

/// Sorts nodes by version, each version once; the second list says where each node of the answer
/// is then.
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
    /// Adds what another node says about the same version.
    fn add(&mut self, other: Self) {
        if self.payload != other.payload {
            self.payload = Err(BadPayload::Two);
        }
        // A node without channels counts as in the channel that the service was asked for.
        if self.channels.is_empty() || other.channels.is_empty() {
            self.channels.clear();
        } else {
            self.channels.extend(other.channels);
        }
        self.url = self.url.take().or(other.url);
    }
}

/// Reads a node; nothing when its version is none that can be compared.
fn node(raw: RawNode<'_>) -> Option<Node> {
    let version = raw.version?.0.parse().ok()?;
    let metadata = raw.metadata.unwrap_or_default();
    let channels = metadata.channels.unwrap_or_default();
    // A name that no flag could ask for changes nothing.
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
