//! Operator catalogs out of images: which of an index's images is read, where the catalog lies
//! in it, what it says, and a catalog that is built anew with less in it.

mod layer;
mod platform_image;
mod read;
mod rebuild;

pub(crate) use platform_image::PlatformImage;
pub(crate) use read::{documents, read};
pub(crate) use rebuild::{MadeImage, database, rebuild};

use crate::content::catalog::CatalogError;
use crate::error::{Class, Error};

/// What it means that a catalog cannot be read.
fn refused(name: &str, error: CatalogError) -> Error {
    let class = match &error {
        CatalogError::NoLabel { .. } => Class::Usage,
        _ => Class::VerificationFailed,
    };
    Error::new(class, format!("The catalog {name} cannot be read")).caused_by(error)
}
