//! Checks that the redundant fields of an image's row agree (bundle-format.md, R-27).

use super::{Result, refused};
use crate::model::{AttachedBy, ImageEntry, Inventory};

/// Compares the fields of a row with each other, and its attachments with their manifests' rows.
pub(super) fn check(image: &ImageEntry, inventory: &Inventory) -> Result<()> {
    let name = &image.requested;
    let differs = |key: &str| {
        refused(
            27,
            format!("the `{key}` of `{name}` is not the one that was asked for"),
        )
    };
    if image.source != name.repository {
        return differs("source");
    }
    let by_tag = || image.tag.as_ref().map(crate::model::Tag::as_str);
    let right_tag = match (&name.tag, &name.digest) {
        (Some(tag), _) => by_tag() == Some(tag.as_str()),
        (None, None) => by_tag() == Some("latest"),
        (None, Some(_)) => image.tag.is_none(),
    };
    if !right_tag {
        return differs("tag");
    }
    if let (Some(root), Some(asked)) = (image.root, name.digest)
        && root != asked
        && !is_made_of(inventory, image, asked)
    {
        return differs("root");
    }
    let stray = image.attached.iter().find(|attached| {
        let row = inventory.manifest(&attached.root);
        let own = row.and_then(|row| row.subject);
        attached.by == AttachedBy::Referrers && own != Some(attached.subject)
    });
    match stray {
        Some(stray) => refused(
            27,
            format!("`{}` is no referrer of `{}`", stray.root, stray.subject),
        ),
        None => Ok(()),
    }
}

/// Returns true if the writer made the image from the requested one (6.8).
fn is_made_of(inventory: &Inventory, image: &ImageEntry, asked: crate::model::Digest) -> bool {
    let mut catalogs = inventory.catalogs.iter();
    catalogs.any(|entry| entry.image == image.requested && entry.original == Some(asked))
}
