//! Reads one block of a chunk and compares it with its hash in the manifest.

use crate::bundle::finding::FindingKind;
use crate::error::chain;
use crate::format::hash::blake3;
use crate::model::{BLOCK_SIZE, ChunkEntry};
use crate::sys::media::ReadAt;

/// Reads a block of a chunk into `block` and verifies its hash. Beyond the chunk's end, `block`
/// is left empty.
pub(super) fn read_block(
    file: &dyn ReadAt,
    chunk: &ChunkEntry,
    index: u64,
    block: &mut Vec<u8>,
) -> std::result::Result<(), (FindingKind, String)> {
    let start = index.saturating_mul(BLOCK_SIZE);
    let length = chunk.length.saturating_sub(start).min(BLOCK_SIZE);
    block.resize(usize::try_from(length).unwrap_or(0), 0);
    if length == 0 {
        return Ok(());
    }
    let read = file
        .read_at(block, start)
        .map_err(|error| (FindingKind::Unreadable, chain(&error)))?;
    let slot = usize::try_from(index).ok();
    let expected = slot.and_then(|slot| chunk.blocks.0.get(slot));
    if read != block.len() {
        return Err((FindingKind::WrongLength, "the file ends here".to_owned()));
    }
    if expected != Some(&blake3(block)) {
        let message = "its BLAKE3 differs from the manifest's".to_owned();
        return Err((FindingKind::WrongHash, message));
    }
    Ok(())
}
