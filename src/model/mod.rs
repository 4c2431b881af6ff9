//! Plain data types: digests, references, images, blobs, the bundle and its inventory.
//!
//! This module does no I/O and reads neither clock nor environment. Reading and writing documents
//! made of these values is the task of `format`.

mod bundle;
pub(crate) mod byte_string;
mod content;
mod count;
mod digest;
mod graph;
mod ids;
mod image;
mod inventory;
mod limits;
mod media_type;
mod platform;
mod reference;
mod size;
mod statement;
mod target_facts;

pub use bundle::*;
pub use content::*;
pub use count::Count;
pub(crate) use count::is_zero;
pub use digest::{Blake3, Digest, DigestError};
pub use graph::{Graph, Parents, Reach, Reached, Walk, reach};
pub use ids::{BundleId, PlanId, RequestId};
pub use image::{Descriptor, ManifestFacts, RawManifest};
pub use inventory::*;
pub use limits::Limits;
pub use media_type::{ManifestKind, MediaType};
pub use platform::{Platform, PlatformError};
pub use reference::{Host, NameError, Reference, Repository, RepositoryPath, Tag};
pub use size::{ByteSize, SizeError};
pub use statement::*;
pub use target_facts::{Fact, TargetFacts};

/// Deserialises a text through `FromStr`, for types that are parsed once where they enter.
pub(crate) fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// Compares two texts that are given in parts, without joining the parts.
pub(crate) fn compare_parts<'a>(
    mut a: impl Iterator<Item = &'a str>,
    mut b: impl Iterator<Item = &'a str>,
) -> std::cmp::Ordering {
    loop {
        match (a.next(), b.next()) {
            (Some(a), Some(b)) if a == b => {}
            (one, other) => {
                let a = one.into_iter().chain(a).flat_map(str::bytes);
                return a.cmp(other.into_iter().chain(b).flat_map(str::bytes));
            }
        }
    }
}

/// Implements `Ord` by the values' texts, without building them: the `$part`s joined must be the
/// text of `$value`.
macro_rules! order_by_text {
    ($name:ident, |$value:ident| [$($part:expr),*]) => {
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                fn parts($value: &$name) -> impl Iterator<Item = &str> {
                    [$($part),*].into_iter()
                }
                crate::model::compare_parts(parts(self), parts(other))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
    };
}
pub(crate) use order_by_text;
