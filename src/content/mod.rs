//! What upstream publishes, bytes to values: releases, operator catalogs, and what else clusters
//! are updated from.
//!
//! Nothing here opens a file, an image or a connection; whoever does hands in bytes and rows.

pub mod catalog;
pub mod graph;
pub mod mirror_policy;
pub mod release;
pub mod version;
