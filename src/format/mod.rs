//! Converts the frozen bytes of a bundle to model types and back: documents, chunks, statements
//! and keys.
//!
//! Synchronous, over byte slices, `Read` and `Write`. Must not depend on paths or files: the code
//! that opens a file adds its name to errors. `bundle-format.md` is the specification; every
//! refusal names the [`Rule`] that was broken.

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
