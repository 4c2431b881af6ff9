//! Finds artifacts attached to an image: by cosign's tags and by referrers.
//!
//! "None" is recorded only when the registry says so. Without an answer, the state is recorded as
//! unknown, artifacts found by other means are kept, and the image itself counts as complete.

use std::collections::BTreeMap;

use futures_util::future::{join, join_all};

use super::problem::Problem;
use crate::model::{
    AttachedBy, Attachment, AttachmentState, COSIGN_ENDINGS, Count, Digest, Host, ImageEntry,
    Repository, Tag, cosign_tag,
};
use crate::ops::context::Context;
use crate::registry::{Client, Selector};

/// Policy for artifacts that are attached to images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attachments {
    /// Do not look for them.
    #[default]
    None,
    /// Carry those that are found. An image counts as complete even if its attachments are not
    /// fully known.
    BestEffort,
    /// Treat an image as incomplete if its attachments are not fully known.
    Required,
}

impl Attachments {
    /// Returns its value in the digest of a request.
    pub(super) fn in_request(self) -> &'static str {
        match self {
            Self::None => "false",
            Self::BestEffort => "true",
            Self::Required => "required",
        }
    }
}

/// Result of looking for one kind of artifacts attached to an image.
#[derive(Debug)]
pub(super) struct KindResult {
    by: AttachedBy,
    is_found: bool,
    /// Reasons why there may be further artifacts.
    unknown: Vec<Problem>,
}

impl KindResult {
    pub(super) fn new(by: AttachedBy) -> Self {
        Self {
            by,
            is_found: false,
            unknown: Vec::new(),
        }
    }

    pub(super) fn found(&mut self) {
        self.is_found = true;
    }

    pub(super) fn not_known(&mut self, problem: Problem) {
        self.unknown.push(problem);
    }

    /// Returns the state as recorded in the inventory.
    pub(super) fn state(&self) -> AttachmentState {
        match (self.unknown.is_empty(), self.is_found) {
            (false, _) => AttachmentState::Unknown,
            (true, true) => AttachmentState::Carried,
            (true, false) => AttachmentState::Absent,
        }
    }

    /// True if this is the result for the given kind.
    pub(super) fn is(&self, by: AttachedBy) -> bool {
        self.by == by
    }

    pub(super) fn into_unknown(self) -> Vec<Problem> {
        self.unknown
    }
}

/// Artifacts attached to one manifest.
pub(super) struct Found {
    pub(super) attachments: Vec<Attachment>,
    /// Queries that failed, by kind, with the reason.
    pub(super) unknown: Vec<(AttachedBy, Problem)>,
}

/// Looks for all artifacts attached to one manifest.
pub(super) async fn find(client: Client, repository: Repository, subject: Digest) -> Found {
    let by_tag =
        COSIGN_ENDINGS.map(|ending| cosign_artifact(&client, &repository, subject, ending));
    let referrers = client.referrers(&repository, subject);
    let (by_tag, referrers) = join(join_all(by_tag), referrers).await;
    let mut found = Found {
        attachments: Vec::new(),
        unknown: Vec::new(),
    };
    for tagged in by_tag {
        match tagged {
            Ok(attachment) => found.attachments.extend(attachment),
            Err(problem) => found.unknown.push((AttachedBy::CosignTag, problem)),
        }
    }
    let what = format!("the referrers of {subject} are not listed");
    match referrers {
        Ok(listed) => {
            let attachments = listed.entries.iter().map(|referrer| Attachment {
                by: AttachedBy::Referrers,
                tag: None,
                root: referrer.descriptor.digest,
                subject,
            });
            found.attachments.extend(attachments);
            if let Some(refusal) = listed.refusal {
                let problem = Problem::from(format!("{what}: {refusal}"));
                found.unknown.push((AttachedBy::Referrers, problem));
            }
        }
        Err(error) => {
            let problem = Problem::of(&what, &error);
            found.unknown.push((AttachedBy::Referrers, problem));
        }
    }
    found
}

/// Looks for the artifact that cosign stores under one of its tags.
async fn cosign_artifact(
    client: &Client,
    repository: &Repository,
    subject: Digest,
    ending: &str,
) -> Result<Option<Attachment>, Problem> {
    let tag: Tag = cosign_tag(&subject, ending)
        .parse()
        .map_err(|error| Problem::from(format!("attached artifact: {error}")))?;
    let root = client
        .head_manifest(repository, &Selector::from(&tag))
        .await
        .map_err(|error| Problem::of(&format!("cannot tell whether {tag} exists"), &error))?;
    Ok(root.map(|head| Attachment {
        by: AttachedBy::CosignTag,
        tag: Some(tag),
        root: head.value.digest,
        subject,
    }))
}

/// Compares by the order of bundle-format.md, 6.4.
pub(super) fn compare_attachments(a: &Attachment, b: &Attachment) -> std::cmp::Ordering {
    (a.root, a.subject, a.by, &a.tag).cmp(&(b.root, b.subject, b.by, &b.tag))
}

/// Complete images whose attachments are not fully known, by registry and by whether a retry may
/// help. The value holds their number and the first reason.
#[derive(Default)]
pub(super) struct UnknownImages(BTreeMap<(Host, bool), (usize, String)>);

impl UnknownImages {
    /// Records an image, if it is complete. `unknown` holds the reasons why its attachments are
    /// not fully known.
    pub(super) fn note(&mut self, image: &ImageEntry, unknown: &[Problem]) {
        let Some(first) = unknown.first().filter(|_| image.is_whole()) else {
            return;
        };
        let is_passing = unknown.iter().any(|problem| problem.is_passing);
        let key = (image.source.host.clone(), is_passing);
        let told = || (0, format!("{}: {}", image.requested, first.reason));
        self.0.entry(key).or_insert_with(told).0 += 1;
    }

    /// Warns of the images, once for each registry and kind of reason.
    pub(super) fn tell(self, context: &Context) {
        for ((host, is_passing), (count, reason)) in self.0 {
            let next = match is_passing {
                true => "run the same command again to retry",
                false => {
                    "--attachments=required makes such images incomplete, --attachments=none does \
                     not ask"
                }
            };
            context.warn(format!(
                "{host} did not list all signatures and other artifacts attached to {}, recorded \
                 as unknown ({next}); first: {reason}",
                Count::of(count, "image")
            ));
        }
    }
}
