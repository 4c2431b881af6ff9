//! What the cluster is given: objects and snippets as text.
//!
//! Names in, text out, sorted and without a time stamp: the same content gives the same
//! bytes. Nothing here writes a file or knows a registry. To add an object, write a small file
//! that makes an `Object` and give its text a name in [`render`].
//!
//! Shapes: reference sections 2.3, 4.3, 5.11 and 6.1.

mod content_source_policy;
mod grammar;
mod install_config;
mod mapping;
mod mirror;
mod mirror_set;
mod object;
mod scope;
pub mod signature_config_map;
mod split;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use mapping::Mapping;
pub use mirror::{Mirror, Warning};
pub use mirror_set::MirrorSourcePolicy;
pub use object::{NamePrefix, NamePrefixError};
pub use scope::Scope;
pub use split::{ObjectSize, ObjectSizeError};

use crate::model::Repository;
use crate::plan::naming::Placed;

/// Why the text cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// One entry alone is larger than an object may be.
    #[error("The mirror entry for `{location}` needs {size} bytes, an object may have {limit}")]
    EntryTooLarge {
        /// The entry's source.
        location: String,
        /// Length of an object with this entry alone, in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

/// What was mirrored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Repositories that are found on the target by digest.
    pub digests: Vec<Mirror>,
    /// Repositories that are found on the target by tag.
    pub tags: Vec<Mirror>,
    /// Every image with its name on the target.
    pub mapping: Vec<Mapping>,
}

impl Content {
    /// Collects what placed images give: all can be pulled by digest, those that keep their
    /// own tag by tag too.
    ///
    /// Leave out images that were not committed, and those whose digest changed.
    pub fn of<'a>(images: impl IntoIterator<Item = &'a Placed>) -> Self {
        let mut content = Self::default();
        for placed in images {
            let mirror = Mirror {
                source: placed.image.source.clone(),
                mirrors: vec![placed.repository.clone()],
            };
            if placed.tag_is_own {
                content.tags.push(mirror.clone());
            }
            content.digests.push(mirror);
            content.mapping.push(Mapping::of(placed));
        }
        content
    }
}

/// How to write the objects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Whether nodes may fall back to the source. Only IDMS and ITMS can say so.
    pub policy: Option<MirrorSourcePolicy>,
    /// How wide an entry may reach.
    pub scope: Scope,
    /// What object names begin with; a number follows.
    pub name: NamePrefix,
    /// The greatest length of one object.
    pub object_size: ObjectSize,
    /// Labels on every object.
    pub labels: BTreeMap<String, String>,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: &'static str,
    /// Its whole text.
    pub text: String,
}

/// All files, and what could not be said in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The files that have something to say, in a fixed order.
    pub files: Vec<File>,
    /// What no object can express, sorted.
    pub warnings: Vec<Warning>,
}

/// Writes the files for a cluster.
///
/// # Errors
///
/// [`ClusterError::EntryTooLarge`] when a single entry does not fit in an object.
pub fn render(content: &Content, options: &Options) -> Result<Rendered, ClusterError> {
    let (mirrors, warnings) = mirror::expressible(content);
    let digests = scope::entries(&mirrors.digests, &mirrors, options.scope);
    let tags = scope::entries(&mirrors.tags, &mirrors, options.scope);
    let files = [
        (
            "imageDigestMirrorSet.yaml",
            mirror_set::by_digest(&digests, options)?,
        ),
        (
            "imageTagMirrorSet.yaml",
            mirror_set::by_tag(&tags, options)?,
        ),
        (
            "imageContentSourcePolicy.yaml",
            content_source_policy::render(&digests, options)?,
        ),
        (
            "install-config-imageContentSources.yaml",
            install_config::image_content_sources(&digests),
        ),
        (
            "install-config-imageDigestSources.yaml",
            install_config::image_digest_sources(&digests),
        ),
        ("mapping.txt", mapping::render(&content.mapping)),
    ];
    Ok(Rendered {
        files: files
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| File { name, text })
            .collect(),
        warnings,
    })
}

/// A location in a mirror policy: `host[:port][/path]`.
type Location = String;

/// One entry of a mirror policy: where to look, in this order, for what is below `source`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    source: Location,
    mirrors: Vec<Location>,
}

/// A repository as the location that covers it alone.
fn location(repository: &Repository) -> Location {
    repository.to_string()
}
