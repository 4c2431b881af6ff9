//! Computes the bundle that a plan leads to, before the first byte is written.

use std::io;

use super::assemble::{Assembled, LaneResults, assemble};
use super::lane::FinishedChunk;
use super::state::{PlanDocument, plan_id};
use crate::error::{Error, Result};
use crate::format::hash::FileHashes;
use crate::model::{
    BLOCK_SIZE, Blake3, BlockHashes, BundleManifest, ChunkId, Digest, Extent, Inventory, PlanId,
};
use crate::plan::export::{ExportPlan, Lane};
use crate::plan::pack;

/// The bundle that a plan leads to if every blob can be fetched. All lengths are right; the
/// hashes of data chunks are not known yet and are zeros.
pub(crate) struct Preview {
    pub(crate) document: PlanDocument,
    pub(crate) written: LaneResults,
    pub(crate) assembled: Assembled,
}

impl Preview {
    pub(crate) fn of(plan: &ExportPlan) -> Result<Self> {
        let document = PlanDocument::of(plan)?;
        let (written, assembled) = preview(plan, document.id)?;
        Ok(Self {
            document,
            written,
            assembled,
        })
    }
}

fn preview(plan: &ExportPlan, id: PlanId) -> Result<(LaneResults, Assembled)> {
    let written = simulate(plan)?;
    let assembled = assemble(plan, id, &written, &mut io::sink())?;
    Ok((written, assembled))
}

/// Returns manifest and inventory of the bundle that a plan leads to if every blob can be
/// fetched. The hashes of data chunks are not known yet and are zeros.
pub fn preview_documents(plan: &ExportPlan) -> Result<(BundleManifest, Inventory)> {
    let (_, assembled) = preview(plan, plan_id(plan)?)?;
    Ok((assembled.manifest, assembled.inventory))
}

/// Computes the lanes' results for the case that every blob can be fetched: exact lengths, hashes
/// of zeros.
fn simulate(plan: &ExportPlan) -> Result<LaneResults> {
    let mut written = LaneResults::default();
    for lane in &plan.content.lanes {
        simulate_lane(plan, lane, &mut written)?;
    }
    Ok(written)
}

fn simulate_lane(plan: &ExportPlan, lane: &Lane, written: &mut LaneResults) -> Result<()> {
    let mut cursor = plan.content.cursor(lane);
    let mut open: Option<(ChunkId, u64)> = None;
    let close = |chunk: Option<(ChunkId, u64)>, written: &mut LaneResults| {
        if let Some((number, length)) = chunk {
            let hashes = unknown_hashes(length);
            written.chunks.push(FinishedChunk { number, hashes });
        }
    };
    for digest in &lane.blobs {
        let size = plan.blob(digest).map_or(0, |blob| blob.size);
        let extents = cursor.place(size).map_err(|error| {
            Error::usage("The content does not fit into chunks").caused_by(error)
        })?;
        for extent in &extents {
            let end = chunk_length(extent);
            match open {
                Some((number, _)) if number != extent.chunk => {
                    close(open.replace((extent.chunk, end)), written);
                }
                _ => open = Some((extent.chunk, end)),
            }
        }
        written.placed.insert(*digest, extents);
    }
    close(open, written);
    Ok(())
}

/// Returns the length of a chunk whose last extent this is.
fn chunk_length(extent: &Extent) -> u64 {
    pack::chunk_length(extent)
}

/// Returns placeholder hashes (zeros) for a chunk of which only the length is known.
fn unknown_hashes(length: u64) -> FileHashes {
    let zero = Blake3::from_bytes([0; 32]);
    let blocks = usize::try_from(length.div_ceil(BLOCK_SIZE)).unwrap_or(0);
    FileHashes {
        length,
        sha256: Digest::from_bytes([0; 32]),
        blake3: zero,
        blocks: BlockHashes(vec![zero; blocks]),
    }
}
