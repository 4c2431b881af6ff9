//! Encodings that airferry did not invent: YAML, ZIP, times as text; and the TOML of facts about a
//! target. They are independent of images and bundles.
//!
//! Synchronous, on byte slices, `Read` and `Write`; no paths and no files.

pub mod target_facts;
pub mod time;
pub mod yaml;
pub mod zip;
