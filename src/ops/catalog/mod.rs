//! Operator catalogs: `catalog list`, and `cluster-resources` for a catalog.

pub mod list;
pub mod resources;

use super::context::Context;
use super::source_error::of_source;
use crate::error::{Error, Result};
use crate::image::Source;
use crate::image::catalog::PlatformImage;
use crate::model::Reference;
use crate::ops::blocking;
use crate::plan::index_filter::IndexFilter;
use crate::registry::{Client, Selector};

/// Resolves a catalog's reference at its registry, and selects the image to read.
///
/// # Errors
///
/// When there is no such image, when the filter does not select exactly one, and when the
/// image holds no catalog.
pub(crate) async fn find_catalog(
    client: &Client,
    reference: &Reference,
    filter: &IndexFilter,
    context: &Context,
) -> Result<(Source, PlatformImage)> {
    let selector = Selector::of(reference);
    let fetched = client.manifest(&reference.repository, &selector);
    let fetched = tokio::select! {
        fetched = fetched => fetched,
        () = context.cancel.cancelled() => return Err(Error::interrupted()),
    };
    let root = fetched.map_err(|error| {
        of_source(
            format!("The catalog `{reference}` cannot be read from its registry"),
            error,
        )
    })?;
    let (repository, name) = (reference.repository.clone(), format!("`{reference}`"));
    let source = Source::registry(client.clone(), repository, context.cancel.clone());
    let filter = filter.clone();
    blocking(move || {
        let image = PlatformImage::of(&source, name, root.value, &filter)?;
        Ok((source, image))
    })
    .await
}
