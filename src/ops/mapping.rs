//! `--mapping`: checks that every listed image exists in the request or bundle.

use std::collections::BTreeSet;

use crate::content::mapping_file::MappingFile;
use crate::error::{Error, Result};
use crate::model::Reference;

/// Number of unknown sources that an error names.
const NAMED: usize = 10;

/// Refuses a mapping that lists images which are not `known`, in the form of [`mapped`]: a
/// mistyped source would put the image under another name than expected. `whose` is the clause of
/// the error that says where the images are unknown.
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
