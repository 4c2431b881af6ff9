//! `--mapping`: every image that somebody lists is meant for something.

use std::collections::BTreeSet;

use crate::content::mapping_file::MappingFile;
use crate::error::{Error, Result};
use crate::model::Reference;

/// Unknown sources that an error names.
const NAMED: usize = 10;

/// Refuses a mapping that lists images which are not `known`, as [`mapped`] writes them: a
/// mistyped source would leave the image where it is not looked for. `whose`: who knows no such
/// image, in a clause.
///
/// [`mapped`]: crate::content::mapping_file::mapped
pub(super) fn require_known(
    mapping: &MappingFile,
    known: &BTreeSet<Reference>,
    whose: &str,
    hint: &str,
) -> Result<()> {
    let unknown: Vec<&Reference> = mapping.sources().filter(|s| !known.contains(*s)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let mut message = format!("The mapping lists images that {whose}:");
    for image in unknown.iter().take(NAMED) {
        message.push_str(&format!("\n  - {image}"));
    }
    if let Some(more) = unknown.len().checked_sub(NAMED).filter(|more| *more > 0) {
        message.push_str(&format!("\n  - and {more} more"));
    }
    Err(Error::usage(message).hint(hint))
}
