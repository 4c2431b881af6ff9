//! What upstream publishes, bytes to values: releases and their signatures, operator catalogs,
//! the update graph.
//!
//! Nothing here opens a file, an image or a connection, or reads a clock: whoever does hands in
//! bytes, rows and the time.

pub mod catalog;
pub mod release;
