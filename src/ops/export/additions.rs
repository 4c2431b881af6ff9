//! Whether a further generation of a bundle would hold anything new.

use std::collections::BTreeMap;

use crate::bundle::write::assemble::{Assembled, LaneResults};
use crate::model::{ImageEntry, Reference};
use crate::plan::export::{ExportPlan, KnownBundle};

/// Whether a completion would add nothing to the generation that is there.
pub(super) fn nothing_new(known: &KnownBundle, plan: &ExportPlan) -> bool {
    let (before, now) = (&known.inventory.images, &plan.content.images);
    plan.to_fetch().0 == 0 && problems(before) == problems(now) && attachments_same(before, now)
}

/// Whether a new generation would hold nothing that the one before did not.
pub(super) fn adds_nothing(
    known: &KnownBundle,
    assembled: &Assembled,
    written: &LaneResults,
) -> bool {
    let (before, now) = (&known.inventory, &assembled.inventory);
    written.chunks.is_empty()
        && before.manifests.len() == now.manifests.len()
        && problems(&before.images) == problems(&now.images)
        && attachments_same(&before.images, &now.images)
}

/// Whether no image has anything attached to it that was not known before.
fn attachments_same<'a>(before: &'a [ImageEntry], now: &'a [ImageEntry]) -> bool {
    let whole = |images: &'a [ImageEntry]| -> BTreeMap<&'a Reference, _> {
        let whole = images.iter().filter(|image| image.problem.is_none());
        let attached = |image: &'a ImageEntry| (image.cosign, image.referrers, &image.attached);
        whole
            .map(|image| (&image.requested, attached(image)))
            .collect()
    };
    whole(before) == whole(now)
}

/// Number of images that are not whole.
fn problems(images: &[ImageEntry]) -> usize {
    images
        .iter()
        .filter(|image| image.problem.is_some())
        .count()
}
