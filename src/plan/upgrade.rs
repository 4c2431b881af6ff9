//! Selects the releases that a request by version stands for.
//!
//! The input is the update graph and the wanted versions. The result is a list of releases, in
//! the order in which a cluster installs them, or an error that tells the operator what to
//! request instead.

mod error;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::str::FromStr;

pub use error::{NoPath, UpgradeError};

use crate::content::graph::{Channel, ConditionalUpdate, Graph, Node};
use crate::content::version::{SemanticVersion, VersionError};
use crate::model::Reference;

/// Upper limit of the versions that an error lists.
const SHOWN: usize = 5;

/// The releases of a channel that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionRequest {
    /// A single release; by default the highest of the channel.
    One(Option<SemanticVersion>),
    /// All releases of the channel between two versions, both included; an absent end is the
    /// channel's lowest or highest version.
    Range(Option<SemanticVersion>, Option<SemanticVersion>),
}

impl FromStr for VersionRequest {
    type Err = VersionError;

    /// Parses `VERSION`, `latest`, or `MIN..MAX` with either end left out.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let end = |text: &str| match text {
            "" => Ok(None),
            text => text.parse().map(Some),
        };
        match text.split_once("..") {
            Some((min, max)) => Ok(Self::Range(end(min)?, end(max)?)),
            None if text == "latest" => Ok(Self::One(None)),
            None => Ok(Self::One(Some(text.parse()?))),
        }
    }
}

impl fmt::Display for VersionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |end: &Option<SemanticVersion>| end.as_ref().map(ToString::to_string);
        match self {
            Self::One(None) => f.write_str("latest"),
            Self::One(Some(version)) => fmt::Display::fmt(version, f),
            Self::Range(min, max) => {
                let (min, max) = (end(min).unwrap_or_default(), end(max).unwrap_or_default());
                write!(f, "{min}..{max}")
            }
        }
    }
}

/// A release that was selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Version of the release.
    pub version: SemanticVersion,
    /// Reference of its payload: repository and digest.
    pub payload: Reference,
}

/// The releases that were selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The releases, by ascending version or in the order of a path.
    pub releases: Vec<Release>,
    /// True if the releases are the steps of an update path.
    pub is_path: bool,
    /// Direct updates from the start of the path to its end that the service recommends only
    /// under conditions; empty if the path itself is direct.
    pub avoided: Vec<ConditionalUpdate>,
}

/// Selects the releases of a channel that a request stands for.
///
/// With `from`, they are the steps of the shortest path from there to the wanted version, both
/// included; of several shortest paths, the one with the higher versions. A release counts as in
/// the channel if the service names no channels for it, because the service was asked for this
/// channel.
///
/// # Errors
///
/// When there is no such release or no such path; the error says what there is instead.
pub fn select(
    graph: &Graph,
    channel: &Channel,
    wanted: &VersionRequest,
    from: Option<&SemanticVersion>,
) -> Result<Choice, UpgradeError> {
    let view = View::new(graph, channel)?;
    match (wanted, from) {
        (VersionRequest::One(version), None) => {
            let version = view.one(version.as_ref())?;
            view.choice([version].into_iter(), false)
        }
        (VersionRequest::One(version), Some(from)) => view.path(from, view.one(version.as_ref())?),
        (VersionRequest::Range(min, max), None) => {
            let versions = view.range(min.as_ref(), max.as_ref(), wanted)?;
            view.choice(versions.into_iter(), false)
        }
        (VersionRequest::Range(..), Some(from)) => Err(UpgradeError::PathToRange {
            from: from.clone(),
            wanted: Box::new(wanted.clone()),
        }),
    }
}

/// The part of a graph that belongs to a channel; never empty.
struct View<'a> {
    graph: &'a Graph,
    channel: &'a Channel,
    versions: BTreeSet<&'a SemanticVersion>,
    lowest: &'a SemanticVersion,
    highest: &'a SemanticVersion,
}

impl<'a> View<'a> {
    fn new(graph: &'a Graph, channel: &'a Channel) -> Result<Self, UpgradeError> {
        let within = |node: &&Node| node.channels.is_empty() || node.channels.contains(channel);
        let versions: BTreeSet<_> = graph.nodes().filter(within).map(|n| &n.version).collect();
        match (versions.first().copied(), versions.last().copied()) {
            (Some(lowest), Some(highest)) => Ok(Self {
                graph,
                channel,
                versions,
                lowest,
                highest,
            }),
            _ => {
                let known: BTreeSet<_> = graph.nodes().flat_map(|node| &node.channels).collect();
                Err(UpgradeError::EmptyChannel {
                    channel: channel.clone(),
                    known: known.into_iter().cloned().collect(),
                })
            }
        }
    }

    fn choice(
        &self,
        versions: impl Iterator<Item = &'a SemanticVersion>,
        is_path: bool,
    ) -> Result<Choice, UpgradeError> {
        let nodes = versions.filter_map(|version| self.graph.node(version));
        let releases = nodes.map(|node| match &node.payload {
            Ok(payload) => Ok(Release {
                version: node.version.clone(),
                payload: payload.clone(),
            }),
            Err(why) => Err(UpgradeError::Payload {
                version: node.version.clone(),
                source: why.clone(),
            }),
        });
        Ok(Choice {
            releases: releases.collect::<Result<_, _>>()?,
            is_path,
            avoided: Vec::new(),
        })
    }

    /// Returns a version of the channel; the highest if none is given.
    fn one(&self, version: Option<&SemanticVersion>) -> Result<&'a SemanticVersion, UpgradeError> {
        let Some(version) = version else {
            return Ok(self.highest);
        };
        if let Some(version) = self.versions.get(version) {
            return Ok(version);
        }
        let channel = self.channel.clone();
        Err(match self.graph.node(version) {
            Some(node) => UpgradeError::NotInChannel {
                version: version.clone(),
                channel,
                known: node.channels.iter().cloned().collect(),
            },
            None => {
                let below = self.versions.iter().rev().find(|v| **v < version);
                let above = self.versions.iter().find(|v| **v > version);
                UpgradeError::UnknownVersion {
                    version: version.clone(),
                    channel,
                    nearest: below
                        .into_iter()
                        .chain(above)
                        .map(|v| (*v).clone())
                        .collect(),
                }
            }
        })
    }

    fn range(
        &self,
        min: Option<&SemanticVersion>,
        max: Option<&SemanticVersion>,
        wanted: &VersionRequest,
    ) -> Result<Vec<&'a SemanticVersion>, UpgradeError> {
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            let (min, max) = (min.clone(), max.clone());
            return Err(UpgradeError::ReversedRange { min, max });
        }
        let within = |version: &&&SemanticVersion| {
            min.is_none_or(|min| **version >= min) && max.is_none_or(|max| **version <= max)
        };
        let versions: Vec<_> = self.versions.iter().filter(within).copied().collect();
        if versions.is_empty() {
            return Err(UpgradeError::EmptyRange {
                channel: self.channel.clone(),
                wanted: Box::new(wanted.clone()),
                ends: Box::new((self.lowest.clone(), self.highest.clone())),
            });
        }
        Ok(versions)
    }

    fn path(
        &self,
        from: &SemanticVersion,
        to: &'a SemanticVersion,
    ) -> Result<Choice, UpgradeError> {
        let from = self.one(Some(from))?;
        if from > to {
            let (from, to) = (from.clone(), to.clone());
            return Err(UpgradeError::Downgrade { from, to });
        }
        let Some(path) = self.shortest(from, to, |from| self.targets(from)) else {
            return Err(UpgradeError::NoPath {
                from: from.clone(),
                to: to.clone(),
                channel: self.channel.clone(),
                why: Box::new(self.why_no_path(from, to)),
            });
        };
        let avoided = match path.len() {
            0..=2 => Vec::new(),
            _ => self.graph.conditional_between(from, to).collect(),
        };
        Ok(Choice {
            avoided,
            ..self.choice(path.into_iter(), true)?
        })
    }

    /// Returns the unconditional updates within the channel, highest version first.
    fn targets(&self, from: &SemanticVersion) -> Vec<&'a SemanticVersion> {
        let targets = self.graph.targets(from).rev();
        targets
            .filter_map(|to| self.versions.get(to).copied())
            .collect()
    }

    /// Returns the conditional and unconditional updates within the channel, highest version
    /// first.
    fn all_targets(&self, from: &SemanticVersion) -> Vec<&'a SemanticVersion> {
        let conditional = self.graph.conditional_targets(from);
        let conditional = conditional.filter_map(|to| self.versions.get(to).copied());
        let targets: BTreeSet<_> = self.targets(from).into_iter().chain(conditional).collect();
        targets.into_iter().rev().collect()
    }

    /// Searches breadth first, so that the first path found is a shortest one.
    fn shortest(
        &self,
        from: &'a SemanticVersion,
        to: &'a SemanticVersion,
        targets: impl Fn(&SemanticVersion) -> Vec<&'a SemanticVersion>,
    ) -> Option<Vec<&'a SemanticVersion>> {
        let mut came_from = BTreeMap::new();
        let mut waiting = VecDeque::from([from]);
        while let Some(version) = waiting.pop_front() {
            if version == to {
                let mut path = vec![version];
                let mut at = version;
                while let Some(before) = came_from.get(at).copied() {
                    path.push(before);
                    at = before;
                }
                path.reverse();
                return Some(path);
            }
            for next in targets(version) {
                if next != from && !came_from.contains_key(next) {
                    came_from.insert(next, version);
                    waiting.push_back(next);
                }
            }
        }
        None
    }

    fn why_no_path(&self, from: &'a SemanticVersion, to: &'a SemanticVersion) -> NoPath {
        if let Some(path) = self.shortest(from, to, |from| self.all_targets(from)) {
            let steps = path.windows(2).filter_map(|step| match step {
                [from, to] => Some((*from, *to)),
                _ => None,
            });
            let risky = steps.filter_map(|(from, to)| {
                let risky = self.graph.conditional_between(from, to).next()?;
                (!self.targets(from).contains(&to)).then_some(risky)
            });
            return NoPath::Conditional(risky.collect());
        }
        let reachable = reach(from, |version| self.targets(version));
        let mut back: BTreeMap<&SemanticVersion, Vec<&'a SemanticVersion>> = BTreeMap::new();
        for version in &self.versions {
            for target in self.targets(version) {
                back.entry(target).or_default().push(version);
            }
        }
        let origins = reach(to, |version| back.get(version).cloned().unwrap_or_default());
        if reachable.is_empty() {
            return NoPath::NoUpdateFrom;
        }
        if origins.is_empty() {
            return NoPath::NoUpdateTo;
        }
        // Nearest first: those above the start, ascending, then those below it, descending.
        let above = origins.iter().filter(|version| **version > from);
        let below = origins.iter().rev().filter(|version| **version < from);
        NoPath::Disconnected {
            reachable: first(reachable.into_iter().rev()),
            origins: first(above.chain(below).copied()),
        }
    }
}

fn first<'a>(versions: impl Iterator<Item = &'a SemanticVersion>) -> Vec<SemanticVersion> {
    versions.take(SHOWN).cloned().collect()
}

/// Returns all versions that can be reached, without the start itself.
fn reach<'a>(
    from: &'a SemanticVersion,
    next: impl Fn(&SemanticVersion) -> Vec<&'a SemanticVersion>,
) -> BTreeSet<&'a SemanticVersion> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(version) = waiting.pop() {
        for version in next(version) {
            if version != from && reached.insert(version) {
                waiting.push(version);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests;
