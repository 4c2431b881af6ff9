//! Releases out of images: what a payload, or one image of it, says.

mod contents;
mod image;

pub(crate) use contents::{ImageContents, Parts, PayloadReader, is_image};
pub(crate) use image::Image;
