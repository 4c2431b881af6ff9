//! Writes one data chunk, or replays it after an interruption.
//!
//! For the bytes that the journal confirms, "writing" only compares with the file: a resumed run
//! replays a chunk with the calls that would write it, so a resumed chunk cannot differ from one
//! that was never interrupted. After the confirmed bytes, it overwrites the rest of the file.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::format::hash::{FileHasher, FileHashes, FileMark, blake3};
use crate::model::{BLOCK_SIZE, ChunkId, ChunkKind, Digest, chunk_path};
use crate::sys::filesystem::FileSystem;
use crate::sys::journal::{Journal, JournalledBlock};
use crate::sys::media::{Media, ReadAt, WriteFile};
use crate::sys::{self};

/// Number of bytes after which a chunk's blocks are flushed and journalled.
const CHECKPOINT: u64 = 64 << 20;

/// Bytes that are buffered before a write.
const BUFFER: usize = 1 << 20;

/// Bytes that are buffered where lanes take turns: about the erase block of flash media.
const TURN: usize = 4 << 20;

/// The medium and the journal, shared by all lanes.
#[derive(Clone)]
pub struct LaneTarget {
    pub(crate) media: Arc<dyn Media>,
    journal: Arc<Mutex<Journal>>,
    /// Held while a lane writes to a removable medium. Lanes that write at the same time scatter
    /// small pieces over it (docs/performance.md has the figures).
    turn: Option<Arc<Mutex<()>>>,
}

impl fmt::Debug for LaneTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = self.media.root();
        f.debug_struct("LaneTarget")
            .field("media", &root)
            .finish_non_exhaustive()
    }
}

impl LaneTarget {
    /// Combines a medium and its journal. Lanes take turns if the file system is one used on
    /// sticks.
    pub fn new(media: Arc<dyn Media>, journal: Journal) -> sys::Result<Self> {
        let carried = FileSystem::of(media.root())?.is_removable_kind();
        Ok(Self {
            media,
            journal: Arc::new(Mutex::new(journal)),
            turn: carried.then(Arc::default),
        })
    }

    /// Returns the number of bytes that are buffered before a write.
    fn buffer(&self) -> usize {
        if self.turn.is_some() { TURN } else { BUFFER }
    }

    fn journal_blocks(&self, chunk: ChunkId, blocks: &[(u64, JournalledBlock)]) -> sys::Result<()> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.blocks(chunk, blocks)
    }

    /// Records in the journal that a blob was given up.
    pub(crate) fn journal_skip(&self, digest: &Digest) -> sys::Result<()> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.skip(digest)
    }
}

/// The blocks of a chunk that an earlier run left and the journal lists.
struct Kept {
    file: Box<dyn ReadAt>,
    blocks: Vec<JournalledBlock>,
    /// Index and bytes of the block that was verified last.
    current: Option<(u64, Vec<u8>)>,
}

impl Kept {
    /// Returns the verified bytes from `position` to the end of its block; empty if the journal
    /// does not confirm them.
    fn at(&mut self, position: u64) -> sys::Result<&[u8]> {
        let index = position / BLOCK_SIZE;
        if self
            .current
            .as_ref()
            .is_none_or(|(current, _)| *current != index)
        {
            self.current = None;
            let slot = usize::try_from(index).ok();
            let Some(block) = slot.and_then(|slot| self.blocks.get(slot)) else {
                return Ok(&[]);
            };
            let mut bytes = vec![0; usize::try_from(block.length).unwrap_or(0)];
            let read = self.file.read_at(&mut bytes, index * BLOCK_SIZE)?;
            if read != bytes.len() || blake3(&bytes) != block.hash {
                return Ok(&[]);
            }
            self.current = Some((index, bytes));
        }
        let within = usize::try_from(position % BLOCK_SIZE).unwrap_or(usize::MAX);
        let bytes = self
            .current
            .as_ref()
            .map(|(_, bytes)| bytes.as_slice())
            .unwrap_or_default();
        Ok(bytes.get(within..).unwrap_or_default())
    }
}

/// An earlier state of a chunk, which it can be taken back to.
#[derive(Clone)]
pub(super) struct ChunkMark {
    pub(super) number: ChunkId,
    hashed: FileMark,
}

/// A chunk that is being written.
pub(super) struct ChunkFile {
    target: LaneTarget,
    number: ChunkId,
    hasher: FileHasher,
    kept: Option<Kept>,
    /// File of the chunk; opened at the first real write.
    file: Option<Box<dyn WriteFile>>,
    buffer: Vec<u8>,
    /// Number of blocks that are journalled.
    journalled: u64,
    /// Number of bytes that are durable and journalled.
    safe: u64,
}

impl ChunkFile {
    /// Starts a chunk. `blocks` are the blocks that the journal lists, from index 0; empty for a
    /// new chunk.
    pub(super) fn begin(
        target: LaneTarget,
        number: ChunkId,
        blocks: Vec<JournalledBlock>,
    ) -> sys::Result<Self> {
        let path = chunk_path(number, ChunkKind::Data);
        let kept = if blocks.is_empty() {
            None
        } else {
            match target.media.open(&path) {
                Ok(file) => Some(Kept {
                    file,
                    blocks,
                    current: None,
                }),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            }
        };
        Ok(Self {
            target,
            number,
            hasher: FileHasher::new(),
            kept,
            file: None,
            buffer: Vec::new(),
            journalled: 0,
            safe: 0,
        })
    }

    /// Opens a chunk that this run sealed, and takes it back to a mark.
    pub(super) fn reopen(
        target: LaneTarget,
        mark: ChunkMark,
        sealed: FileHashes,
    ) -> sys::Result<Self> {
        let mut chunk = Self::begin(target, mark.number, Vec::new())?;
        chunk.hasher = FileHasher::at(mark.hashed, sealed.blocks.0);
        let length = chunk.length();
        chunk.open_at(length)?;
        // All its blocks were journalled when it was sealed.
        chunk.journalled = length / BLOCK_SIZE;
        chunk.trust_at_most(length);
        Ok(chunk)
    }

    pub(super) fn number(&self) -> ChunkId {
        self.number
    }

    /// Returns the number of bytes in the chunk so far.
    pub(super) fn length(&self) -> u64 {
        self.hasher.length()
    }

    pub(super) fn mark(&self) -> ChunkMark {
        ChunkMark {
            number: self.number,
            hashed: self.hasher.mark(),
        }
    }

    /// Takes the chunk back to a mark of this chunk.
    pub(super) fn rewind(&mut self, mark: ChunkMark) -> sys::Result<()> {
        let in_file = self.length().saturating_sub(self.buffer.len() as u64);
        self.hasher.rewind(mark.hashed);
        self.kept = None;
        let length = self.length();
        let waiting = length.checked_sub(in_file).map(usize::try_from);
        if let Some(Ok(waiting)) = waiting {
            // The buffer still holds bytes from before the mark, which must be kept.
            self.buffer.truncate(waiting);
        } else {
            self.buffer.clear();
            self.open_at(length)?;
        }
        self.trust_at_most(length);
        Ok(())
    }

    /// Marks blocks that do not end before `length` as neither durable nor journalled.
    fn trust_at_most(&mut self, length: u64) {
        self.journalled = self.journalled.min(length / BLOCK_SIZE);
        self.safe = self.journalled * BLOCK_SIZE;
    }

    /// Opens the file for writing at `length`, over the bytes of an earlier run.
    fn open_at(&mut self, length: u64) -> sys::Result<()> {
        if self.file.is_none() {
            let path = chunk_path(self.number, ChunkKind::Data);
            self.file = Some(self.target.media.append_to(&path)?);
            self.target.media.sync_dir("chunks")?;
        }
        if let Some(file) = &mut self.file {
            file.seek(length)?;
        }
        Ok(())
    }

    /// Returns bytes from the current position on that the journal confirms, at most `most`, and
    /// counts them as appended.
    pub(super) fn replay(&mut self, most: u64) -> sys::Result<Vec<u8>> {
        let position = self.length();
        let Some(kept) = &mut self.kept else {
            return Ok(Vec::new());
        };
        let bytes = kept.at(position)?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let bytes = bytes.get(..most).unwrap_or(bytes).to_vec();
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    /// Appends bytes. Where the journal confirms the file's bytes, compares instead of writing.
    pub(super) fn append(&mut self, mut bytes: &[u8]) -> sys::Result<()> {
        while let Some(kept) = &mut self.kept {
            if bytes.is_empty() {
                return Ok(());
            }
            let there = kept.at(self.hasher.length())?;
            let length = there.len().min(bytes.len());
            let (now, later) = bytes.split_at(length);
            if length == 0 || there.get(..length) != Some(now) {
                self.kept = None;
                break;
            }
            self.hasher.update(now);
            bytes = later;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            // All bytes before were confirmed by the journal.
            let length = self.length();
            self.open_at(length)?;
            self.journalled = length / BLOCK_SIZE;
            self.trust_at_most(length);
        }
        self.hasher.update(bytes);
        if self.buffer.is_empty() && bytes.len() >= self.target.buffer() {
            self.write(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
            if self.buffer.len() >= self.target.buffer() {
                self.drain()?;
            }
        }
        if self.length() - self.safe >= CHECKPOINT {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> sys::Result<()> {
        let _turn = self.target.turn.as_ref().map(|turn| turn.lock());
        match &mut self.file {
            Some(file) => file.append(bytes),
            None => Ok(()),
        }
    }

    fn drain(&mut self) -> sys::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        written
    }

    /// Makes all bytes durable and journals the blocks that are full.
    pub(super) fn checkpoint(&mut self) -> sys::Result<()> {
        self.drain()?;
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.sync()?;
        let blocks: Vec<(u64, JournalledBlock)> = (0u64..)
            .zip(self.hasher.full_blocks())
            .skip_while(|(index, _)| *index < self.journalled)
            .map(|(index, hash)| {
                (
                    index,
                    JournalledBlock {
                        length: BLOCK_SIZE,
                        hash: *hash,
                    },
                )
            })
            .collect();
        if !blocks.is_empty() {
            self.target.journal_blocks(self.number, &blocks)?;
        }
        self.journalled = self.hasher.full_blocks().len() as u64;
        self.safe = self.journalled * BLOCK_SIZE;
        Ok(())
    }

    /// Ends the chunk: all bytes durable, all blocks journalled.
    pub(super) fn seal(mut self) -> sys::Result<FileHashes> {
        self.checkpoint()?;
        // Removes bytes after the end, left by an earlier run or by a blob that was given up.
        let path = chunk_path(self.number, ChunkKind::Data);
        self.target.media.cut(&path, self.length())?;
        if self.file.is_some()
            && let Some((hash, length)) = self.hasher.begun_block()
        {
            let block = JournalledBlock { length, hash };
            self.target
                .journal_blocks(self.number, &[(self.journalled, block)])?;
        }
        Ok(self.hasher.finish())
    }
}
