//! Looks on the target for blobs that bases carried, and reports those that are missing.
//!
//! Asks for each pair of blob and repository at most once: first in the repositories that need a
//! blob; then, for blobs found in none of these, in those where their base put its images.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream;
use futures_util::{StreamExt, TryStreamExt};

use super::attachments::AttachmentRule;
use super::opened::Opened;
use super::probe::{JOBS, Probe, target_error};
use super::request::Request;
use crate::error::Result;
use crate::model::{BaseEntry, BundleId, Digest, Repository};
use crate::plan::import::{BaseBlob, ImageUpload, ImportPlan};
use crate::plan::naming::{self, ImageToName, Role, SourceImage};
use crate::registry;

/// Number of missing digests that are listed for each base.
const SHOWN: usize = 3;

/// Locations on the target of blobs that bases carried.
#[derive(Debug, Default)]
pub(super) struct BaseBlobPlaces {
    places: BTreeMap<Digest, BTreeSet<Repository>>,
}

impl BaseBlobPlaces {
    /// Returns every found blob with the repositories that have it.
    pub(super) fn places(&self) -> impl Iterator<Item = (&Digest, &BTreeSet<Repository>)> {
        self.places.iter()
    }

    /// True if a blob was found in any repository of the target.
    pub(super) fn has_anywhere(&self, digest: &Digest) -> bool {
        self.places.contains_key(digest)
    }

    fn add(&mut self, repository: Repository, digest: Digest) {
        self.places.entry(digest).or_default().insert(repository);
    }
}

/// Number of requests that are made in any case.
pub(super) fn request_count(plan: &ImportPlan) -> usize {
    let needed = plan.base_blobs.values().map(|blob| blob.needed_in.len());
    needed.sum()
}

/// Looks for the blobs. Adds one problem for each base whose blobs are missing.
pub(super) async fn find(
    request: &Request,
    opened: &Opened,
    plan: &ImportPlan,
    probe: &Probe<'_>,
    problems: &mut Vec<String>,
) -> Result<BaseBlobPlaces> {
    let finder = Finder {
        request,
        bases: &opened.bundle.inventory.bases,
        plan,
        probe,
    };
    let unknown = |error| target_error("The target cannot be queried for blobs".into(), error);
    let mut places = finder.where_needed().await.map_err(unknown)?;
    let missing: BTreeMap<&Digest, &BaseBlob> = plan
        .base_blobs
        .iter()
        .filter(|(digest, _)| !places.has_anywhere(digest))
        .collect();
    let found = finder.elsewhere(&missing).await.map_err(unknown)?;
    for (repository, digest) in found {
        places.add(repository, digest);
    }
    // Blobs needed only by attached artifacts may be missing: an earlier import may have left them
    // out. Only those artifacts fail then.
    let own = plan.images.iter().flat_map(ImageUpload::own_blobs);
    let own: BTreeSet<&Digest> = own.collect();
    let all = request.attachments.attachments == AttachmentRule::Required;
    let lost = missing
        .into_iter()
        .filter(|(digest, _)| !places.has_anywhere(digest) && (all || own.contains(*digest)));
    problems.extend(finder.losses(lost));
    Ok(places)
}

struct Finder<'a> {
    request: &'a Request,
    bases: &'a [BaseEntry],
    plan: &'a ImportPlan,
    probe: &'a Probe<'a>,
}

impl Finder<'_> {
    async fn is_there(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
    ) -> registry::Result<bool> {
        let question = self.request.client.blob_present(repository, *digest, size);
        if self.probe.is_hidden(repository) {
            return Ok(false);
        }
        let question = async { self.probe.unless_hidden(repository, question.await, false) };
        let item = format_args!("{repository}@{digest}").to_string();
        self.probe.item(item, question).await
    }

    async fn where_needed(&self) -> registry::Result<BaseBlobPlaces> {
        let pairs = self.plan.base_blobs.iter().flat_map(|(digest, blob)| {
            let needed = blob.needed_in.iter();
            needed.map(move |repository| (repository, digest, blob.size))
        });
        let mut answers = stream::iter(pairs)
            .map(|(repository, digest, size)| async move {
                let there = self.is_there(repository, digest, size).await?;
                Ok::<_, registry::Error>((repository, digest, there))
            })
            .buffer_unordered(JOBS);
        let mut places = BaseBlobPlaces::default();
        while let Some((repository, digest, there)) = answers.try_next().await? {
            if there {
                places.add(repository.clone(), *digest);
            }
        }
        Ok(places)
    }

    /// Looks for blobs that no repository has in which they are needed, in the repositories of
    /// their base. Stops for each blob at the first one, from which it can be mounted.
    async fn elsewhere(
        &self,
        missing: &BTreeMap<&Digest, &BaseBlob>,
    ) -> registry::Result<Vec<(Repository, Digest)>> {
        let origins: BTreeSet<BundleId> = missing.values().map(|blob| blob.origin).collect();
        let mut candidates = BTreeMap::new();
        for origin in origins {
            candidates.insert(origin, self.repositories_of(&origin));
        }
        let existing = self.existing(candidates.values().flatten()).await?;
        let found: Vec<Option<(Repository, Digest)>> = stream::iter(missing)
            .map(|(digest, blob)| {
                let candidates = candidates.get(&blob.origin).into_iter().flatten();
                let untried = candidates.filter(|repository| {
                    existing.contains(*repository) && !blob.needed_in.contains(*repository)
                });
                async move {
                    for repository in untried {
                        if self.is_there(repository, digest, blob.size).await? {
                            return Ok(Some((repository.clone(), **digest)));
                        }
                    }
                    Ok::<_, registry::Error>(None)
                }
            })
            .buffer_unordered(JOBS)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Returns the repositories that exist on the target. Each is asked for once, so that an empty
    /// target is not asked for every blob in every repository.
    async fn existing<'r>(
        &self,
        repositories: impl Iterator<Item = &'r Repository>,
    ) -> registry::Result<BTreeSet<&'r Repository>> {
        let repositories: BTreeSet<&Repository> = repositories.collect();
        let existing: Vec<Option<&Repository>> = stream::iter(repositories)
            .map(|repository| async move {
                let exists = self.request.client.repository_exists(repository);
                let exists = self.probe.item(repository, exists).await?;
                Ok::<_, registry::Error>(exists.then_some(repository))
            })
            .buffer_unordered(JOBS)
            .try_collect()
            .await?;
        Ok(existing.into_iter().flatten().collect())
    }

    /// Returns the repositories for a base's images, by the naming rules of this import, and those
    /// of this import's own images.
    fn repositories_of(&self, origin: &BundleId) -> BTreeSet<Repository> {
        let mut repositories: BTreeSet<Repository> =
            self.plan.repositories().into_iter().cloned().collect();
        let own = self.bases.iter().filter(|base| base.id == *origin);
        for root in own.flat_map(|base| &base.roots) {
            let image = SourceImage {
                source: root.reference.repository.clone(),
                tag: root.reference.tag.clone(),
                root: root.root,
                requested: root.reference.clone(),
            };
            // A base does not record which image is a catalog, so both roles are tried. Releases
            // have the same place in both imports.
            for role in [Role::Plain, Role::Catalog] {
                let image = image.clone();
                let (target, options) = (&self.request.target, &self.request.naming);
                if let Ok(placement) =
                    naming::place(&[ImageToName { image, role }], target, options)
                {
                    let images = placement.images().iter();
                    repositories.extend(images.map(|placed| placed.repository.clone()));
                }
            }
        }
        repositories
    }

    /// Returns one sentence for each base with missing blobs.
    fn losses<'l>(
        &self,
        lost: impl Iterator<Item = (&'l Digest, &'l BaseBlob)>,
    ) -> impl Iterator<Item = String> {
        let mut by_origin: BTreeMap<BundleId, Loss> = BTreeMap::new();
        for (digest, blob) in lost {
            let loss = by_origin.entry(blob.origin).or_default();
            loss.count += 1;
            loss.bytes = loss.bytes.saturating_add(blob.size);
            if loss.first.len() < SHOWN {
                loss.first.push(digest.to_string());
            }
        }
        by_origin.into_iter().map(|(origin, loss)| {
            let title = self
                .bases
                .iter()
                .find(|base| base.id == origin)
                .and_then(|base| base.title.as_ref())
                .map(|title| format!(" \"{}\"", title.as_str()))
                .unwrap_or_default();
            loss.sentence(&format!("{title} with the id {}", origin.hex()))
        })
    }
}

/// Blobs of one base that are missing on the target.
#[derive(Debug, Default)]
struct Loss {
    count: usize,
    bytes: u64,
    /// Digests of the first ones, at most `SHOWN`.
    first: Vec<String>,
}

impl Loss {
    fn sentence(&self, bundle: &str) -> String {
        let Self {
            count,
            bytes,
            first,
        } = self;
        let first = first.join(", ");
        let more = match count.checked_sub(self.first.len()) {
            Some(more) if more > 0 => format!(" and {more} more"),
            _ => String::new(),
        };
        let (blobs, are, them) = match count {
            1 => ("blob", "is", "it"),
            _ => ("blobs", "are", "them"),
        };
        format!(
            "{count} {blobs} ({bytes} bytes) {are} not on the target ({first}{more}): import the \
             bundle{bundle} first, which carries {them}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_grouped_and_counted() {
        let mut loss = Loss {
            count: 1,
            bytes: 7,
            first: vec!["sha256:a".to_owned()],
        };
        assert_eq!(
            loss.sentence(" \"May\" with the id 00"),
            "1 blob (7 bytes) is not on the target (sha256:a): import the bundle \"May\" with the \
             id 00 first, which carries it"
        );
        loss.count = 5;
        loss.first.push("sha256:b".to_owned());
        assert_eq!(
            loss.sentence(" with the id 00"),
            "5 blobs (7 bytes) are not on the target (sha256:a, sha256:b and 3 more): import the \
             bundle with the id 00 first, which carries them"
        );
    }
}
