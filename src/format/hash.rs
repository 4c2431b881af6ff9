//! Hashes stored files and blobs, in one pass over their bytes.

use std::io;

use sha2::{Digest as _, Sha256};

use crate::model::{
    BLOCK_SIZE, Blake3, BlockHashes, ChunkEntry, ChunkId, ChunkKind, Digest, FileEntry,
};

/// Returns the SHA-256 of bytes in memory.
pub fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// Returns the BLAKE3 of bytes in memory.
pub fn blake3(bytes: &[u8]) -> Blake3 {
    Blake3::from_bytes(*::blake3::hash(bytes).as_bytes())
}

/// Returns length and hashes of a file in memory, as the manifest records them for the inventory.
pub fn file_entry(bytes: &[u8]) -> FileEntry {
    FileEntry {
        blake3: blake3(bytes),
        length: bytes.len() as u64,
        sha256: sha256(bytes),
    }
}

/// Hashes a blob while its bytes pass through. A clone is a snapshot from which hashing can
/// continue.
#[derive(Debug, Clone, Default)]
pub struct BlobHasher {
    sha256: Sha256,
    length: u64,
}

impl BlobHasher {
    /// Creates a hasher that has read nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hashes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// Returns the number of bytes hashed so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the digest of all bytes hashed.
    pub fn finish(self) -> Digest {
        Digest::from_bytes(self.sha256.finalize().into())
    }
}

/// Length and all hashes of a stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHashes {
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// BLAKE3 of the whole file.
    pub blake3: Blake3,
    /// BLAKE3 of each block of [`BLOCK_SIZE`] bytes, the last one perhaps shorter.
    pub blocks: BlockHashes,
}

impl FileHashes {
    /// Returns the manifest's row for a file that is no chunk.
    pub fn into_file(self) -> FileEntry {
        FileEntry {
            blake3: self.blake3,
            length: self.length,
            sha256: self.sha256,
        }
    }

    /// Returns the row of the chunk table for a chunk with these hashes.
    pub fn into_chunk(self, number: ChunkId, kind: ChunkKind) -> ChunkEntry {
        ChunkEntry {
            kind,
            blake3: self.blake3,
            blocks: self.blocks,
            length: self.length,
            number,
            sha256: self.sha256,
        }
    }
}

/// Hashes a stored file while it is written or read: the whole by SHA-256 and BLAKE3, and every
/// block of [`BLOCK_SIZE`] bytes by BLAKE3. It can be taken back to an earlier state, a
/// [`FileMark`].
#[derive(Debug, Clone, Default)]
pub struct FileHasher {
    whole: BlobHasher,
    blake3: ::blake3::Hasher,
    block: ::blake3::Hasher,
    blocks: Vec<Blake3>,
}

/// An earlier state of a [`FileHasher`]. Its size does not depend on the length of the file.
#[derive(Debug, Clone)]
pub struct FileMark {
    whole: BlobHasher,
    blake3: ::blake3::Hasher,
    block: ::blake3::Hasher,
    full_blocks: usize,
}

impl FileHasher {
    /// Creates a hasher that has read nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hashes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.whole.update(bytes);
        self.blake3.update(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            // At most BLOCK_SIZE, so it fits into any usize.
            let room = (BLOCK_SIZE - self.block.count()) as usize;
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.block.update(now);
            if self.block.count() == BLOCK_SIZE {
                self.blocks
                    .push(Blake3::from_bytes(*self.block.finalize().as_bytes()));
                self.block.reset();
            }
            rest = later;
        }
    }

    /// Returns the present state.
    pub fn mark(&self) -> FileMark {
        FileMark {
            whole: self.whole.clone(),
            blake3: self.blake3.clone(),
            block: self.block.clone(),
            full_blocks: self.blocks.len(),
        }
    }

    /// Goes back to a mark that this hasher made.
    pub fn rewind(&mut self, mark: FileMark) {
        *self = Self::at(mark, std::mem::take(&mut self.blocks));
    }

    /// Creates a hasher in the state of a mark. `blocks` are the block hashes of the file; those
    /// after the mark are dropped.
    pub fn at(mark: FileMark, mut blocks: Vec<Blake3>) -> Self {
        blocks.truncate(mark.full_blocks);
        Self {
            whole: mark.whole,
            blake3: mark.blake3,
            block: mark.block,
            blocks,
        }
    }

    /// Returns the number of bytes hashed so far.
    pub fn length(&self) -> u64 {
        self.whole.length()
    }

    /// Returns the hashes of the full blocks. [`Self::finish`] adds that of the last, shorter
    /// block.
    pub fn full_blocks(&self) -> &[Blake3] {
        &self.blocks
    }

    /// Returns BLAKE3 and length in bytes of the block that is not full yet, as if the file ended
    /// here; `None` if it is empty.
    pub fn begun_block(&self) -> Option<(Blake3, u64)> {
        let length = self.block.count();
        (length > 0).then(|| {
            (
                Blake3::from_bytes(*self.block.finalize().as_bytes()),
                length,
            )
        })
    }

    /// Returns length and hashes of all bytes hashed.
    pub fn finish(mut self) -> FileHashes {
        if let Some((last, _)) = self.begun_block() {
            self.blocks.push(last);
        }
        FileHashes {
            length: self.whole.length(),
            sha256: self.whole.finish(),
            blake3: Blake3::from_bytes(*self.blake3.finalize().as_bytes()),
            blocks: BlockHashes(self.blocks),
        }
    }
}

impl io::Write for FileHasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_a_state_to_go_back_to() {
        let block = usize::try_from(BLOCK_SIZE).unwrap();
        let data: Vec<u8> = (0..3 * block + 7).map(|i| (i % 251) as u8).collect();
        let mut expected = FileHasher::new();
        expected.update(&data);
        let expected = expected.finish();
        for at in [0, 5, block, 2 * block + 1] {
            let (before, after) = data.split_at(at);
            let mut hasher = FileHasher::new();
            hasher.update(before);
            let mark = hasher.mark();
            hasher.update(&vec![9; 2 * block]);
            let wrong = hasher.clone().finish();
            hasher.rewind(mark.clone());
            // The same with the block hashes of a hasher that was finished in the meantime.
            let mut other = FileHasher::at(mark, wrong.blocks.0);
            for hasher in [&mut hasher, &mut other] {
                hasher.update(after);
                assert_eq!(hasher.clone().finish(), expected, "{at}");
            }
        }
    }

    #[test]
    fn one_pass_gives_what_hashing_the_parts_gives() {
        let block = usize::try_from(BLOCK_SIZE).unwrap();
        let data: Vec<u8> = (0..2 * block + 5).map(|i| (i % 251) as u8).collect();
        for length in [0, 1, block - 1, block, block + 1, 2 * block, data.len()] {
            let data = &data[..length];
            for step in [1 << 16, block, 3 * block] {
                let mut hasher = FileHasher::new();
                for piece in data.chunks(step) {
                    hasher.update(piece);
                }
                let hashes = hasher.clone().finish();
                assert_eq!(hashes, hasher.finish());
                assert_eq!(hashes.length, length as u64);
                assert_eq!(hashes.sha256, sha256(data));
                assert_eq!(hashes.blake3, blake3(data));
                let blocks: Vec<Blake3> = data.chunks(block).map(blake3).collect();
                assert_eq!(hashes.blocks, BlockHashes(blocks), "{length} by {step}");
            }
        }
    }

    #[test]
    fn known_answers() {
        assert_eq!(
            sha256(b"").to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            blake3(b"").to_string(),
            "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }
}
