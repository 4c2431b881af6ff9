//! Finds tags that moved since the plan was made.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream;

use super::request::Request;
use crate::model::{CatalogEntry, Digest, ImageEntry, Reference};
use crate::ops::context::Context;
use crate::registry::Selector;

/// Number of tags that are checked at the same time.
const TAG_JOBS: usize = 16;

/// Warns of tags that point to another digest now. The plan keeps its digests.
pub(super) async fn report_moved_tags(
    request: &Request,
    images: &[ImageEntry],
    catalogs: &[CatalogEntry],
    context: &Context,
) -> Vec<String> {
    let originals: BTreeMap<&Reference, Digest> = catalogs
        .iter()
        .filter_map(|catalog| Some((&catalog.image, catalog.original?)))
        .collect();
    let originals = &originals;
    let tagged = images
        .iter()
        .filter(|image| image.requested.digest.is_none());
    let moved: Vec<Option<String>> = stream::iter(tagged)
        .map(|image| async move {
            let (root, tag) = (image.root?, image.tag.as_ref()?);
            // An image made here was never under the tag: compare with its original.
            let root = originals.get(&image.requested).copied().unwrap_or(root);
            let selector = Selector::from(tag);
            let now = request
                .client
                .head_manifest(&image.source, &selector)
                .await
                .ok()?;
            let now = now.map(|head| head.value.digest);
            (now != Some(root)).then(|| match now {
                Some(now) => format!(
                    "{} moved since the export began: it is now {now}; the bundle keeps {root}",
                    image.requested
                ),
                // Registries also answer "not found" for what the account may not read.
                None => format!(
                    "{} is not found any more (deleted, or not readable for this account); the \
                     bundle keeps {root}",
                    image.requested
                ),
            })
        })
        .buffered(TAG_JOBS)
        .collect()
        .await;
    let moved: Vec<String> = moved.into_iter().flatten().collect();
    for message in &moved {
        context.warn(message.clone());
    }
    moved
}
