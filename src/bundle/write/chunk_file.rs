//! One data chunk while it is being written, or read again after an interruption.
//!
//! While the journal vouches for what stands in the file, "writing" means comparing: the same
//! calls that write a chunk the first time replay it, so that a resumed chunk cannot differ from
//! an undisturbed one. Where the vouched bytes end, real writing begins, over what stands there.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::format::hash::{FileHasher, FileHashes, FileMark, blake3};
use crate::model::{BLOCK_SIZE, ChunkId, ChunkKind, Digest, chunk_path};
use crate::sys::filesystem::FileSystem;
use crate::sys::journal::{Journal, JournalledBlock};
use crate::sys::media::{Media, ReadAt, WriteFile};
use crate::sys::{self};

/// After this many bytes a chunk's blocks are flushed and journalled.
const CHECKPOINT: u64 = 64 << 20;

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 20;

/// The same where lanes take turns: about what flash media erase at a time.
const TURN: usize = 4 << 20;

/// Medium and journal, shared by all lanes.
#[derive(Clone)]
pub struct Ground {
    pub(crate) media: Arc<dyn Media>,
    journal: Arc<Mutex<Journal>>,
    /// Held while a lane writes to a medium that people carry. Lanes that write there at the same
    /// time scatter small pieces over it (docs/performance.md has the figures).
    turn: Option<Arc<Mutex<()>>>,
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = self.media.root();
        f.debug_struct("Ground")
            .field("media", &root)
            .finish_non_exhaustive()
    }
}

impl Ground {
    /// A medium and its journal. Lanes take turns where the file system is one of sticks.
    pub fn new(media: Arc<dyn Media>, journal: Journal) -> sys::Result<Self> {
        let carried = FileSystem::of(media.root())?.is_removable_kind();
        Ok(Self {
            media,
            journal: Arc::new(Mutex::new(journal)),
            turn: carried.then(Arc::default),
        })
    }

    /// Bytes that are gathered before they are written.
    fn buffer(&self) -> usize {
        if self.turn.is_some() { TURN } else { BUFFER }
    }

    fn journal_blocks(&self, chunk: ChunkId, blocks: &[(u64, JournalledBlock)]) -> sys::Result<()> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.blocks(chunk, blocks)
    }

    /// Notes that a blob was given up.
    pub(crate) fn journal_skip(&self, digest: &Digest) -> sys::Result<()> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.skip(digest)
    }
}

/// What an earlier run left of a chunk, vouched for block by block.
struct Kept {
    file: Box<dyn ReadAt>,
    blocks: Vec<JournalledBlock>,
    /// Index and bytes of the block that was verified last.
    current: Option<(u64, Vec<u8>)>,
}

impl Kept {
    /// The verified bytes from `position` to the end of its block; empty where nothing is
    /// vouched for.
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

/// A state to which a chunk can be taken back.
#[derive(Clone)]
pub(super) struct ChunkMark {
    pub(super) number: ChunkId,
    hashed: FileMark,
}

/// A chunk that is being filled.
pub(super) struct ChunkFile {
    ground: Ground,
    number: ChunkId,
    hasher: FileHasher,
    kept: Option<Kept>,
    /// Open from the first real write on.
    file: Option<Box<dyn WriteFile>>,
    buffer: Vec<u8>,
    /// Blocks before this index are journalled.
    journalled: u64,
    /// Bytes up to here are durable and journalled.
    safe: u64,
}

impl ChunkFile {
    /// Begins a chunk. `blocks` is the run for which a journal vouches, empty for a new chunk.
    pub(super) fn begin(
        ground: Ground,
        number: ChunkId,
        blocks: Vec<JournalledBlock>,
    ) -> sys::Result<Self> {
        let path = chunk_path(number, ChunkKind::Data);
        let kept = if blocks.is_empty() {
            None
        } else {
            match ground.media.open(&path) {
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
            ground,
            number,
            hasher: FileHasher::new(),
            kept,
            file: None,
            buffer: Vec::new(),
            journalled: 0,
            safe: 0,
        })
    }

    /// Opens a chunk that this run has sealed again, at a mark.
    pub(super) fn reopen(ground: Ground, mark: ChunkMark, sealed: FileHashes) -> sys::Result<Self> {
        let mut chunk = Self::begin(ground, mark.number, Vec::new())?;
        chunk.hasher = FileHasher::at(mark.hashed, sealed.blocks.0);
        let length = chunk.length();
        chunk.open_at(length)?;
        // It was sealed, and so journalled.
        chunk.journalled = length / BLOCK_SIZE;
        chunk.trust_at_most(length);
        Ok(chunk)
    }

    pub(super) fn number(&self) -> ChunkId {
        self.number
    }

    /// Bytes that are in the chunk so far.
    pub(super) fn length(&self) -> u64 {
        self.hasher.length()
    }

    pub(super) fn mark(&self) -> ChunkMark {
        ChunkMark {
            number: self.number,
            hashed: self.hasher.mark(),
        }
    }

    /// Takes the chunk back to a mark of its own.
    pub(super) fn rewind(&mut self, mark: ChunkMark) -> sys::Result<()> {
        let in_file = self.length().saturating_sub(self.buffer.len() as u64);
        self.hasher.rewind(mark.hashed);
        self.kept = None;
        let length = self.length();
        let waiting = length.checked_sub(in_file).map(usize::try_from);
        if let Some(Ok(waiting)) = waiting {
            // What the mark stands behind has not reached the file yet, and must not be lost.
            self.buffer.truncate(waiting);
        } else {
            self.buffer.clear();
            self.open_at(length)?;
        }
        self.trust_at_most(length);
        Ok(())
    }

    /// Blocks that are not whole before `length` are no longer durable or journalled.
    fn trust_at_most(&mut self, length: u64) {
        self.journalled = self.journalled.min(length / BLOCK_SIZE);
        self.safe = self.journalled * BLOCK_SIZE;
    }

    /// Opens the file for writing from `length` on, over what an earlier run left there.
    fn open_at(&mut self, length: u64) -> sys::Result<()> {
        if self.file.is_none() {
            let path = chunk_path(self.number, ChunkKind::Data);
            self.file = Some(self.ground.media.append_to(&path)?);
            self.ground.media.sync_dir("chunks")?;
        }
        if let Some(file) = &mut self.file {
            file.seek(length)?;
        }
        Ok(())
    }

    /// Bytes from the current position on for which the journal vouches, at most `most`.
    /// They count as appended.
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

    /// Appends bytes; where the journal vouches for the file, compares instead.
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
            // The journal vouched for everything before.
            let length = self.length();
            self.open_at(length)?;
            self.journalled = length / BLOCK_SIZE;
            self.trust_at_most(length);
        }
        self.hasher.update(bytes);
        if self.buffer.is_empty() && bytes.len() >= self.ground.buffer() {
            self.write(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
            if self.buffer.len() >= self.ground.buffer() {
                self.drain()?;
            }
        }
        if self.length() - self.safe >= CHECKPOINT {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> sys::Result<()> {
        let _turn = self.ground.turn.as_ref().map(|turn| turn.lock());
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

    /// Makes everything durable and journals the blocks that are full.
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
            self.ground.journal_blocks(self.number, &blocks)?;
        }
        self.journalled = self.hasher.full_blocks().len() as u64;
        self.safe = self.journalled * BLOCK_SIZE;
        Ok(())
    }

    /// Ends the chunk: everything durable and journalled.
    pub(super) fn seal(mut self) -> sys::Result<FileHashes> {
        self.checkpoint()?;
        // What an earlier run, or a blob that was given up, left behind the end.
        let path = chunk_path(self.number, ChunkKind::Data);
        self.ground.media.cut(&path, self.length())?;
        if self.file.is_some()
            && let Some((hash, length)) = self.hasher.begun_block()
        {
            let block = JournalledBlock { length, hash };
            self.ground
                .journal_blocks(self.number, &[(self.journalled, block)])?;
        }
        Ok(self.hasher.finish())
    }
}
