//! Decides if a further generation of a bundle would hold anything new.

use std::collections::BTreeMap;

use crate::bundle::write::assemble::{Assembled, LaneResults};
use crate::model::{ImageEntry, Reference};
use crate::plan::export::{ExportPlan, KnownBundle};

/// True if the plan adds nothing to the existing generation of the bundle.
pub(super) fn nothing_new(known: &KnownBundle, plan: &ExportPlan) -> bool {
    let (before, now) = (&known.inventory.images, &plan.content.images);
    plan.to_fetch().0 == 0 && problems(before) == problems(now) && attachments_same(before, now)
}

/// True if the new generation, as assembled, adds nothing to the one before.
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

/// True if complete images have the same attached artifacts as before.
fn attachments_same<'a>(before: &'a [ImageEntry], now: &'a [ImageEntry]) -> bool {
    let whole = |images: &'a [ImageEntry]| -> BTreeMap<&'a Reference, _> {
        let whole = images.iter().filter(|image| image.is_whole());
        let attached = |image: &'a ImageEntry| (image.cosign, image.referrers, &image.attached);
        whole
            .map(|image| (&image.requested, attached(image)))
            .collect()
    };
    whole(before) == whole(now)
}

/// Number of incomplete images.
fn problems(images: &[ImageEntry]) -> usize {
    images.iter().filter(|image| !image.is_whole()).count()
}
