//! Errors of the filter of a catalog.

use std::fmt;

/// The error for a filter that gives no valid catalog, with all problems, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    /// The problems; at least one.
    pub problems: Vec<FilterProblem>,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The catalog cannot be filtered:")?;
        for problem in &self.problems {
            write!(f, "\n  - {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for FilterError {}

/// A reason why a filter gives no valid catalog.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum FilterProblem {
    /// The catalog does not have the requested package.
    #[error("The catalog has no package `{}`", package.escape_debug())]
    NoPackage {
        /// Name of the package.
        package: String,
    },
    /// The package does not have the requested channel.
    #[error(
        "The package `{}` has no channel `{}`; it has {}",
        package.escape_debug(), channel.escape_debug(), List(channels)
    )]
    NoChannel {
        /// Name of the package.
        package: String,
        /// Name of the channel.
        channel: String,
        /// Names of the channels that it has.
        channels: Vec<String>,
    },
    /// The catalog describes the same thing twice.
    #[error(
        "The catalog has the {what} `{}` of package `{}` twice",
        name.escape_debug(), package.escape_debug()
    )]
    Duplicate {
        /// Kind of thing: `package`, `channel`, `bundle` or `entry of channel X`.
        what: String,
        /// Name of the package.
        package: String,
        /// Name of the thing.
        name: String,
    },
    /// The bundles of a channel replace or skip each other in a cycle.
    #[error(
        "The channel `{}` of package `{}` has a cycle of bundles that replace each other: {}",
        channel.escape_debug(), package.escape_debug(), Circle(bundles)
    )]
    Cycle {
        /// Name of the package.
        package: String,
        /// Name of the channel.
        channel: String,
        /// Names of the bundles in the cycle, each once; each replaces or skips the next one.
        bundles: Vec<String>,
    },
    /// A channel has several heads, or no entries.
    #[error(
        "The channel `{}` of package `{}` must have exactly one head; it has {}",
        channel.escape_debug(), package.escape_debug(), Heads(heads)
    )]
    Heads {
        /// Name of the package.
        package: String,
        /// Name of the channel.
        channel: String,
        /// Names of the heads, sorted; empty for a channel without entries.
        heads: Vec<String>,
    },
    /// A channel would keep an entry for which the catalog has no bundle.
    #[error(
        "The channel `{}` of package `{}` names the bundle `{}`, which the catalog does not contain",
        channel.escape_debug(), package.escape_debug(), bundle.escape_debug()
    )]
    NoBundle {
        /// Name of the package.
        package: String,
        /// Name of the channel.
        channel: String,
        /// Name of the bundle in the entry.
        bundle: String,
    },
    /// No bundle of the package is left.
    #[error("No bundle of the package `{}` matches the filter", package.escape_debug())]
    Nothing {
        /// Name of the package.
        package: String,
    },
    /// The package's default channel is not kept.
    #[error(
        "The filter leaves out the default channel `{}` of package `{}`: keep it, or choose another \
         one with --default-channel: {}",
        channel.escape_debug(), package.escape_debug(), List(kept)
    )]
    DefaultChannel {
        /// Name of the package.
        package: String,
        /// Name of its default channel, or of the requested one.
        channel: String,
        /// Names of the channels that are kept.
        kept: Vec<String>,
    },
}

/// Displays names in backquotes, separated by commas; `none` for an empty list.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, name) in self.0.iter().enumerate() {
            let between = if index == 0 { "" } else { ", " };
            write!(f, "{between}`{}`", name.escape_debug())?;
        }
        Ok(())
    }
}

/// Displays names with arrows between them, the first one again at the end.
struct Circle<'a>(&'a [String]);

impl fmt::Display for Circle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Upper limit of names displayed; of longer cycles the rest is a number.
        const SHOWN: usize = 20;
        for name in self.0.iter().take(SHOWN) {
            write!(f, "`{}` -> ", name.escape_debug())?;
        }
        if let Some(left) = self.0.len().checked_sub(SHOWN).filter(|left| *left > 0) {
            write!(f, "{left} more -> ")?;
        }
        let first = self.0.first().map(String::as_str).unwrap_or_default();
        write!(f, "`{}`", first.escape_debug())
    }
}

/// Displays `no entries`, or the heads.
struct Heads<'a>(&'a [String]);

impl fmt::Display for Heads<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("no entries"),
            heads => List(heads).fmt(f),
        }
    }
}
