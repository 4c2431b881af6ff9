//! Bytes to model and back: the bundle's documents, chunks, statements and keys, and the OCI
//! documents that it carries.
//!
//! Synchronous, over byte slices, `Read` and `Write`. Knows no paths and no files: who opens
//! them says in errors which file it was. `bundle-format.md` is the specification; every refusal
//! names the [`Rule`] that was broken.

pub mod bundle;
pub mod cbor;
mod content_check;
pub mod data_chunk;
pub mod derive;
mod document_error;
pub mod hash;
mod inventory_check;
pub mod keys;
pub mod layer;
pub mod manifest_row;
pub mod metadata_chunk;
mod names;
pub mod oci;
mod placement;
mod rule;
pub mod statement;
pub mod tar;
#[cfg(test)]
mod testing;
pub mod texts;
pub mod yaml;
pub mod zip;

pub use document_error::DocumentError;
pub use placement::{PlacedExtent, Placement};
pub use rule::Rule;
