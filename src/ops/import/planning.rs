//! Makes the plan of an import: names on the target, and the order of uploads.

use std::collections::BTreeSet;

use crate::content::mapping_file::mapped;
use crate::error::{Error, Result};
use crate::model::{ImageEntry, Inventory, Reference};
use crate::ops::mapping::require_known;
use crate::plan::import::{ArtifactSelection, ImportPlan, wanted};
use crate::plan::naming::{self, Target};

/// Decides the names and order of uploads, without asking the target.
pub(in crate::ops) fn plan(
    inventory: &Inventory,
    target: &Target,
    options: &naming::Options,
    sent: &ArtifactSelection,
) -> Result<ImportPlan> {
    let asked = |image: &ImageEntry| {
        mapped(&Reference {
            repository: image.source.clone(),
            tag: image.tag.clone(),
            digest: image.requested.digest,
        })
    };
    let known: BTreeSet<Reference> = inventory.images.iter().map(asked).collect();
    let hint = "correct the left-hand sides, or remove these lines from the mapping";
    require_known(&options.listed, &known, "the bundle does not have", hint)?;
    let placed = naming::place(&wanted(inventory), target, options);
    let placed = placed.map_err(|error| {
        let hint = error.hint();
        let failure = Error::usage("The images cannot be named on the target").caused_by(error);
        hint.into_iter().fold(failure, Error::hint)
    })?;
    Ok(ImportPlan::new(inventory, placed.images(), sent))
}
