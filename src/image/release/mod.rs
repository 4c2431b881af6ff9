//! Reads release payloads and their images.

mod contents;
mod image;

pub(crate) use contents::{ImageContents, Parts, PayloadReader, is_image};
pub(crate) use image::Image;
