//! Documents and layers of images (OCI image-spec, Docker image manifest version 2): read as
//! everybody reads them, and made for images that are another image with layers on top.
//!
//! Synchronous, over byte slices and `Read`. A path in here is one inside an image; files,
//! registries and bundles are not known.

pub mod derive;
pub mod layer;
mod manifest;

pub use manifest::{OciDocument, OciError, config_platform, parse};
