//! The upgrade graph of a channel: its head, and the chain of bundles that replace each other.

use std::collections::{BTreeMap, BTreeSet};

use super::FilterProblem;
use crate::content::catalog::{Channel, Entry};

/// The graph of a channel that has one head and no cycles.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    entries: BTreeMap<&'a str, &'a Entry>,
    /// Entries from the head down; each one replaces the next.
    chain: Vec<&'a Entry>,
    /// Positions of entries in `chain`, by name.
    positions: BTreeMap<&'a str, usize>,
    /// For each skipped entry that is not on the chain: the position of the entry that skips it,
    /// of several the one farthest from the head.
    skipped_at: BTreeMap<&'a str, usize>,
    /// Number of calls of `place`; tests measure the work by it.
    #[cfg(test)]
    pub(super) asked: std::cell::Cell<usize>,
}

impl<'a> Graph<'a> {
    /// Builds the graph of a channel.
    ///
    /// # Errors
    ///
    /// When the channel has an entry twice, when entries replace or skip each other in a cycle,
    /// and when there is not exactly one head.
    pub(super) fn new(channel: &'a Channel) -> Result<Self, FilterProblem> {
        let (package, name) = (&channel.package, &channel.name);
        let mut entries = BTreeMap::new();
        for entry in &channel.entries {
            if entries.insert(entry.name.as_str(), entry).is_some() {
                return Err(FilterProblem::Duplicate {
                    what: format!("entry of channel `{}`", name.escape_debug()),
                    package: package.clone(),
                    name: entry.name.clone(),
                });
            }
        }
        if let Some(bundles) = circle(&entries) {
            return Err(FilterProblem::Cycle {
                package: package.clone(),
                channel: name.clone(),
                bundles,
            });
        }
        let heads = channel.heads();
        let [head] = heads.as_slice() else {
            return Err(FilterProblem::Heads {
                package: package.clone(),
                channel: name.clone(),
                heads: heads.iter().map(|head| head.name.clone()).collect(),
            });
        };
        // Ends, because there is no cycle.
        let below = |entry: &&'a Entry| entries.get(entry.replaces.as_deref()?).copied();
        let chain: Vec<&Entry> = std::iter::successors(Some(*head), below).collect();
        let mut positions = BTreeMap::new();
        let mut skipped_at = BTreeMap::new();
        for (position, entry) in chain.iter().enumerate() {
            positions.insert(entry.name.as_str(), position);
            let skipped = entry.skips.iter().map(String::as_str);
            skipped_at.extend(skipped.map(|name| (name, position)));
        }
        skipped_at.retain(|name, _| entries.contains_key(name) && !positions.contains_key(name));
        Ok(Self {
            entries,
            chain,
            positions,
            skipped_at,
            #[cfg(test)]
            asked: std::cell::Cell::default(),
        })
    }

    /// Returns the position of an entry on the chain, or of the entry that skips it; `None` if it
    /// is neither on the chain nor skipped by it.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        #[cfg(test)]
        self.asked.set(self.asked.get() + 1);
        let known = self.positions.get(name).or(self.skipped_at.get(name));
        known.copied()
    }

    /// Returns all entries, sorted by name.
    pub(super) fn entries(&self) -> impl Iterator<Item = &'a Entry> {
        self.entries.values().copied()
    }

    /// Returns the head.
    pub(super) fn head(&self) -> Option<&'a Entry> {
        self.chain.first().copied()
    }

    /// Returns the entries from the head down; each one replaces the next.
    pub(super) fn chain(&self) -> &[&'a Entry] {
        &self.chain
    }

    /// Returns the entries that an entry skips, as far as the channel has them.
    pub(super) fn skipped_by(&self, entry: &'a Entry) -> impl Iterator<Item = &'a Entry> {
        let skips = entry.skips.iter();
        skips.filter_map(|name| self.entries.get(name.as_str()).copied())
    }

    /// Returns the part of the chain that connects these bundles: a channel that keeps it and
    /// them is one graph with one head. `None` if a bundle is neither on the chain nor skipped by
    /// it.
    pub(super) fn connecting<'b>(
        &self,
        bundles: impl IntoIterator<Item = &'b str>,
    ) -> Option<&[&'a Entry]> {
        let mut ends: Option<(usize, usize)> = None;
        for name in bundles {
            let position = self.place(name)?;
            let (first, last) = ends.unwrap_or((position, position));
            ends = Some((first.min(position), last.max(position)));
        }
        let (first, last) = ends?;
        self.chain.get(first..=last)
    }
}

/// Finds a cycle of entries that replace or skip each other.
///
/// Removes entries without incoming edges until none is left; every remaining entry is on a cycle
/// or below one. The cost is linear in the number of entries and edges.
fn circle(entries: &BTreeMap<&str, &Entry>) -> Option<Vec<String>> {
    let below = |entry: &&Entry| {
        let edges = entry.replaces.iter().chain(&entry.skips);
        let known = edges.filter_map(|name| entries.get_key_value(name.as_str()));
        known.map(|(name, _)| *name).collect::<BTreeSet<_>>()
    };
    let mut incoming: BTreeMap<&str, usize> = entries.keys().map(|name| (*name, 0)).collect();
    for name in entries.values().flat_map(below) {
        *incoming.entry(name).or_default() += 1;
    }
    let free = incoming.iter().filter(|(_, count)| **count == 0);
    let mut waiting: Vec<&str> = free.map(|(name, _)| *name).collect();
    while let Some(name) = waiting.pop() {
        incoming.remove(name);
        for name in entries.get(name).map(below).unwrap_or_default() {
            if let Some(count) = incoming.get_mut(name) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    waiting.push(name);
                }
            }
        }
    }
    // Every remaining entry is below another one, so that going up must reach some entry twice.
    let mut above: BTreeMap<&str, &str> = BTreeMap::new();
    for upper in incoming.keys() {
        for lower in entries.get(upper).map(below).unwrap_or_default() {
            above.entry(lower).or_insert(upper);
        }
    }
    let mut at = *incoming.keys().next()?;
    let mut seen = BTreeSet::new();
    while seen.insert(at) {
        at = above.get(at)?;
    }
    let start = at;
    let mut bundles = vec![start.to_owned()];
    at = above.get(at)?;
    while at != start {
        bundles.push(at.to_owned());
        at = above.get(at)?;
    }
    // In the order from upper to lower entries, beginning with the smallest name.
    bundles.reverse();
    let smallest = (0..bundles.len()).min_by_key(|index| bundles.get(*index));
    bundles.rotate_left(smallest.unwrap_or(0));
    Some(bundles)
}
