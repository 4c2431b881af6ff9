//! What things are: digests, references, images, blobs, the bundle and its inventory.
//!
//! Plain values. This module does no I/O, knows no clock and no environment, and never says
//! how a value is written down: that is `format`.

mod bundle;
pub(crate) mod byte_string;
mod content;
mod count;
mod digest;
mod image;
mod inventory;
mod limits;
mod media_type;
mod platform;
mod reference;
mod size;
mod statement;

pub use bundle::*;
pub use content::*;
pub use count::Count;
pub use digest::{Blake3, Digest, DigestError};
pub use image::{Descriptor, ManifestFacts, RawManifest};
pub use inventory::*;
pub use limits::Limits;
pub use media_type::{ManifestKind, MediaType};
pub use platform::{Platform, PlatformError};
pub use reference::{Host, NameError, Reference, Repository, RepositoryPath, Tag};
pub use size::{ByteSize, SizeError};
pub use statement::*;

/// Deserialises a text through `FromStr`, for types that are parsed once at the edge.
pub(crate) fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// Orders a type as the texts of its values are ordered.
macro_rules! order_by_text {
    ($name:ident) => {
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.to_string().cmp(&other.to_string())
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
