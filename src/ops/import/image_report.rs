//! What became of one image.

use serde::Serialize;

use super::attachments::RefusedAttachment;
use super::failure::Failure;
use super::tags::{TagAction, TagDecision};
use crate::error::Class;
use crate::model::{Digest, NeededBy, Reference};
use crate::plan::import::ImageUpload;
use crate::plan::naming::{Placed, Role};

/// What became of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageState {
    /// A dry run: this would be done.
    Planned,
    /// It is on the target now, or was there already, and has its tag.
    Committed,
    /// Its content is there; its tag points elsewhere and was left as it is.
    TagKept,
    /// One platform's manifest was tagged, since the target refuses sparse indexes.
    PlatformOnly,
    /// It could not be imported.
    Failed,
    /// The run was stopped before it was whole on the target.
    Interrupted,
    /// The bundle does not hold it, or a member of what it is the root of, whole.
    Incomplete,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageReport {
    /// The reference as asked for at export.
    pub source: Reference,
    /// Where it is on the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Reference>,
    /// Its digest there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What became of it.
    pub state: ImageState,
    /// Why it failed, or what is worth telling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Attached artifacts that the target did not take.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_attachments: Vec<RefusedAttachment>,
    /// Attached artifacts that were not sent, as asked, by their top manifests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsent_attachments: Vec<Digest>,
    /// Of one that is not there: the catalogs' bundles that need it, of many the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<NeededBy>,
    /// Its name and place, where clusters can be told of it; not written.
    #[serde(skip)]
    pub(super) placed: Option<Placed>,
    /// What can be done about a failure.
    #[serde(skip)]
    pub(super) hint: Option<String>,
    /// How severe a failure is.
    #[serde(skip)]
    pub(super) class: Option<Class>,
}

impl ImageReport {
    /// Whether it is a part of a release.
    pub(super) fn is_of_release(&self) -> bool {
        let of_release = |role: &Role| matches!(role, Role::Release(_) | Role::Component { .. });
        let mut roles = self.placed.iter().flat_map(|placed| &placed.roles);
        roles.any(of_release)
    }
}

/// A report on an image of the plan that goes to the target, or is there.
pub(super) fn image_report(
    image: &ImageUpload,
    decision: &TagDecision,
    state: ImageState,
) -> ImageReport {
    let placed = Placed {
        tag: decision.tag.clone(),
        ..image.placed.clone()
    };
    let reason = if decision.action == TagAction::Skip {
        Some("the tag points elsewhere and was left as it is".to_owned())
    } else if let (Some(keeper), Some(tag)) = (&image.placed.kept_by, &image.placed.image.tag) {
        Some(format!(
            "its tag {tag} is pinned to several digests, {keeper} has it"
        ))
    } else if decision.tag != image.placed.tag {
        Some(format!(
            "{} belongs to the list of its referrers, so its tag is another one",
            image.placed.tag
        ))
    } else {
        None
    };
    ImageReport {
        source: image.placed.image.requested.clone(),
        target: Some(placed.target()),
        digest: Some(image.placed.image.root),
        state,
        reason,
        refused_attachments: Vec::new(),
        unsent_attachments: image.unsent.clone(),
        needed_by: Vec::new(),
        placed: Some(placed),
        hint: None,
        class: None,
    }
}

/// A report on an image that is not on the target.
pub(super) fn failed(image: &ImageUpload, failure: Failure) -> ImageReport {
    let state = match failure.class {
        Class::Interrupted => ImageState::Interrupted,
        _ => ImageState::Failed,
    };
    ImageReport {
        source: image.placed.image.requested.clone(),
        target: Some(image.placed.target()),
        digest: Some(image.placed.image.root),
        state,
        reason: Some(failure.reason),
        refused_attachments: Vec::new(),
        unsent_attachments: image.unsent.clone(),
        needed_by: Vec::new(),
        class: Some(failure.class),
        hint: failure.hint,
        placed: None,
    }
}
