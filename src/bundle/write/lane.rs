//! Writes a lane: blobs, one after the other, into a series of chunks.
//!
//! Synchronous and single-threaded; an export passes it the bytes. Every blob is hashed while it
//! is written, and removed again if its digest is wrong, so that chunks hold only right blobs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::bundle::write::chunk_file::{ChunkFile, ChunkMark, LaneTarget};
use crate::format::hash::{BlobHasher, FileHashes};
use crate::format::tar;
use crate::model::{ChunkId, Digest, Extent, PlanId};
use crate::plan::export::Cursor;
use crate::sys::journal::Recovered;
use crate::sys::{self, FileError};

/// A chunk that is complete and durable.
#[derive(Debug, Clone)]
pub struct FinishedChunk {
    /// Number of the chunk.
    pub number: ChunkId,
    /// Length and hashes of the file.
    pub hashes: FileHashes,
}

/// The results of a lane.
#[derive(Debug, Default)]
pub struct FinishedLane {
    /// The chunks, by ascending number.
    pub chunks: Vec<FinishedChunk>,
    /// Complete blobs with their extents, in the order of the lane.
    pub placed: Vec<(Digest, Vec<Extent>)>,
}

/// The position at which a lane continues after a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Continue {
    /// Index of the blob in the lane.
    pub index: usize,
    /// Number of its bytes that are already written.
    pub offset: u64,
}

/// A blob to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneBlob {
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
}

/// An earlier state of the lane, which it can be taken back to.
struct Mark {
    cursor: Cursor,
    chunks: usize,
    chunk: Option<ChunkMark>,
}

/// The blob that is being written.
struct OpenBlob {
    blob: LaneBlob,
    extents: Vec<Extent>,
    /// Index of the extent that is being written.
    extent: usize,
    /// Bytes of that extent written so far.
    filled: u64,
    hasher: BlobHasher,
    before: Mark,
}

/// Writes one lane.
pub struct LaneWriter {
    target: LaneTarget,
    plan: PlanId,
    recovered: Recovered,
    cursor: Cursor,
    chunk: Option<ChunkFile>,
    blob: Option<OpenBlob>,
    done: FinishedLane,
}

impl fmt::Debug for LaneWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneWriter")
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl LaneWriter {
    /// Creates a lane that has written nothing. `recovered` is the journal of an earlier run.
    pub fn new(target: LaneTarget, plan: PlanId, cursor: Cursor, recovered: Recovered) -> Self {
        Self {
            target,
            plan,
            recovered,
            cursor,
            chunk: None,
            blob: None,
            done: FinishedLane::default(),
        }
    }

    /// Replays the blobs that an earlier run left and the journal confirms. Afterwards the lane
    /// is positioned at the returned blob and offset; the bytes before are written and hashed.
    /// Calls `seen` with each replayed blob and the number of its replayed bytes.
    pub fn replay(
        &mut self,
        blobs: &[LaneBlob],
        skipped: &BTreeSet<Digest>,
        mut seen: impl FnMut(&LaneBlob, u64),
    ) -> sys::Result<Continue> {
        for (index, blob) in blobs.iter().enumerate() {
            if skipped.contains(&blob.digest) {
                continue;
            }
            self.begin_blob(*blob)?;
            let offset = self.replay_blob()?;
            seen(blob, offset);
            if offset < blob.size {
                return Ok(Continue { index, offset });
            }
            if !self.end_blob()? {
                return Ok(Continue { index, offset: 0 });
            }
        }
        Ok(Continue {
            index: blobs.len(),
            offset: 0,
        })
    }

    fn replay_blob(&mut self) -> sys::Result<u64> {
        loop {
            self.advance_extent()?;
            let (Some(open), Some(chunk)) = (&mut self.blob, &mut self.chunk) else {
                return Ok(0);
            };
            let Some(extent) = open.extents.get(open.extent) else {
                return Ok(open.hasher.length());
            };
            let bytes = chunk.replay(extent.stored - open.filled)?;
            if bytes.is_empty() {
                return Ok(open.hasher.length());
            }
            open.hasher.update(&bytes);
            open.filled += bytes.len() as u64;
        }
    }

    /// Starts a blob. An open blob is removed first, so the same one may be started again.
    pub fn begin_blob(&mut self, blob: LaneBlob) -> sys::Result<()> {
        if self.blob.is_some() {
            self.remove_blob()?;
        }
        let before = Mark {
            cursor: self.cursor.clone(),
            chunks: self.done.chunks.len(),
            chunk: self.chunk.as_ref().map(ChunkFile::mark),
        };
        self.blob = Some(OpenBlob {
            blob,
            extents: self.cursor.place(blob.size).map_err(|error| {
                FileError::refused("lay out", self.target.media.root(), &error.to_string())
            })?,
            extent: 0,
            filled: 0,
            hasher: BlobHasher::new(),
            before,
        });
        Ok(())
    }

    /// Writes the next bytes of the open blob. Drops bytes beyond its size.
    pub fn write(&mut self, mut bytes: &[u8]) -> sys::Result<()> {
        while !bytes.is_empty() {
            self.advance_extent()?;
            let (Some(open), Some(chunk)) = (&mut self.blob, &mut self.chunk) else {
                return Ok(());
            };
            let Some(extent) = open.extents.get(open.extent) else {
                return Ok(());
            };
            let room = usize::try_from(extent.stored - open.filled).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            open.hasher.update(now);
            chunk.append(now)?;
            open.filled += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// Pads a full extent and opens the next one: starts its chunk if needed, and writes its
    /// header.
    fn advance_extent(&mut self) -> sys::Result<()> {
        let Some(open) = &mut self.blob else {
            return Ok(());
        };
        let Some(extent) = open.extents.get(open.extent).copied() else {
            return Ok(());
        };
        if open.filled == 0 {
            let part = (open.extents.len() > 1).then_some(open.extent + 1);
            let part = part.and_then(|part| u32::try_from(part).ok());
            let path = tar::blob_entry_name(&open.blob.digest, part);
            let header = tar::header(&path, tar::EntryKind::File, extent.stored, "");
            let header = header.map_err(|error| {
                FileError::refused("lay out", self.target.media.root(), &error.to_string())
            })?;
            // If the chunk already extends past this header, it was written before.
            let here = self
                .chunk
                .as_ref()
                .filter(|chunk| chunk.number() == extent.chunk);
            if here.is_none_or(|chunk| chunk.length() < extent.offset) {
                self.enter_chunk(extent.chunk)?;
                if let Some(chunk) = &mut self.chunk {
                    chunk.append(&header)?;
                }
            }
        } else if open.filled == extent.stored {
            open.extent += 1;
            open.filled = 0;
            if let Some(chunk) = &mut self.chunk {
                let padding = usize::try_from(tar::padding(extent.stored)).unwrap_or(0);
                chunk.append(&vec![0; padding])?;
            }
            return self.advance_extent();
        }
        Ok(())
    }

    fn enter_chunk(&mut self, number: ChunkId) -> sys::Result<()> {
        if self
            .chunk
            .as_ref()
            .is_some_and(|chunk| chunk.number() == number)
        {
            return Ok(());
        }
        self.seal_chunk()?;
        let blocks = self.recovered.blocks(number);
        let mut chunk = ChunkFile::begin(self.target.clone(), number, blocks)?;
        chunk.append(&tar::marker(&self.plan, number))?;
        self.chunk = Some(chunk);
        Ok(())
    }

    fn seal_chunk(&mut self) -> sys::Result<()> {
        if let Some(mut chunk) = self.chunk.take() {
            let number = chunk.number();
            chunk.append(&vec![0; usize::try_from(tar::TRAILER).unwrap_or(0)])?;
            let hashes = chunk.seal()?;
            self.done.chunks.push(FinishedChunk { number, hashes });
        }
        Ok(())
    }

    /// Ends the open blob. If its bytes do not have its digest, removes it and returns `false`;
    /// it can then be started again.
    pub fn end_blob(&mut self) -> sys::Result<bool> {
        self.advance_extent()?;
        let Some(open) = self.blob.take() else {
            return Ok(false);
        };
        let whole = open.hasher.length() == open.blob.size
            && open.hasher.clone().finish() == open.blob.digest;
        if whole {
            self.done.placed.push((open.blob.digest, open.extents));
        } else {
            self.roll_back(open.before)?;
        }
        Ok(whole)
    }

    /// Removes the open blob.
    pub fn remove_blob(&mut self) -> sys::Result<()> {
        match self.blob.take() {
            Some(open) => self.roll_back(open.before),
            None => Ok(()),
        }
    }

    fn roll_back(&mut self, mark: Mark) -> sys::Result<()> {
        // Drops the journal's entries about these chunks: their bytes are about to be removed.
        let from = mark.chunk.as_ref().map(|chunk| chunk.number);
        let current = self.chunk.take();
        let mut sealed: BTreeMap<ChunkId, FileHashes> = self
            .done
            .chunks
            .drain(mark.chunks..)
            .map(|chunk| (chunk.number, chunk.hashes))
            .collect();
        let mut numbers: BTreeSet<ChunkId> = sealed.keys().copied().collect();
        numbers.extend(current.as_ref().map(ChunkFile::number));
        if let Some(first) = numbers.first() {
            self.recovered.forget_from(*first);
        }
        for number in numbers.into_iter().filter(|number| Some(*number) != from) {
            let path = crate::model::chunk_path(number, crate::model::ChunkKind::Data);
            self.target.media.remove(&path)?;
        }
        self.chunk = match (current, mark.chunk) {
            (Some(mut chunk), Some(mark)) if chunk.number() == mark.number => {
                chunk.rewind(mark)?;
                Some(chunk)
            }
            (_, Some(mark)) => {
                let hashes = sealed.remove(&mark.number).ok_or_else(|| {
                    let root = self.target.media.root();
                    FileError::refused("go back in", root, "a chunk of this run is not known")
                })?;
                Some(ChunkFile::reopen(self.target.clone(), mark, hashes)?)
            }
            (_, None) => None,
        };
        self.cursor = mark.cursor;
        Ok(())
    }

    /// Makes all written bytes durable and journals them, before the run stops early.
    pub fn pause(&mut self) -> sys::Result<()> {
        match &mut self.chunk {
            Some(chunk) => chunk.checkpoint(),
            None => Ok(()),
        }
    }

    /// Seals the last chunk.
    pub fn finish(mut self) -> sys::Result<FinishedLane> {
        self.seal_chunk()?;
        Ok(self.done)
    }
}
