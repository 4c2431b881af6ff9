//! The frozen bytes of a bundle, to model and back: its documents, chunks, statements and keys.
//!
//! Synchronous, over byte slices, `Read` and `Write`. Knows no paths and no files: who opens
//! them says in errors which file it was. `bundle-format.md` is the specification; every refusal
//! names the [`Rule`] that was broken.

pub mod bundle;
pub mod cbor;
mod content_check;
pub mod data_chunk;
mod document_error;
pub mod hash;
mod inventory_check;
pub mod keys;
pub mod left_out;
pub mod manifest_row;
pub mod metadata_chunk;
mod names;
mod placement;
mod rule;
pub mod statement;
pub mod tar;
#[cfg(test)]
mod testing;
pub mod texts;

pub use document_error::DocumentError;
pub use placement::{PlacedExtent, Placement};
pub use rule::Rule;
