//! Why a filter gives no catalog.

use std::fmt;

/// Why a filter gives no catalog: everything that is wrong, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    /// What is wrong; not empty.
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

/// Something that keeps a filter from giving a valid catalog.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum FilterProblem {
    /// A package that the catalog does not have.
    #[error("It has no package `{}`", package.escape_debug())]
    NoPackage {
        /// The package.
        package: String,
    },
    /// A channel that a package does not have.
    #[error(
        "The package `{}` has no channel `{}`; it has {}",
        package.escape_debug(), channel.escape_debug(), List(channels)
    )]
    NoChannel {
        /// The package.
        package: String,
        /// The channel.
        channel: String,
        /// The channels that it has.
        channels: Vec<String>,
    },
    /// The same thing is described twice.
    #[error(
        "The {what} `{}` of package `{}` is described twice",
        name.escape_debug(), package.escape_debug()
    )]
    Duplicate {
        /// `package`, `channel`, `bundle` or `entry of channel X`.
        what: String,
        /// The package.
        package: String,
        /// What is described twice.
        name: String,
    },
    /// A channel whose bundles replace or skip each other in a circle.
    #[error(
        "In the channel `{}` of package `{}` bundles replace each other in a circle: {}",
        channel.escape_debug(), package.escape_debug(), Circle(bundles)
    )]
    Cycle {
        /// The package.
        package: String,
        /// The channel.
        channel: String,
        /// The circle, each bundle once; each replaces or skips the next one.
        bundles: Vec<String>,
    },
    /// A channel with several heads, or without entries.
    #[error(
        "The channel `{}` of package `{}` has {} instead of one head",
        channel.escape_debug(), package.escape_debug(), Heads(heads)
    )]
    Heads {
        /// The package.
        package: String,
        /// The channel.
        channel: String,
        /// The heads, sorted.
        heads: Vec<String>,
    },
    /// A channel that keeps an entry without a bundle.
    #[error(
        "The channel `{}` of package `{}` names the bundle `{}`, which is not there",
        channel.escape_debug(), package.escape_debug(), bundle.escape_debug()
    )]
    NoBundle {
        /// The package.
        package: String,
        /// The channel.
        channel: String,
        /// The entry.
        bundle: String,
    },
    /// A package of which nothing is left.
    #[error("Nothing of the package `{}` is left", package.escape_debug())]
    Nothing {
        /// The package.
        package: String,
    },
    /// The default channel is not kept.
    #[error(
        "The default channel `{}` of package `{}` is not kept: choose another one of {}",
        channel.escape_debug(), package.escape_debug(), List(kept)
    )]
    DefaultChannel {
        /// The package.
        package: String,
        /// Its default channel, or the one asked for.
        channel: String,
        /// The channels that are kept.
        kept: Vec<String>,
    },
}

/// Names in backquotes, with commas.
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

/// Names with arrows, the first one again in the end.
struct Circle<'a>(&'a [String]);

impl fmt::Display for Circle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Longer circles are cut in the middle.
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

/// `no head` or the heads.
struct Heads<'a>(&'a [String]);

impl fmt::Display for Heads<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("no entry"),
            heads => List(heads).fmt(f),
        }
    }
}
