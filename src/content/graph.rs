//! The update service's answer: which releases there are, and which may be updated to which.
//!
//! The protocol is Cincinnati's: `GET .../graph?arch=...&channel=...` answers a JSON object with nodes,
//! edges as pairs of indices into them, and edges that hold only under conditions. What to make
//! of it is decided in `plan::upgrade`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::version::{SemanticVersion, VersionError};
use crate::model::{NameError, Reference};

/// Longest answer that is read, in bytes. Real ones have less than 2 MiB.
pub const LIMIT: u64 = 64 << 20;

/// Most releases in an answer.
const MAX_NODES: usize = 20_000;

/// Most edges in an answer, with and without conditions.
const MAX_EDGES: usize = 4_000_000;

/// Longest name of a channel in bytes.
const MAX_CHANNEL: usize = 100;

/// The metadata key that lists a node's channels, separated by commas.
const CHANNELS: &str = "io.openshift.upgrades.graph.release.channels";

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
    /// A node's version is none.
    #[error("Node {index} of the graph has no usable version")]
    Version {
        /// The node, counted from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: VersionError,
    },
    /// Two nodes have one version.
    #[error("The graph has `{version}` twice")]
    Duplicate {
        /// The version.
        version: SemanticVersion,
    },
    /// A node's payload is not a reference.
    #[error("The payload of `{version}` is not a reference")]
    Payload {
        /// The node's version.
        version: SemanticVersion,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// A node's payload is not pinned.
    #[error("The payload of `{version}` is `{payload}`, which is no reference by digest")]
    NotByDigest {
        /// The node's version.
        version: SemanticVersion,
        /// What it names.
        payload: Box<Reference>,
    },
    /// An edge begins or ends nowhere, or where it began.
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
    pub payload: Reference,
    /// The channels that it is in; empty when the service does not say.
    pub channels: BTreeSet<Channel>,
    /// Where people read about it; free text.
    pub url: Option<String>,
}

/// Updates that the service advises against under conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionalUpdate {
    /// Where it begins.
    pub from: SemanticVersion,
    /// Where it ends.
    pub to: SemanticVersion,
    /// Names of the risks, sorted; free text.
    pub risks: Vec<String>,
}

/// Releases, and which may be updated to which.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    /// Sorted by version.
    nodes: BTreeMap<SemanticVersion, Node>,
    edges: BTreeMap<SemanticVersion, BTreeSet<SemanticVersion>>,
    conditional: Vec<ConditionalUpdate>,
}

impl Graph {
    /// Reads the service's answer. Conditional edges whose versions it does not list are left
    /// out: the service lists them for clusters that run such a version, and nobody can be sent
    /// there.
    ///
    /// # Errors
    ///
    /// When a version stands twice or is none, when a payload is not named by digest alone, or
    /// when an edge does not join two of its nodes.
    pub fn parse(bytes: &[u8]) -> Result<Self, GraphError> {
        if bytes.len() as u64 > LIMIT {
            let length = bytes.len();
            return Err(GraphError::TooLong { length });
        }
        let answer: Answer = serde_json::from_slice(bytes).map_err(GraphError::Json)?;
        let within = |what, count, limit| match count > limit {
            true => Err(GraphError::TooMany { what, count, limit }),
            false => Ok(()),
        };
        let groups = answer.conditional_edges.unwrap_or_default();
        let conditional: usize = groups.iter().map(|group| group.edges.len()).sum();
        let edges = answer.edges.unwrap_or_default();
        within("nodes", answer.nodes.len(), MAX_NODES)?;
        within("edges", edges.len().saturating_add(conditional), MAX_EDGES)?;

        let mut graph = Self::default();
        let mut by_index = Vec::with_capacity(answer.nodes.len());
        for (index, raw) in answer.nodes.into_iter().enumerate() {
            let node = node(index, raw)?;
            let version = node.version.clone();
            by_index.push(version.clone());
            if graph.nodes.insert(version.clone(), node).is_some() {
                return Err(GraphError::Duplicate { version });
            }
        }
        for (index, (from, to)) in edges.into_iter().enumerate() {
            let at = |n: u64| usize::try_from(n).ok().and_then(|n| by_index.get(n));
            match (at(from), at(to)) {
                (Some(from), Some(to)) if from != to => {
                    let targets = graph.edges.entry(from.clone()).or_default();
                    targets.insert(to.clone());
                }
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
        graph.add_conditional(groups);
        Ok(graph)
    }

    fn add_conditional(&mut self, groups: Vec<RawGroup>) {
        for group in groups {
            let risks = group.risks.unwrap_or_default().into_iter();
            let risks: BTreeSet<String> = risks.map(|risk| risk.name).collect();
            for edge in group.edges {
                let known = |text: &str| {
                    let version = text.parse::<SemanticVersion>().ok()?;
                    self.nodes.contains_key(&version).then_some(version)
                };
                if let (Some(from), Some(to)) = (known(&edge.from), known(&edge.to)) {
                    let risks = risks.iter().cloned().collect();
                    self.conditional.push(ConditionalUpdate { from, to, risks });
                }
            }
        }
        self.conditional
            .sort_by(|a, b| (&a.from, &a.to, &a.risks).cmp(&(&b.from, &b.to, &b.risks)));
    }

    /// All releases, by ascending version.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = &Node> {
        self.nodes.values()
    }

    /// Finds a release by version.
    pub fn node(&self, version: &SemanticVersion) -> Option<&Node> {
        self.nodes.get(version)
    }

    /// The releases to which one may be updated without conditions, by ascending version.
    pub fn targets(
        &self,
        from: &SemanticVersion,
    ) -> impl DoubleEndedIterator<Item = &SemanticVersion> {
        self.edges.get(from).into_iter().flatten()
    }

    /// Updates under conditions, by ascending versions.
    pub fn conditional(&self) -> &[ConditionalUpdate] {
        &self.conditional
    }
}

fn node(index: usize, raw: RawNode) -> Result<Node, GraphError> {
    let version: SemanticVersion = match raw.version.parse() {
        Ok(version) => version,
        Err(source) => return Err(GraphError::Version { index, source }),
    };
    let payload: Reference = match raw.payload.parse() {
        Ok(payload) => payload,
        Err(source) => return Err(GraphError::Payload { version, source }),
    };
    if payload.digest.is_none() || payload.tag.is_some() {
        let payload = Box::new(payload);
        return Err(GraphError::NotByDigest { version, payload });
    }
    let mut metadata = raw.metadata.unwrap_or_default();
    let channels = metadata.remove(CHANNELS).unwrap_or_default();
    // A name that no flag could ask for changes nothing.
    let channels = channels
        .split(',')
        .filter_map(|name| name.trim().parse().ok());
    Ok(Node {
        version,
        payload,
        channels: channels.collect(),
        url: metadata.remove("url").filter(|url| !url.is_empty()),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    nodes: Vec<RawNode>,
    #[serde(default)]
    edges: Option<Vec<(u64, u64)>>,
    #[serde(default)]
    conditional_edges: Option<Vec<RawGroup>>,
}

#[derive(Deserialize)]
struct RawNode {
    version: String,
    payload: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RawGroup {
    edges: Vec<RawEdge>,
    #[serde(default)]
    risks: Option<Vec<RawRisk>>,
}

#[derive(Deserialize)]
struct RawEdge {
    from: String,
    to: String,
}

#[derive(Deserialize)]
struct RawRisk {
    #[serde(default)]
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(version: &str, channels: &str) -> Value {
        let digest = hex::encode(blake3::hash(version.as_bytes()).as_bytes());
        json!({
            "version": version,
            "payload": format!("quay.io/okd/scos-release@sha256:{digest}"),
            "metadata": { CHANNELS: channels, "url": "https://example.com/" },
        })
    }

    fn parse(value: &Value) -> Result<Graph, GraphError> {
        Graph::parse(value.to_string().as_bytes())
    }

    #[test]
    fn nodes_edges_and_conditions_are_read() {
        let graph = parse(&json!({
            "version": 1,
            "nodes": [node("4.2.0", "fast-4.2,stable-4.2"), node("4.1.9", ""), node("4.1.10", " fast-4.2, b/ad")],
            "edges": [[1, 2], [2, 0], [1, 2]],
            "conditionalEdges": [
                { "edges": [{ "from": "4.1.9", "to": "4.2.0" }, { "from": "4.0.0", "to": "4.2.0" }],
                  "risks": [{ "name": "B", "url": "" }, { "name": "A" }] },
            ],
        }))
        .unwrap();
        let versions: Vec<String> = graph.nodes().map(|node| node.version.to_string()).collect();
        assert_eq!(versions, ["4.1.9", "4.1.10", "4.2.0"]);
        let version = |text: &str| text.parse::<SemanticVersion>().unwrap();
        let targets: Vec<_> = graph.targets(&version("4.1.9")).collect();
        assert_eq!(targets, [&version("4.1.10")]);
        let node = graph.node(&version("4.1.10")).unwrap();
        assert_eq!(node.channels, BTreeSet::from(["fast-4.2".parse().unwrap()]));
        assert_eq!(node.url.as_deref(), Some("https://example.com/"));
        let [conditional] = graph.conditional() else {
            panic!("{:?}", graph.conditional());
        };
        assert_eq!(conditional.risks, ["A", "B"]);
    }

    #[test]
    fn parts_may_be_absent() {
        assert_eq!(parse(&json!({ "nodes": [] })).unwrap(), Graph::default());
        let mut bare = node("4.1.0", "");
        bare["metadata"] = Value::Null;
        let graph = json!({ "nodes": [bare], "edges": null, "conditionalEdges": null });
        assert_eq!(parse(&graph).unwrap().nodes().count(), 1);
    }

    #[test]
    fn wrong_graphs_are_refused() {
        let with = |path: &str, value: Value| {
            let mut graph =
                json!({ "nodes": [node("4.1.0", ""), node("4.2.0", "")], "edges": [[0, 1]] });
            *graph.pointer_mut(path).unwrap() = value;
            parse(&graph).unwrap_err()
        };
        use GraphError as E;
        assert!(matches!(
            with("/nodes/1/version", json!("4.1.0")),
            E::Duplicate { .. }
        ));
        assert!(matches!(
            with("/nodes/1/version", json!("4")),
            E::Version { index: 1, .. }
        ));
        assert!(matches!(
            with("/nodes/1/payload", json!("q.io/a:v1")),
            E::NotByDigest { .. }
        ));
        let both = format!("q.io/a:v1@sha256:{}", "0".repeat(64));
        assert!(matches!(
            with("/nodes/1/payload", json!(both)),
            E::NotByDigest { .. }
        ));
        assert!(matches!(
            with("/nodes/1/payload", json!("")),
            E::Payload { .. }
        ));
        for edge in [
            json!([0, 2]),
            json!([2, 0]),
            json!([1, 1]),
            json!([0, u64::MAX]),
        ] {
            assert!(matches!(with("/edges/0", edge), E::Edge { .. }));
        }
        for edge in [json!([0, -1]), json!([0]), json!([0, 1, 1]), json!("01")] {
            assert!(matches!(with("/edges/0", edge), E::Json(_)));
        }
        assert!(matches!(with("/nodes", json!({})), E::Json(_)));
        // What a server with a trouble of its own answers.
        assert!(matches!(Graph::parse(b"<html>"), Err(E::Json(_))));
        assert!(matches!(parse(&json!({ "error": "no" })), Err(E::Json(_))));
        let nodes: Vec<Value> = (0..=MAX_NODES)
            .map(|n| node(&format!("4.{n}.0"), ""))
            .collect();
        assert!(matches!(
            with("/nodes", json!(nodes)),
            E::TooMany { what: "nodes", .. }
        ));
        let long = vec![b' '; LIMIT as usize + 1];
        assert!(matches!(Graph::parse(&long), Err(E::TooLong { .. })));
    }
}
