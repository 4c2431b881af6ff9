//! Releases of OKD and OpenShift: what a release payload says.

pub mod image_references;
pub mod macho;
pub mod metadata;
pub mod patch;
pub mod tools;

pub use image_references::{Component, ComponentName, ImageReferences};
pub use metadata::ReleaseMetadata;
