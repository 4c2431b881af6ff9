//! Errors of requests by version; they name what there is instead.

use std::fmt;

use super::VersionRequest;
use crate::content::graph::{BadPayload, Channel, ConditionalUpdate};
use crate::content::version::SemanticVersion;

/// The error for a request that stands for no release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The channel is empty.
    #[error(
        "The update service names no release of channel `{channel}`{}",
        others(known)
    )]
    EmptyChannel {
        /// Name of the channel.
        channel: Channel,
        /// Names of the channels in the service's answer.
        known: Vec<Channel>,
    },
    /// The update service does not know the version.
    #[error(
        "The update service does not know `{version}` in channel `{channel}`; nearest {}",
        versions(nearest)
    )]
    UnknownVersion {
        /// The requested version.
        version: SemanticVersion,
        /// Name of the channel.
        channel: Channel,
        /// The closest versions below and above it.
        nearest: Vec<SemanticVersion>,
    },
    /// The version exists, but not in this channel.
    #[error("`{version}` is not in channel `{channel}`, only in {}", list(known))]
    NotInChannel {
        /// The requested version.
        version: SemanticVersion,
        /// Name of the channel.
        channel: Channel,
        /// Names of the channels that contain it.
        known: Vec<Channel>,
    },
    /// The lower end of the range is above its upper end.
    #[error("The range from `{min}` to `{max}` ends before it begins")]
    ReversedRange {
        /// Lower end of the range.
        min: SemanticVersion,
        /// Upper end of the range.
        max: SemanticVersion,
    },
    /// The channel has no release in the range.
    #[error(
        "Channel `{channel}` has no release in `{wanted}`; its releases go {}",
        span(ends)
    )]
    EmptyRange {
        /// Name of the channel.
        channel: Channel,
        /// The requested range.
        wanted: Box<VersionRequest>,
        /// The lowest and the highest version of the channel.
        ends: Box<(SemanticVersion, SemanticVersion)>,
    },
    /// A path was requested to a range instead of a single version.
    #[error("A path from `{from}` must end at one version, not in the range `{wanted}`")]
    PathToRange {
        /// Version at which the path starts.
        from: SemanticVersion,
        /// The requested range.
        wanted: Box<VersionRequest>,
    },
    /// The path would lead to a lower version.
    #[error("`{from}` cannot be updated to `{to}`, which is older")]
    Downgrade {
        /// Version at which the path starts.
        from: SemanticVersion,
        /// Version at which the path should end.
        to: SemanticVersion,
    },
    /// The service names no valid image for a selected release.
    #[error("The update service gives no usable image for `{version}`")]
    Payload {
        /// Version of the release.
        version: SemanticVersion,
        /// The reason why its image is not valid.
        #[source]
        source: BadPayload,
    },
    /// The channel has no path of updates between the two versions.
    #[error("No update path leads from `{from}` to `{to}` in channel `{channel}`: {why}")]
    NoPath {
        /// Version at which the path starts.
        from: SemanticVersion,
        /// Version at which the path should end.
        to: SemanticVersion,
        /// Name of the channel.
        channel: Channel,
        /// The reason, with alternatives.
        why: Box<NoPath>,
    },
}

/// The reason why there is no path between two releases.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoPath {
    /// A path exists if conditional updates are used; these are the conditional updates on it.
    Conditional(Vec<ConditionalUpdate>),
    /// No update starts at the first version.
    NoUpdateFrom,
    /// No update ends at the second version.
    NoUpdateTo,
    /// Updates start at the first version and updates end at the second one, but they do not
    /// meet.
    Disconnected {
        /// The highest versions that can be reached from the first version, descending.
        reachable: Vec<SemanticVersion>,
        /// Versions from which the second version can be reached, nearest to the first version
        /// first.
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
            Self::NoUpdateFrom => f.write_str("no update starts at the first version"),
            Self::NoUpdateTo => f.write_str("no update leads to the second version"),
            Self::Disconnected { reachable, origins } => write!(
                f,
                "the highest reachable: {}; the second version can be reached from {}",
                list(reachable),
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
