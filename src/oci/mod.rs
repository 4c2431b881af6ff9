//! Reads documents and layers of images (OCI image-spec, Docker image manifest version 2) as other
//! tools read them, and makes those of an image that adds layers to another image.
//!
//! Synchronous, over byte slices and `Read`. Paths in this module are paths inside an image; it
//! must not depend on files, registries or bundles.

pub mod derive;
pub mod layer;
mod manifest;

pub use manifest::{OciDocument, OciError, config_platform, parse};
