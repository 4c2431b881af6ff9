//! Warnings about what the objects cannot express.

use std::fmt;

use super::{Mapping, Scope};
use crate::model::{Count, Host, Reference, Repository};
use crate::plan::naming::SharedTag;

/// Number of sources that a warning lists by name.
const NAMED: usize = 3;

/// Something that the objects cannot express.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Warning {
    /// The registry of these sources does not fit the grammar: they have no entry.
    SourceHost {
        /// The registry.
        host: Host,
        /// The sources, sorted.
        sources: Vec<Repository>,
    },
    /// The registry of mirrors does not fit the grammar: the entries of these sources leave it out.
    MirrorHost {
        /// The registry.
        host: Host,
        /// The sources, sorted.
        sources: Vec<Repository>,
    },
    /// A ClusterCatalog cannot name the catalog image.
    ClusterCatalog {
        /// The image on the target.
        image: Reference,
    },
    /// An image has another tag on the target, but a mirror policy always looks for the same tag.
    OtherTag {
        /// The image as clusters name it, and its name on the target.
        mapping: Box<Mapping>,
    },
    /// A tag that is pinned to several digests.
    SharedTag {
        /// The tag, its digests, and the one that has the tag on the target.
        shared: Box<SharedTag>,
    },
    /// These sources keep narrow entries, because repositories around them have other mirrors.
    Narrow {
        /// The scope that was requested.
        scope: Scope,
        /// The sources, sorted.
        sources: Vec<String>,
    },
    /// An UpdateService reads every image of its repository, and there are others than releases.
    UpdateService {
        /// The repository.
        repository: Repository,
        /// Number of images there that are no releases.
        others: usize,
    },
    /// A source without any mirror.
    NoMirror {
        /// The source.
        source: Repository,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WHY: &str = "IPv6 addresses and underscores do not fit the grammar";
        let (host, sources) = match self {
            Self::SourceHost { host, sources } => {
                write!(f, "Mirror policies cannot name the source registry ")?;
                (host, sources)
            }
            Self::MirrorHost { host, sources } => {
                write!(f, "Mirror policies cannot name the mirror registry ")?;
                (host, sources)
            }
            Self::ClusterCatalog { image } => {
                return write!(
                    f,
                    "No ClusterCatalog was written: its validation rules reject `{image}`"
                );
            }
            Self::OtherTag { mapping } => {
                let Mapping { source, target } = mapping.as_ref();
                return write!(
                    f,
                    "Clusters cannot pull `{source}` by its tag: on the mirror it is `{target}`, \
                     and mirror policies cannot change tags"
                );
            }
            Self::SharedTag { shared } => return write!(f, "{shared}"),
            Self::Narrow { scope, sources } => {
                return write!(
                    f,
                    "No {scope}-wide entry for {}: paths there differ between source and mirror, \
                     so each keeps an entry of its own (`--max-components 0` keeps paths)",
                    Shortened(sources)
                );
            }
            Self::UpdateService { repository, others } => {
                return write!(
                    f,
                    "The UpdateService names `{repository}`, which also holds {} that {} no \
                     release: the service reads every image there. Import with \
                     `--to-release-image` to give release images a repository of their own",
                    Count::of(*others, "image"),
                    if *others == 1 { "is" } else { "are" },
                );
            }
            Self::NoMirror { source } => {
                return write!(f, "No entry was written for `{source}`: it has no mirror");
            }
        };
        write!(f, "`{host}` ({WHY}), left out for")?;
        for (index, source) in sources.iter().enumerate() {
            let before = if index == 0 { "" } else { "," };
            write!(f, "{before} `{source}`")?;
        }
        Ok(())
    }
}

/// The first [`NAMED`] items in backquotes, and the number of the others.
struct Shortened<'a>(&'a [String]);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, source) in self.0.iter().take(NAMED).enumerate() {
            let before = if index == 0 { "" } else { ", " };
            write!(f, "{before}`{source}`")?;
        }
        match self.0.len().checked_sub(NAMED) {
            Some(more) if more > 0 => write!(f, " and {more} more"),
            _ => Ok(()),
        }
    }
}
