//! Writes a bundle: lanes write data chunks, then the rest is assembled and sealed.
//!
//! The caller, an export, fetches the blobs and passes them to each lane in order.

pub(crate) mod ahead;
pub(crate) mod assemble;
mod chunk_file;
pub mod lane;
pub(crate) mod made;
pub(crate) mod seal;
pub(crate) mod state;

pub use ahead::preview_documents;
pub use chunk_file::LaneTarget;
