//! Operator catalogs out of images: which of an index's images is read, where the catalog lies
//! in it, and what it says. For exports, for `catalog list` and for `cluster-resources`.

mod image;
mod layer;
pub mod list;
mod read;
mod rebuild;
pub mod resources;

pub(crate) use image::PlatformImage;
pub(crate) use layer::MadeBlob;
pub(crate) use read::{contents, documents, read};
pub(crate) use rebuild::{MadeImage, database, rebuild};

use super::error::{Class, Error};
use crate::content::catalog::CatalogError;

/// What it means that a catalog cannot be read.
fn refused(name: &str, error: CatalogError) -> Error {
    let class = match &error {
        CatalogError::NoLabel { .. } => Class::Usage,
        _ => Class::VerificationFailed,
    };
    Error::new(class, format!("The catalog {name} cannot be read")).caused_by(error)
}
