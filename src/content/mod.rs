//! What upstream publishes, bytes to values: operator catalogs, and what else clusters are
//! updated from.
//!
//! Nothing here opens a file, an image or a connection; whoever does hands in bytes and rows.

pub mod catalog;
