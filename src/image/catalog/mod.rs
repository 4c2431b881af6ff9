//! Reads operator catalogs out of images: chooses the image of an index, finds the catalog in it,
//! reads its documents, and builds images of filtered catalogs.

mod layer;
mod platform_image;
mod read;
mod rebuild;

pub(crate) use platform_image::PlatformImage;
pub(crate) use read::{contents, documents, read};
pub(crate) use rebuild::{MadeImage, cannot_filter_database, rebuild};

use crate::content::catalog::CatalogError;
use crate::error::{Class, Error};

/// The error for a catalog that cannot be read.
fn refused(name: &str, error: CatalogError) -> Error {
    let class = match &error {
        CatalogError::NoLabel { .. } => Class::Usage,
        _ => Class::VerificationFailed,
    };
    Error::new(class, format!("The catalog {name} cannot be read")).caused_by(error)
}
