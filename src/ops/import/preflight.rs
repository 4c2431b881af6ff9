//! What can be found out about the target before anything is changed there.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::stream;

use super::Opened;
use super::request::{ExistingTags, Request, SparseIndex};
use crate::model::{BundleId, Digest, Repository, Tag};
use crate::ops::context::Context;
use crate::ops::error::{Class, Error, Result, chain};
use crate::plan::import::{ImageUpload, ImportPlan};
use crate::plan::naming::root_tag;
use crate::progress::{Event, Phase};
use crate::registry::{self, Client, ReferrersSource, Selector};

/// Questions that are asked at the same time.
const JOBS: usize = 16;

/// What is going to happen to an image's tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TagDecision {
    /// It is set to the image.
    Set,
    /// It points to the image already.
    Same,
    /// It points elsewhere and is left as it is.
    Skip,
    /// It belongs to a referrers index; this other tag is set.
    Instead(Tag),
}

/// What was found out.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// For each image of the plan: what happens to its tag.
    pub(super) tags: Vec<TagDecision>,
    /// Repositories on the target from which blobs that a base brought can be mounted.
    pub(super) mountable: BTreeMap<Digest, Repository>,
    /// Blobs that a base brought, found where they are needed.
    pub(super) in_place: BTreeSet<(Repository, Digest)>,
}

/// Asks the target everything that can be asked without changing it. All that is wrong is
/// reported together.
pub(super) async fn check(
    request: &Request,
    opened: &Opened,
    plan: &ImportPlan,
    context: &Context,
) -> Result<Before> {
    let host = &request.target.host;
    request.client.ping(host).await.map_err(|error| {
        target_error(format!("The target registry {host} cannot be used"), error)
    })?;
    let phase = Phase::Probe;
    let items = (plan.images.len() + plan.presumed.len()) as u64;
    context.emit(Event::PhaseStarted {
        phase,
        items,
        bytes: 0,
    });
    let mut before = Before::default();
    let mut problems = Vec::new();
    tokio::select! {
        result = find_presumed(request, opened, plan, &mut before, &mut problems) => result?,
        () = context.cancel.cancelled() => return Err(Error::interrupted()),
    }
    tokio::select! {
        result = look_at_tags(request, opened, plan, &mut before, &mut problems) => result?,
        () = context.cancel.cancelled() => return Err(Error::interrupted()),
    }
    context.emit(Event::PhaseFinished { phase });
    if problems.is_empty() {
        return Ok(before);
    }
    let mut message = String::from("The target is not ready, and nothing was changed there:");
    for problem in &problems {
        message.push_str("\n  - ");
        message.push_str(problem);
    }
    Err(Error::new(Class::Target, message))
}

/// A failure of the target registry.
pub(super) fn target_error(message: String, error: registry::Error) -> Error {
    let hint = error.hint();
    let mut failure = Error::new(Class::Target, message).caused_by(error);
    if let Some(hint) = hint {
        failure = failure.hint(hint);
    }
    failure
}

/// Looks for the blobs that bases should have brought: where they are needed, or anywhere on
/// the target from where they can be mounted.
async fn find_presumed(
    request: &Request,
    opened: &Opened,
    plan: &ImportPlan,
    before: &mut Before,
    problems: &mut Vec<String>,
) -> Result<()> {
    let elsewhere = repositories_of_bases(request, opened, plan);
    let mut lookups = stream::iter(&plan.presumed)
        .map(|(digest, presumed)| {
            let elsewhere = &elsewhere;
            async move {
                let mut found = Vec::new();
                let mut missing = false;
                for repository in &presumed.needed_in {
                    if request
                        .client
                        .blob_present(repository, *digest, presumed.size)
                        .await?
                    {
                        found.push(repository.clone());
                    } else {
                        missing = true;
                    }
                }
                let mut mountable = found.first().cloned();
                if missing && mountable.is_none() {
                    for repository in elsewhere {
                        if request
                            .client
                            .blob_present(repository, *digest, presumed.size)
                            .await?
                        {
                            mountable = Some(repository.clone());
                            break;
                        }
                    }
                }
                Ok::<_, registry::Error>((*digest, presumed, found, missing, mountable))
            }
        })
        .buffer_unordered(JOBS);
    let mut lost = Vec::new();
    while let Some(lookup) = lookups.next().await {
        let (digest, presumed, found, missing, mountable) =
            lookup.map_err(|e| target_error("The target cannot be asked for blobs".into(), e))?;
        before
            .in_place
            .extend(found.into_iter().map(|repository| (repository, digest)));
        match mountable {
            Some(repository) => {
                before.mountable.insert(digest, repository);
            }
            None if missing => lost.push((digest, presumed)),
            None => {}
        }
    }
    lost.sort_by_key(|(digest, _)| *digest);
    let mut lacks: BTreeMap<(BundleId, String), (u64, u64, Option<Digest>)> = BTreeMap::new();
    for (digest, presumed) in lost {
        let title = opened
            .bundle
            .inventory
            .bases
            .iter()
            .find(|base| base.id == presumed.origin)
            .and_then(|base| base.title.as_ref())
            .map(|title| format!(" \"{}\"", title.as_str()))
            .unwrap_or_default();
        let lack = lacks.entry((presumed.origin, title)).or_default();
        lack.0 += 1;
        lack.1 += presumed.size;
        lack.2.get_or_insert(digest);
    }
    for ((origin, title), (count, bytes, first)) in lacks {
        let first = first.map(|digest| digest.to_string()).unwrap_or_default();
        problems.push(format!(
            "{count} blobs ({bytes} bytes), among them {first}, are not on the target: import the \
             bundle{title} with the id {} first, which carries them",
            origin.hex()
        ));
    }
    Ok(())
}

/// Where bases put their images, by the naming rules of this import.
fn repositories_of_bases(
    request: &Request,
    opened: &Opened,
    plan: &ImportPlan,
) -> BTreeSet<Repository> {
    let mut repositories: BTreeSet<Repository> = plan.repositories().into_iter().cloned().collect();
    for root in opened
        .bundle
        .inventory
        .bases
        .iter()
        .flat_map(|base| &base.roots)
    {
        let image = crate::plan::naming::SourceImage {
            source: root.reference.repository.clone(),
            tag: root.reference.tag.clone(),
            root: root.root,
            requested: root.reference.clone(),
        };
        if let Ok(placement) =
            crate::plan::naming::place(&[image], &request.target, &request.naming)
        {
            repositories.extend(
                placement
                    .images()
                    .iter()
                    .map(|placed| placed.repository.clone()),
            );
        }
    }
    repositories
}

/// Decides what happens to every image's tag.
async fn look_at_tags(
    request: &Request,
    opened: &Opened,
    plan: &ImportPlan,
    before: &mut Before,
    problems: &mut Vec<String>,
) -> Result<()> {
    let decisions: Vec<_> = stream::iter(&plan.images)
        .map(|image| decide(request, opened, image))
        .buffered(JOBS)
        .collect()
        .await;
    for decision in decisions {
        match decision {
            Ok(decision) => before.tags.push(decision),
            Err(Refusal::Conflict(message)) => {
                problems.push(message);
                before.tags.push(TagDecision::Skip);
            }
            Err(Refusal::Unknown(error)) => {
                return Err(target_error(
                    "The target cannot be asked for tags".into(),
                    error,
                ));
            }
        }
    }
    Ok(())
}

/// Why there is no decision.
enum Refusal {
    /// The tag points elsewhere.
    Conflict(String),
    /// The target did not say.
    Unknown(registry::Error),
}

impl From<registry::Error> for Refusal {
    fn from(error: registry::Error) -> Self {
        Self::Unknown(error)
    }
}

async fn decide(
    request: &Request,
    opened: &Opened,
    image: &ImageUpload,
) -> std::result::Result<TagDecision, Refusal> {
    let client = &request.client;
    let (repository, root) = (image.repository(), image.placed.image.root);
    let tag = &image.placed.tag;
    let there = client
        .head_manifest(repository, &Selector::from(tag))
        .await?;
    let Some(there) = there.map(|head| head.value.digest) else {
        return Ok(match instead(request, image).await? {
            Some(tag) => TagDecision::Instead(tag),
            None => TagDecision::Set,
        });
    };
    if there == root {
        return Ok(TagDecision::Same);
    }
    if !image.placed.tag_is_own && is_referrers_index(client, repository, &there, &root).await? {
        let tag = root_tag(&root).map_err(|error| Refusal::Conflict(chain(&error)))?;
        return Ok(TagDecision::Instead(tag));
    }
    match request.existing_tags {
        ExistingTags::Overwrite => Ok(TagDecision::Set),
        ExistingTags::Skip => Ok(TagDecision::Skip),
        ExistingTags::Forward
            if known_from_bases(opened, image).contains(&there)
                || stands_in(request, opened, &root, &there) =>
        {
            Ok(TagDecision::Set)
        }
        ExistingTags::Forward | ExistingTags::Error => Err(Refusal::Conflict(format!(
            "{} points to {there} there, and to {root} in the bundle; --existing-tags=overwrite \
             replaces it, --existing-tags=skip leaves it",
            image.placed.target()
        ))),
    }
}

/// An image without a tag of its own is given `sha256-<hex>`, which is also the name of the
/// index that lists its referrers where the registry has no API for them. Such an image gets
/// another tag.
async fn instead(
    request: &Request,
    image: &ImageUpload,
) -> std::result::Result<Option<Tag>, Refusal> {
    let root = image.placed.image.root;
    if image.placed.tag_is_own || image.attached.is_empty() {
        return Ok(None);
    }
    let referrers = request.client.referrers(image.repository(), root).await?;
    if referrers.source == ReferrersSource::Api {
        return Ok(None);
    }
    root_tag(&root)
        .map(Some)
        .map_err(|error| Refusal::Conflict(chain(&error)))
}

/// Whether a tag that has the form of a referrers tag really is one: an index whose entries all
/// have that subject.
async fn is_referrers_index(
    client: &Client,
    repository: &Repository,
    there: &Digest,
    root: &Digest,
) -> std::result::Result<bool, Refusal> {
    let referrers = client.referrers(repository, *root).await?;
    if referrers.source != ReferrersSource::FallbackTag || referrers.entries.is_empty() {
        return Ok(false);
    }
    let index = client.manifest(repository, &Selector::from(*there)).await?;
    Ok(index.value.digest == *there)
}

/// Whether a tag points to what an earlier run put in the place of a sparse index.
fn stands_in(request: &Request, opened: &Opened, root: &Digest, there: &Digest) -> bool {
    request.sparse_index == SparseIndex::PlatformManifest
        && opened
            .manifests
            .entry(root)
            .is_some_and(|entry| entry.is_sparse() && entry.children == [*there])
}

/// What the tag pointed to in the bases.
fn known_from_bases(opened: &Opened, image: &ImageUpload) -> BTreeSet<Digest> {
    let reference = image.placed.image.reference();
    opened
        .bundle
        .inventory
        .bases
        .iter()
        .flat_map(|base| &base.roots)
        .filter(|root| root.reference == reference)
        .map(|root| root.root)
        .collect()
}
