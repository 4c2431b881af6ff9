//! The report on one image of an import.

use serde::Serialize;

use super::attachments::RefusedAttachment;
use super::failure::Failure;
use super::replaced::ReplacedImage;
use super::tags::{TagAction, TagDecision};
use crate::error::Class;
use crate::model::{Digest, NeededBy, Reference};
use crate::plan::import::ImageUpload;
use crate::plan::naming::{Placed, Role};

/// State of an image after an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageState {
    /// Dry run: nothing was changed.
    Planned,
    /// On the target with its tag, put there by this run or before.
    Committed,
    /// Its content is on the target; its tag points to another digest and was kept.
    TagKept,
    /// One platform's manifest was tagged, because the target refuses sparse indexes.
    PlatformOnly,
    /// It could not be imported.
    Failed,
    /// The run was stopped before it was complete on the target.
    Interrupted,
    /// Incomplete in the bundle, or the root of a release whose members are.
    Incomplete,
}

/// Report on one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageReport {
    /// The reference as requested at export.
    pub source: Reference,
    /// Its name on the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Reference>,
    /// Its digest there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Its state.
    pub state: ImageState,
    /// Reason of a failure, or a remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The image from which its tag was moved away, or will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<ReplacedImage>,
    /// Attached artifacts that the target refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_attachments: Vec<RefusedAttachment>,
    /// Top manifests of attached artifacts that were left out on request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsent_attachments: Vec<Digest>,
    /// For an image that is missing: the catalog bundles that need it, limited to the first ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<NeededBy>,
    /// Its name and roles for the cluster's objects; not serialized.
    #[serde(skip)]
    pub(super) placed: Option<Placed>,
    /// Advice for a failure.
    #[serde(skip)]
    pub(super) hint: Option<String>,
    /// Class of the failure; `None` if the image did not fail.
    #[serde(skip)]
    pub(super) class: Option<Class>,
}

impl ImageReport {
    /// True if it is part of a release.
    pub(super) fn is_of_release(&self) -> bool {
        let of_release = |role: &Role| matches!(role, Role::Release(_) | Role::Component { .. });
        let mut roles = self.placed.iter().flat_map(|placed| &placed.roles);
        roles.any(of_release)
    }
}

/// Makes the report on an image of the plan that did not fail.
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
        Some("the tag points to another image and was kept".to_owned())
    } else if let (Some(keeper), Some(tag)) = (&image.placed.kept_by, &image.placed.image.tag) {
        Some(format!(
            "several images of the bundle have the tag {tag}: {keeper} gets it, and this image is \
             reachable by digest"
        ))
    } else if decision.tag != image.placed.tag {
        Some(format!(
            "the tag {} is reserved for the list of its referrers, so the image gets another tag",
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
        replaced: None,
        refused_attachments: Vec::new(),
        unsent_attachments: image.unsent.clone(),
        needed_by: Vec::new(),
        placed: Some(placed),
        hint: None,
        class: None,
    }
}

/// Makes the report on an image that failed.
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
        replaced: None,
        refused_attachments: Vec::new(),
        unsent_attachments: image.unsent.clone(),
        needed_by: Vec::new(),
        class: Some(failure.class),
        hint: failure.hint,
        placed: None,
    }
}
