//! Parses what upstream publishes: releases and their signatures, operator catalogs, the update
//! graph.
//!
//! Pure functions from bytes to values. Nothing here opens a file, an image or a connection, or
//! reads a clock: callers pass in bytes, rows and the time.

pub mod catalog;
pub mod go_json;
pub mod go_yaml;
pub mod graph;
pub mod image_set;
pub mod mapping_file;
pub mod mirror_policy;
pub mod release;
pub mod update_service;
pub mod version;
pub(crate) mod wanted_paths;
