//! Encodings that are not of our making and know nothing of images or bundles: YAML, ZIP, times
//! as text.
//!
//! Synchronous, over byte slices, `Read` and `Write`; no paths and no files.

pub mod time;
pub mod yaml;
pub mod zip;
