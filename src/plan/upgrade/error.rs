//! Why a request by version means no release, in words that name what there is instead.

use std::fmt;

use super::Wanted;
use crate::content::graph::{BadPayload, Channel, ConditionalUpdate};
use crate::content::version::SemanticVersion;

/// Why no release answers a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// Nothing is in the channel.
    #[error(
        "The update service names no release of channel `{channel}`{}",
        others(known)
    )]
    EmptyChannel {
        /// The channel.
        channel: Channel,
        /// The channels that its answer does name.
        known: Vec<Channel>,
    },
    /// The service does not know the version.
    #[error(
        "`{version}` is unknown to the update service in channel `{channel}`; nearest {}",
        versions(nearest)
    )]
    UnknownVersion {
        /// The version.
        version: SemanticVersion,
        /// The channel.
        channel: Channel,
        /// The versions just below and above it.
        nearest: Vec<SemanticVersion>,
    },
    /// The version exists, elsewhere.
    #[error("`{version}` is not in channel `{channel}`, only in {}", list(known))]
    NotInChannel {
        /// The version.
        version: SemanticVersion,
        /// The channel.
        channel: Channel,
        /// The channels that it is in.
        known: Vec<Channel>,
    },
    /// The range ends before it begins.
    #[error("The range from `{min}` to `{max}` ends before it begins")]
    Backwards {
        /// Its beginning.
        min: SemanticVersion,
        /// Its end.
        max: SemanticVersion,
    },
    /// The channel has nothing in the range.
    #[error(
        "Channel `{channel}` has no release in `{wanted}`; it goes {}",
        span(ends)
    )]
    EmptyRange {
        /// The channel.
        channel: Channel,
        /// What was asked for.
        wanted: Box<Wanted>,
        /// The channel's lowest and highest version.
        ends: Box<(SemanticVersion, SemanticVersion)>,
    },
    /// A path was asked for, to several versions.
    #[error("A path from `{from}` must end at one version, not in the range `{wanted}`")]
    PathToRange {
        /// Where it begins.
        from: SemanticVersion,
        /// What was asked for.
        wanted: Box<Wanted>,
    },
    /// Updates lead upwards only.
    #[error("`{from}` cannot be updated to `{to}`, which is older")]
    Downgrade {
        /// Where the path begins.
        from: SemanticVersion,
        /// Where it should end.
        to: SemanticVersion,
    },
    /// The service does not say which image a chosen release is.
    #[error("The update service does not say which image `{version}` is")]
    Payload {
        /// The release.
        version: SemanticVersion,
        /// Why.
        #[source]
        source: BadPayload,
    },
    /// No edges join the two.
    #[error("No update path leads from `{from}` to `{to}` in channel `{channel}`: {why}")]
    NoPath {
        /// Where the path begins.
        from: SemanticVersion,
        /// Where it should end.
        to: SemanticVersion,
        /// The channel.
        channel: Channel,
        /// Why.
        why: Box<NoPath>,
    },
}

/// Why two releases are not joined.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoPath {
    /// A path exists when conditional updates are taken; these are on it.
    Conditional(Vec<ConditionalUpdate>),
    /// No edge begins at the beginning.
    NothingFrom,
    /// No edge ends at the end.
    NothingTo,
    /// Other versions can be reached, these are the highest; and the end can be reached from
    /// others, these are the ones nearest to the beginning.
    Apart {
        /// The highest versions that can be reached, descending.
        reachable: Vec<SemanticVersion>,
        /// Versions from which the end can be reached, nearest to the beginning first.
        origins: Vec<SemanticVersion>,
    },
}

impl fmt::Display for NoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conditional(updates) => {
                f.write_str("only updates with known risks would lead there:")?;
                for (index, update) in updates.iter().enumerate() {
                    let separator = if index > 0 { "," } else { "" };
                    let risks = update.risks.join(", ");
                    let (from, to, risks) = (&update.from, &update.to, risks.escape_debug());
                    write!(f, "{separator} `{from}` to `{to}` ({risks})")?;
                }
                Ok(())
            }
            Self::NothingFrom => f.write_str("no update begins at the first"),
            Self::NothingTo => f.write_str("no update ends at the second"),
            Self::Apart { reachable, origins } => write!(
                f,
                "the highest that can be reached {}, and the second can be reached from {}",
                versions(reachable),
                list(origins)
            ),
        }
    }
}

fn list(items: &[impl fmt::Display]) -> String {
    let items: Vec<String> = items.iter().map(|item| format!("`{item}`")).collect();
    items.join(", ")
}

fn versions(versions: &[SemanticVersion]) -> String {
    match versions {
        [one] => format!("is `{one}`"),
        many => format!("are {}", list(many)),
    }
}

fn others(known: &[Channel]) -> String {
    match known {
        [] => String::new(),
        known => format!(", only of {}", list(known)),
    }
}

fn span(ends: &(SemanticVersion, SemanticVersion)) -> String {
    format!("from `{}` to `{}`", ends.0, ends.1)
}
