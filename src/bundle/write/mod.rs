//! Writes a bundle: lanes fill data chunks, then everything else is assembled and sealed.
//!
//! What asks registries for the bytes is above; it gives each lane its blobs in order.

pub(crate) mod ahead;
pub(crate) mod assemble;
mod chunk_file;
pub mod lane;
pub(crate) mod made;
pub(crate) mod seal;
pub(crate) mod state;

pub use ahead::documents_ahead;
pub use chunk_file::Ground;
