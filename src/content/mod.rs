//! What upstream publishes, bytes to values: releases with their signatures, operator catalogs,
//! and what else clusters are updated from.
//!
//! Nothing here opens a file, an image or a connection; whoever does hands in bytes, rows and the
//! time.

pub mod catalog;
pub mod release;
