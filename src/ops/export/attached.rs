//! What is attached to an image: asks for cosign's tags and for referrers.
//!
//! "There are none" is believed only when the registry says so. Where it does not say, that is
//! recorded as unknown, and what was found otherwise is kept: the image itself is whole.

use std::collections::BTreeMap;

use futures_util::future::{join, join_all};

use super::problem::Problem;
use crate::model::{
    AttachedBy, Attachment, AttachmentState, COSIGN_ENDINGS, Count, Digest, Host, ImageEntry,
    Repository, Tag, cosign_tag,
};
use crate::ops::context::Context;
use crate::registry::{Client, Selector};

/// What to do about artifacts that are attached to images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attachments {
    /// Nobody asks for them.
    #[default]
    None,
    /// What can be found is carried; an image of which it is unknown is whole all the same.
    BestEffort,
    /// An image of which it is unknown what is attached to it is not whole.
    Required,
}

impl Attachments {
    /// Its name in the digest of a request.
    pub(super) fn in_request(self) -> &'static str {
        match self {
            Self::None => "false",
            Self::BestEffort => "true",
            Self::Required => "required",
        }
    }
}

/// What came of asking for one kind of artifacts attached to an image.
#[derive(Debug)]
pub(super) struct Asked {
    by: AttachedBy,
    is_found: bool,
    /// Why it is not known whether there are more.
    unknown: Vec<Problem>,
}

impl Asked {
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

    /// What the inventory says of it.
    pub(super) fn state(&self) -> AttachmentState {
        match (self.unknown.is_empty(), self.is_found) {
            (false, _) => AttachmentState::Unknown,
            (true, true) => AttachmentState::Carried,
            (true, false) => AttachmentState::Absent,
        }
    }

    /// Whether this is what is attached in this way.
    pub(super) fn is(&self, by: AttachedBy) -> bool {
        self.by == by
    }

    pub(super) fn into_unknown(self) -> Vec<Problem> {
        self.unknown
    }
}

/// What one manifest has attached to it.
pub(super) struct Found {
    pub(super) attachments: Vec<Attachment>,
    /// Questions that got no answer.
    pub(super) unknown: Vec<(AttachedBy, Problem)>,
}

/// Asks for everything that is attached to one manifest.
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

/// Asks for what cosign keeps under one of its tags.
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

/// The order of bundle-format.md, 6.4.
pub(super) fn in_order(a: &Attachment, b: &Attachment) -> std::cmp::Ordering {
    (a.root, a.subject, a.by, &a.tag).cmp(&(b.root, b.subject, b.by, &b.tag))
}

/// Images of which it is unknown what is attached to them, by registry and by whether asking
/// again may help: how many, and the first reason.
#[derive(Default)]
pub(super) struct UnknownImages(BTreeMap<(Host, bool), (usize, String)>);

impl UnknownImages {
    /// Takes note of an image. `unknown`: why it is not known what is attached to it.
    pub(super) fn note(&mut self, image: &ImageEntry, unknown: &[Problem]) {
        let Some(first) = unknown.first().filter(|_| image.problem.is_none()) else {
            return;
        };
        let is_passing = unknown.iter().any(|problem| problem.is_passing);
        let key = (image.source.host.clone(), is_passing);
        let told = || (0, format!("{}: {}", image.requested, first.reason));
        self.0.entry(key).or_insert_with(told).0 += 1;
    }

    /// Tells of them, in one warning for each registry.
    pub(super) fn tell(self, context: &Context) {
        for ((host, is_passing), (count, reason)) in self.0 {
            let next = match is_passing {
                true => "running the same command again asks again",
                false => {
                    "--attachments=required makes such images incomplete, --attachments=none does \
                     not ask"
                }
            };
            context.warn(format!(
                "{host} does not say all that is attached to {}, which is recorded as unknown \
                 ({next}); {reason}",
                Count::of(count, "image")
            ));
        }
    }
}
