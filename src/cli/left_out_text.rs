//! Text about images that an export left out on purpose.

use crate::model::{Count, LeftOut};

/// Number of images that are listed; the others are counted, and `--output json` has them.
const SHOWN: usize = 20;

/// Returns the lines about the images; none if nothing was left out.
pub(crate) fn lines(left_out: &[LeftOut]) -> impl Iterator<Item = String> {
    let count = Count::of(left_out.len(), "image");
    let title = (!left_out.is_empty()).then(|| format!("left out on purpose: {count}"));
    let shown = left_out.iter().take(SHOWN).map(|row| format!("  {row}"));
    let more = left_out.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("  and {more} more (--output json lists them)"));
    title.into_iter().chain(shown).chain(more)
}
