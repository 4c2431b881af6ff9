//! Resolves the artifacts that are attached to an image.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::super::attached::{self, KindResult};
use super::super::problem::Problem;
use super::Walk;
use crate::model::{AttachedBy, Attachment, Digest, ImageEntry, RawManifest, Repository};
use crate::oci;
use crate::plan::export::ResolvedBlob;
use crate::registry::Client;

/// Number of requests about one image's artifacts at the same time.
const ATTACHED_JOBS: usize = 8;

/// Levels of artifacts attached to artifacts that are followed.
const ATTACHED_DEPTH: usize = 3;

impl Walk {
    /// Adds an artifact's manifests and blobs. If it has a problem, adds none of them, so that the
    /// image stays unaffected.
    async fn attached_tree(
        &mut self,
        repository: &Repository,
        root: RawManifest,
    ) -> std::result::Result<(), Problem> {
        let mut artifact = Self::new(self.client.clone(), Arc::clone(&self.selection));
        artifact.tree(repository, root, false).await?;
        for (digest, blob) in &artifact.blobs {
            let known = self.blobs.get(digest).map(|known| known.size);
            if known.is_some_and(|size| size != blob.size) {
                let reason = format!("its size for {digest} differs from the image's");
                return Err(reason.into());
            }
        }
        self.check_blobs_offered(repository, &artifact.blobs)
            .await?;
        for (digest, blob) in artifact.blobs {
            self.blobs.entry(digest).or_insert(blob);
        }
        self.manifests.extend(artifact.manifests);
        Ok(())
    }

    /// Checks that the repository offers an artifact's own blobs before they are planned: a blob
    /// found missing later would make the image incomplete.
    async fn check_blobs_offered(
        &self,
        repository: &Repository,
        blobs: &BTreeMap<Digest, ResolvedBlob>,
    ) -> std::result::Result<(), Problem> {
        let is_asked_for = |(digest, blob): &(&Digest, &ResolvedBlob)| {
            blob.foreign.is_none() && !self.blobs.contains_key(digest)
        };
        let blobs: Vec<(Digest, u64)> = blobs
            .iter()
            .filter(is_asked_for)
            .map(|(digest, blob)| (*digest, blob.size))
            .collect();
        let mut asked = stream::iter(blobs)
            .map(|(digest, size)| {
                let (client, repository) = (self.client.clone(), repository.clone());
                async move {
                    let offered = client.blob_offered(&repository, digest, size).await;
                    offered.map_err(|error| Problem::of(&digest.to_string(), &error))
                }
            })
            .buffer_unordered(ATTACHED_JOBS);
        while let Some(offered) = asked.next().await {
            offered?;
        }
        Ok(())
    }

    /// Finds artifacts attached to the image, to its children, and to found artifacts. Returns
    /// reasons why there may be more. Artifacts that cannot be fetched are left out.
    pub(super) async fn attachments(&mut self, entry: &mut ImageEntry) -> Vec<Problem> {
        let repository = entry.source.clone();
        let mut asked = BTreeSet::new();
        let mut subjects: Vec<Digest> = self.manifests.keys().copied().collect();
        let mut kinds = [AttachedBy::CosignTag, AttachedBy::Referrers].map(KindResult::new);
        for _ in 0..ATTACHED_DEPTH {
            subjects.retain(|digest| asked.insert(*digest));
            let found: Vec<_> = stream::iter(subjects.clone())
                .map(|subject| attached::find(self.client.clone(), repository.clone(), subject))
                .buffered(ATTACHED_JOBS)
                .collect()
                .await;
            subjects.clear();
            for found in found {
                for (by, problem) in found.unknown {
                    let kind = kinds.iter_mut().find(|kind| kind.is(by));
                    kind.into_iter()
                        .for_each(|kind| kind.not_known(problem.clone()));
                }
                let mut fetched = self.fetch_all(&repository, found.attachments);
                while let Some((attachment, fetched)) = fetched.next().await {
                    let fetched = self.artifact(&repository, &attachment, fetched).await;
                    let Some(kind) = kinds.iter_mut().find(|kind| kind.is(attachment.by)) else {
                        continue;
                    };
                    match fetched {
                        Ok(true) => {
                            kind.found();
                            subjects.push(attachment.root);
                            entry.attached.push(attachment);
                        }
                        Ok(false) => {}
                        Err(problem) => kind.not_known(problem.within("attached artifact")),
                    }
                }
            }
        }
        let [cosign, referrers] = kinds;
        (entry.cosign, entry.referrers) = (cosign.state(), referrers.state());
        let mut unknown = cosign.into_unknown();
        unknown.extend(referrers.into_unknown());
        unknown
    }

    /// Fetches the manifests of artifacts, several at the same time because a list may name
    /// thousands, and yields them in order. Known manifests are not fetched.
    fn fetch_all(
        &self,
        repository: &Repository,
        attachments: Vec<Attachment>,
    ) -> BoxStream<
        'static,
        (
            Attachment,
            Option<std::result::Result<RawManifest, Problem>>,
        ),
    > {
        let is_known = |attachment: &Attachment| self.manifests.contains_key(&attachment.root);
        let attachments: Vec<(bool, Attachment)> = attachments
            .into_iter()
            .map(|attachment| (is_known(&attachment), attachment))
            .collect();
        let (client, repository) = (self.client.clone(), repository.clone());
        stream::iter(attachments)
            .map(move |(is_known, attachment)| {
                let (client, repository) = (client.clone(), repository.clone());
                async move {
                    let fetched = match is_known {
                        true => None,
                        false => Some(fetch(&client, &repository, attachment.root).await),
                    };
                    (attachment, fetched)
                }
            })
            .buffered(ATTACHED_JOBS)
            .boxed()
    }

    /// Adds an artifact with all its content, unless it is known. Returns false for a stray
    /// artifact, which is not added.
    async fn artifact(
        &mut self,
        repository: &Repository,
        attachment: &Attachment,
        fetched: Option<std::result::Result<RawManifest, Problem>>,
    ) -> std::result::Result<bool, Problem> {
        let root = attachment.root;
        if let Some(known) = self.manifests.get(&root) {
            return Ok(!is_stray(attachment, known.subject));
        }
        let manifest = match fetched {
            Some(fetched) => fetched?,
            None => fetch(&self.client, repository, root).await?,
        };
        let (bytes, kind) = (&manifest.bytes, &manifest.media_type);
        let facts = oci::parse(bytes, Some(kind)).map(|document| document.facts);
        let subject = facts.ok().and_then(|facts| facts.subject);
        if is_stray(attachment, subject.map(|subject| subject.digest)) {
            return Ok(false);
        }
        let taken = self.attached_tree(repository, manifest).await;
        taken.map_err(|problem| problem.within(&root.to_string()))?;
        Ok(true)
    }
}

async fn fetch(
    client: &Client,
    repository: &Repository,
    root: Digest,
) -> std::result::Result<RawManifest, Problem> {
    let fetched = client.manifest(repository, &root.into()).await;
    let fetched = fetched.map_err(|error| Problem::of(&root.to_string(), &error))?;
    Ok(fetched.value)
}

/// True if a list of referrers contains an artifact with another subject. It is not carried as a
/// referrer (bundle-format.md, R-27).
fn is_stray(attachment: &Attachment, own_subject: Option<Digest>) -> bool {
    attachment.by == AttachedBy::Referrers && own_subject != Some(attachment.subject)
}
