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
pub(crate) use read::{documents, read};
pub(crate) use rebuild::{MadeImage, database, rebuild};

use super::error::{Class, Error};
use crate::content::catalog::{BadImage, CatalogError};

/// Bad images that an error names.
const NAMED: usize = 20;

/// What it means that a catalog cannot be read.
fn refused(name: &str, error: CatalogError) -> Error {
    let class = match &error {
        CatalogError::NoLabel { .. } => Class::Usage,
        _ => Class::VerificationFailed,
    };
    Error::new(class, format!("The catalog {name} cannot be read")).caused_by(error)
}

/// Images that a catalog names and that are none.
pub(crate) fn bad_images(name: &str, bad: &[BadImage]) -> Error {
    let mut message = format!("The catalog {name} names images that cannot be mirrored:");
    for bad in bad.iter().take(NAMED) {
        message.push_str(&format!("\n  - {bad}"));
    }
    if let Some(more) = bad.len().checked_sub(NAMED).filter(|more| *more > 0) {
        message.push_str(&format!("\n  - and {more} more"));
    }
    Error::new(Class::VerificationFailed, message)
        .hint("whoever publishes the catalog has to correct these bundles")
        .hint("`export --operator` carries a part of the catalog, without them")
}
