//! Compares the content of a bundle with facts about a target registry, at the export, where the
//! request can still be changed.
//!
//! The facts come from a file that is not authenticated. So they never change what a bundle
//! contains: they lead to warnings, and to an error only if an import has no way to bring an image
//! there.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::import::wanted;
use super::naming::{self, MaxComponents, Options, Target};
use super::naming_ahead::conflicts;
use crate::model::{
    AttachedBy, BlobPlace, ByteSize, Count, Digest, Fact, Graph, ImageEntry, Inventory,
    ManifestEntry, MediaType, TargetFacts, Walk,
};

/// Number of names that a note shows.
const SHOWN: usize = 3;

/// Severity of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The target refuses it, and the import has no way to bring it there.
    Error,
    /// The import needs a flag, or leaves something behind.
    Warning,
}

/// A difference between a bundle's content and what a target takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetNote {
    /// Its severity.
    pub severity: Severity,
    /// One clause: what, why, and what to do.
    pub message: String,
}

/// Compares the content with the facts. `artifacts`: digests of manifests whose config is not that
/// of an image. Errors come first.
pub fn notes(
    inventory: &Inventory,
    artifacts: &BTreeSet<Digest>,
    facts: &TargetFacts,
) -> Vec<TargetNote> {
    let mut notes = name_notes(inventory, facts);
    notes.extend(content_notes(inventory, artifacts, facts));
    notes.extend(tag_note(inventory, facts));
    if facts.lacks(Fact::Push) {
        notes.push(warning(
            "the account could not push there; the import needs another account, or more rights"
                .to_owned(),
        ));
    }
    notes.sort_by_key(|note| note.severity);
    notes
}

fn warning(message: String) -> TargetNote {
    TargetNote {
        severity: Severity::Warning,
        message,
    }
}

/// Checks the depth of paths, and the names under the limit.
fn name_notes(inventory: &Inventory, facts: &TargetFacts) -> Vec<TargetNote> {
    let Some(limit) = facts.max_components else {
        return Vec::new();
    };
    let namespace = (0..facts.namespace_components.unwrap_or(1)).map(|_| "/n");
    let target = format!("target.invalid{}", namespace.collect::<String>());
    let Ok(target) = target.parse::<Target>() else {
        return Vec::new();
    };
    let images = wanted(inventory);
    // Conflicts without the limit are reported for every export.
    let Ok(placement) = naming::place(&images, &target, &Options::default()) else {
        return Vec::new();
    };
    let depth = |path: &crate::model::RepositoryPath| path.components().count();
    let paths = placement.images().iter().map(|one| &one.repository.path);
    let deep: BTreeSet<String> = paths
        .filter(|path| depth(path) > usize::try_from(limit).unwrap_or(usize::MAX))
        .map(|path| path.to_string().trim_start_matches("n/").to_owned())
        .collect();
    if deep.is_empty() {
        return Vec::new();
    }
    let many = Count::of(deep.len(), "path");
    let names = named(&deep);
    let Ok(components) = limit.to_string().parse::<MaxComponents>() else {
        return vec![TargetNote {
            severity: Severity::Error,
            message: format!(
                "{many} ({names}) would have more than {limit} component, which the target does \
                 not take; import into another registry"
            ),
        }];
    };
    let mut notes = vec![warning(format!(
        "{many} ({names}) would have more than {limit} components, which the target does not take: \
         import with `--max-components {limit}`"
    ))];
    let options = Options {
        max_components: Some(components),
        ..Options::default()
    };
    if let Err(error) = naming::place(&images, &target, &options) {
        notes.extend(conflicts(&error, &target).into_iter().map(|conflict| {
            warning(format!(
                "an import with `--max-components {limit}` will refuse this bundle: {conflict}; \
                 rename one there: `--mapping FILE` with a line `SOURCE=TARGET`"
            ))
        }));
    }
    notes
}

/// Images for which the same note applies.
type Groups = BTreeMap<(Severity, String, &'static str), BTreeSet<String>>;

/// Checks manifests, layers and attached artifacts.
fn content_notes(
    inventory: &Inventory,
    artifacts: &BTreeSet<Digest>,
    facts: &TargetFacts,
) -> Vec<TargetNote> {
    let mut groups = Groups::new();
    let graph = Graph::new(inventory);
    let mut walk = Walk::new(&graph);
    for image in inventory.images.iter().filter(|i| i.is_whole()) {
        let Some(root) = image.root else {
            continue;
        };
        let manifests: Vec<Digest> = walk.manifests_from(&root).collect();
        for manifest in manifests.iter().filter_map(|m| inventory.manifest(m)) {
            let is_artifact = artifacts.contains(&manifest.digest);
            for reason in refusals(inventory, manifest, is_artifact, facts) {
                groups.entry(reason).or_default().insert(name(image));
            }
        }
        let refers = |attached: &crate::model::Attachment| attached.by == AttachedBy::Referrers;
        if facts.lacks(Fact::Subject) && image.attached.iter().any(refers) {
            let what = "the target refuses the signatures and other artifacts that refer to";
            let way = "the images arrive without them, with code 7: `import \
                       --attachments=best-effort` accepts that";
            let key = (Severity::Warning, what.to_owned(), way);
            groups.entry(key).or_default().insert(name(image));
        }
    }
    let notes = groups.into_iter().map(|((severity, what, way), images)| {
        let many = Count::of(images.len(), "image");
        TargetNote {
            severity,
            message: format!("{what} {many} ({}): {way}", named(&images)),
        }
    });
    notes.collect()
}

const NO_WAY: &str = "leave it out, or use another target";

/// Returns why the target refuses a manifest or one of its blobs.
fn refusals(
    inventory: &Inventory,
    manifest: &ManifestEntry,
    is_artifact: bool,
    facts: &TargetFacts,
) -> Vec<(Severity, String, &'static str)> {
    let mut found = Vec::new();
    let kind = match manifest.media_type.as_str() {
        MediaType::OCI_MANIFEST => Some(Fact::OciManifest),
        MediaType::DOCKER_MANIFEST => Some(Fact::DockerManifest),
        MediaType::OCI_INDEX => Some(Fact::OciIndex),
        MediaType::DOCKER_LIST => Some(Fact::DockerList),
        _ => None,
    };
    if kind.is_some_and(|kind| facts.lacks(kind)) {
        let what = format!("the target does not take {} of", manifest.media_type);
        found.push((Severity::Error, what, NO_WAY));
    }
    if is_artifact && facts.lacks(Fact::Artifact) {
        let what = "the target takes images only, no artifacts:".to_owned();
        found.push((Severity::Error, what, NO_WAY));
    }
    let absent = |digest: &Digest| inventory.manifest(digest).is_none();
    if facts.lacks(Fact::SparseIndex) && manifest.omitted.iter().any(absent) {
        let what = "the target refuses the sparse index (--platform) of".to_owned();
        found.push(match manifest.children.len() {
            1 => (
                Severity::Warning,
                what,
                "import with `--sparse-index=platform-manifest`, or export all platforms",
            ),
            _ => (
                Severity::Error,
                what,
                "export all platforms, or a single one, which `import \
                 --sparse-index=platform-manifest` tags",
            ),
        });
    }
    if let Some(limit) = facts.max_layer_bytes {
        let blobs = manifest.blobs.iter().filter_map(|b| inventory.blob(b));
        let sent = blobs.filter(|blob| !matches!(blob.place, BlobPlace::Foreign { .. }));
        let largest = sent.map(|blob| blob.size).max().unwrap_or(0);
        if largest > limit {
            let what = format!(
                "the target takes layers of at most {} ({limit} bytes), and one is larger in",
                ByteSize(limit)
            );
            found.push((Severity::Error, what, NO_WAY));
        }
    }
    found
}

/// Warns if tags of a base would move and the target does not allow that, or forgets what they
/// pointed to.
fn tag_note(inventory: &Inventory, facts: &TargetFacts) -> Option<TargetNote> {
    let roots = || inventory.bases.iter().flat_map(|base| &base.roots);
    let moves = |image: &&ImageEntry| {
        image.tag.is_some()
            && image.root.is_some_and(|root| {
                let tag = |tag: crate::model::Tag| image.source.tagged(tag);
                let reference = image.tag.clone().map(tag);
                roots().any(|old| Some(&old.reference) == reference.as_ref() && old.root != root)
            })
    };
    let immutable = facts.lacks(Fact::TagsMove);
    if !immutable && !facts.lacks(Fact::KeepsUntagged) {
        return None;
    }
    let moved: BTreeSet<String> = inventory.images.iter().filter(moves).map(name).collect();
    if moved.is_empty() {
        return None;
    }
    let (many, names) = (Count::of(moved.len(), "tag"), named(&moved));
    Some(warning(match immutable {
        true => format!(
            "{many} of a base would move ({names}), and the target does not let tags move: change \
             its rule, or import with `--existing-tags=skip`"
        ),
        false => format!(
            "{many} of a base would move ({names}), and the target forgets the image to which a \
             tag pointed: what runs by the old digest cannot pull it any more"
        ),
    }))
}

fn name(image: &ImageEntry) -> String {
    image.requested.to_string()
}

/// Names the first few, and counts the others.
fn named(names: &BTreeSet<String>) -> String {
    let mut text: Vec<String> = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect();
    if let Some(more) = names.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.push(format!("and {more} more"));
    }
    text.join(", ")
}
