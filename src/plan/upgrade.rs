//! Which releases a request by version means.
//!
//! The update graph is the fact, the wanted versions are the option; the answer is a list of
//! releases, in the order in which a cluster takes them, or a reason that tells a person what to
//! ask for instead.

mod error;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::str::FromStr;

pub use error::{NoPath, UpgradeError};

use crate::content::graph::{Channel, ConditionalUpdate, Graph, Node};
use crate::content::version::{SemanticVersion, VersionError};
use crate::model::Reference;

/// Versions that an error lists.
const SHOWN: usize = 5;

/// Which releases of a channel are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// One release, by default the channel's highest.
    One(Option<SemanticVersion>),
    /// Every release of the channel between two, both included; an end that is absent is the
    /// channel's.
    Range(Option<SemanticVersion>, Option<SemanticVersion>),
}

impl FromStr for Wanted {
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

impl fmt::Display for Wanted {
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

/// A release that a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its version.
    pub version: SemanticVersion,
    /// Its payload: repository and digest.
    pub payload: Reference,
}

/// The releases that a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The releases, by ascending version, or from the beginning of a path to its end.
    pub releases: Vec<Release>,
    /// Whether they are steps of an update, each to the next.
    pub is_path: bool,
    /// Updates from the path's beginning straight to its end that would be shorter, and that the
    /// service advises against under conditions.
    pub avoided: Vec<ConditionalUpdate>,
}

/// Decides which releases of a channel a request means.
///
/// With `from`, these are the steps of the shortest path from there to the wanted version, both
/// included; of several such paths the one whose steps are the higher versions. A release whose
/// channels the service does not tell counts as in the channel: the service was asked for it.
///
/// # Errors
///
/// When there is no such release or no such path, with what there is instead.
pub fn select(
    graph: &Graph,
    channel: &Channel,
    wanted: &Wanted,
    from: Option<&SemanticVersion>,
) -> Result<Choice, UpgradeError> {
    let view = View::new(graph, channel)?;
    match (wanted, from) {
        (Wanted::One(version), None) => {
            let version = view.one(version.as_ref())?;
            view.choice([version].into_iter(), false)
        }
        (Wanted::One(version), Some(from)) => view.path(from, view.one(version.as_ref())?),
        (Wanted::Range(min, max), None) => {
            let versions = view.range(min.as_ref(), max.as_ref(), wanted)?;
            view.choice(versions.into_iter(), false)
        }
        (Wanted::Range(..), Some(from)) => Err(UpgradeError::PathToRange {
            from: from.clone(),
            wanted: Box::new(wanted.clone()),
        }),
    }
}

/// The part of a graph that is in a channel; never empty.
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

    /// A version of the channel; the highest when none is wanted.
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
        wanted: &Wanted,
    ) -> Result<Vec<&'a SemanticVersion>, UpgradeError> {
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            let (min, max) = (min.clone(), max.clone());
            return Err(UpgradeError::Backwards { min, max });
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

    /// Updates without conditions within the channel, highest version first.
    fn targets(&self, from: &SemanticVersion) -> Vec<&'a SemanticVersion> {
        let targets = self.graph.targets(from).rev();
        targets
            .filter_map(|to| self.versions.get(to).copied())
            .collect()
    }

    /// Updates with and without conditions within the channel, highest version first.
    fn all_targets(&self, from: &SemanticVersion) -> Vec<&'a SemanticVersion> {
        let conditional = self.graph.conditional_targets(from);
        let conditional = conditional.filter_map(|to| self.versions.get(to).copied());
        let targets: BTreeSet<_> = self.targets(from).into_iter().chain(conditional).collect();
        targets.into_iter().rev().collect()
    }

    /// Breadth first, so the first way found is a shortest one.
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
            return NoPath::NothingFrom;
        }
        if origins.is_empty() {
            return NoPath::NothingTo;
        }
        // Nearest: the lowest above the beginning, or else the highest below it.
        let above = origins.iter().filter(|version| **version > from);
        let below = origins.iter().rev().filter(|version| **version < from);
        NoPath::Apart {
            reachable: first(reachable.into_iter().rev()),
            origins: first(above.chain(below).copied()),
        }
    }
}

fn first<'a>(versions: impl Iterator<Item = &'a SemanticVersion>) -> Vec<SemanticVersion> {
    versions.take(SHOWN).cloned().collect()
}

/// Everything that can be reached, the beginning apart.
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
