//! What upstream publishes, bytes to values: releases, operator catalogs, and what else clusters
//! are updated from. No I/O, no clock: whoever fetched the bytes gives them, and the time.

pub mod catalog;
pub mod graph;
pub mod mirror_policy;
pub mod release;
pub mod version;
