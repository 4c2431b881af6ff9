//! Plans an export against facts about its targets (`--for`): warnings, and one error with
//! everything that a target refuses and an import cannot change.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::model::{Digest, Inventory, TargetFacts};
use crate::oci::parse;
use crate::ops::context::Context;
use crate::plan::export::{ExportPlan, ManifestPlace};
use crate::plan::target::{Severity, TargetNote, notes};

/// A file of facts about a target.
#[derive(Debug, Clone)]
pub struct TargetFile {
    /// Its path, for messages.
    pub path: PathBuf,
    /// Its content.
    pub facts: TargetFacts,
}

/// What was found about one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetLine {
    /// The path of the file of facts.
    pub file: PathBuf,
    /// The differences between the bundle's content and what the target takes.
    pub notes: Vec<TargetNote>,
}

/// Media types of the configs of images; a manifest with another one is an artifact.
const IMAGE_CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// Compares the content with each target's facts, and emits the warnings.
pub(super) fn compare(
    files: &[TargetFile],
    plan: Option<&ExportPlan>,
    inventory: &Inventory,
    context: &Context,
) -> Vec<TargetLine> {
    if files.is_empty() {
        return Vec::new();
    }
    let artifacts = plan.map(artifacts).unwrap_or_default();
    let lines: Vec<TargetLine> = files
        .iter()
        .map(|file| TargetLine {
            file: file.path.clone(),
            notes: notes(inventory, &artifacts, &file.facts),
        })
        .collect();
    for line in &lines {
        for note in line
            .notes
            .iter()
            .filter(|n| n.severity == Severity::Warning)
        {
            context.warn(format!("for `{}`: {}", line.file.display(), note.message));
        }
    }
    lines
}

/// Fails with everything that a target refuses and an import cannot change.
pub(super) fn require(lines: &[TargetLine]) -> Result<()> {
    let mut message = String::from("A target will refuse some of this, so nothing was written:");
    let mut found = false;
    for line in lines {
        for note in line.notes.iter().filter(|n| n.severity == Severity::Error) {
            found = true;
            message.push_str(&format!("\n  - {}: {}", line.file.display(), note.message));
        }
    }
    match found {
        false => Ok(()),
        true => Err(Error::usage(message)
            .hint("change the request, or correct the file if the target has changed")
            .hint(
                "without `--for` the export carries everything, and the import reports refusals",
            )),
    }
}

/// Returns the manifests of a plan whose config is not that of an image.
fn artifacts(plan: &ExportPlan) -> BTreeSet<Digest> {
    let manifests = plan.content.manifests.iter();
    let artifacts = manifests.filter(|manifest| {
        let ManifestPlace::New(bytes) = &manifest.place else {
            return false;
        };
        let read = parse(bytes, Some(&manifest.media_type)).ok();
        let kind = read.and_then(|read| read.facts.artifact_type);
        kind.is_some_and(|kind| !IMAGE_CONFIGS.contains(&kind.as_str()))
    });
    artifacts.map(|manifest| manifest.digest).collect()
}
