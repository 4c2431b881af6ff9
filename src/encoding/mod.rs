//! Encodings that airferry did not invent: YAML, ZIP, times as text. They are independent of
//! images and bundles.
//!
//! Synchronous, on byte slices, `Read` and `Write`; no paths and no files.

pub mod time;
pub mod yaml;
pub mod zip;
