//! Reads and writes `export.journal`, which lists the durable blocks of an unfinished bundle
//! (bundle-format.md, section 9.2).

use std::collections::{BTreeMap, BTreeSet};

use super::error::Result;
use super::media::{Media, WriteFile};
use crate::model::{BLOCK_SIZE, Blake3, ChunkId, Digest, PlanId};

/// Path of the journal in the bundle.
pub const PATH: &str = "export.journal";

/// Largest length of the journal in bytes: enough for some 40 TiB of chunks.
const CAP: u64 = 1 << 30;

/// The journal of an earlier run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    blocks: BTreeMap<ChunkId, BTreeMap<u64, JournalledBlock>>,
    /// Blobs that were given up.
    pub skipped: BTreeSet<Digest>,
}

/// A durable block of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalledBlock {
    /// Length in bytes; only a chunk's last block is shorter than [`BLOCK_SIZE`].
    pub length: u64,
    /// BLAKE3 of the block.
    pub hash: Blake3,
}

impl Recovered {
    /// Returns a chunk's blocks from index 0 on, without gaps. A block that is not full is the
    /// last.
    pub fn blocks(&self, chunk: ChunkId) -> Vec<JournalledBlock> {
        let mut run = Vec::new();
        for (index, block) in self.blocks.get(&chunk).into_iter().flatten() {
            if *index != run.len() as u64 {
                break;
            }
            run.push(*block);
            if block.length < BLOCK_SIZE {
                break;
            }
        }
        run
    }

    /// Drops the entries of a chunk and of all chunks with higher numbers.
    pub fn forget_from(&mut self, chunk: ChunkId) {
        self.blocks.split_off(&chunk);
    }

    /// Parses a journal; `None` if it belongs to another plan. Ignores lines that are malformed:
    /// then fewer blocks are kept, and more is fetched again.
    fn parse(text: &[u8], plan: &PlanId) -> Option<Self> {
        let mut recovered = Self::default();
        let mut lines = text.split_inclusive(|byte| *byte == b'\n');
        let whole = |line: &[u8]| line.strip_suffix(b"\n").map(<[u8]>::to_vec);
        let header = lines.next().and_then(whole);
        if header.as_deref() != Some(header_line(plan).trim_end().as_bytes()) {
            return None;
        }
        for line in lines {
            let Some(line) = whole(line).and_then(|line| String::from_utf8(line).ok()) else {
                continue;
            };
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["block", chunk, index, length, hash] => {
                    let chunk = chunk.parse().ok().and_then(|n: u32| n.try_into().ok());
                    if let (Some(chunk), Ok(index), Ok(length), Ok(hash)) =
                        (chunk, index.parse(), length.parse(), Blake3::from_hex(hash))
                        && (1..=BLOCK_SIZE).contains(&length)
                    {
                        let block = JournalledBlock { length, hash };
                        recovered
                            .blocks
                            .entry(chunk)
                            .or_default()
                            .insert(index, block);
                    }
                }
                ["skip", digest] => {
                    if let Ok(digest) = digest.parse() {
                        recovered.skipped.insert(digest);
                    }
                }
                _ => {}
            }
        }
        Some(recovered)
    }
}

fn header_line(plan: &PlanId) -> String {
    format!("airferry-journal-v1 {plan}\n")
}

/// Reads the journal of a plan; `None` if there is none, or it belongs to another plan.
pub fn read(media: &dyn Media, plan: &PlanId) -> Result<Option<Recovered>> {
    let text = media.read_if_present(PATH, CAP)?.unwrap_or_default();
    Ok(Recovered::parse(&text, plan))
}

/// The journal, open for writing.
pub struct Journal {
    file: Box<dyn WriteFile>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}

impl Journal {
    /// Starts a new journal for a plan, replacing any other.
    pub fn create(media: &dyn Media, plan: &PlanId) -> Result<Self> {
        media.write_atomically(PATH, header_line(plan).as_bytes())?;
        Self::open(media)
    }

    /// Continues an existing journal.
    pub fn open(media: &dyn Media) -> Result<Self> {
        let mut file = media.append_to(PATH)?;
        // Ends a torn last line, so that it does not merge with the first new one.
        file.append(b"\n")?;
        Ok(Self { file })
    }

    /// Records blocks of a chunk, as `(index, block)`, which must already be durable. The record
    /// is durable on return.
    pub fn blocks(&mut self, chunk: ChunkId, blocks: &[(u64, JournalledBlock)]) -> Result<()> {
        let mut text = String::new();
        for (index, block) in blocks {
            let (chunk, length, hash) = (chunk.number(), block.length, block.hash.hex());
            text.push_str(&format!("block {chunk} {index} {length} {hash}\n"));
        }
        self.file.append(text.as_bytes())?;
        self.file.sync()
    }

    /// Records that a blob was given up. The record is durable on return.
    pub fn skip(&mut self, digest: &Digest) -> Result<()> {
        self.file.append(format!("skip {digest}\n").as_bytes())?;
        self.file.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::media::DirMedia;

    fn block(byte: u8, length: u64) -> JournalledBlock {
        let hash = Blake3::from_bytes([byte; 32]);
        JournalledBlock { length, hash }
    }

    #[test]
    fn survives_a_torn_line_and_keeps_the_unbroken_run() {
        let directory = tempfile::tempdir().unwrap();
        let media = DirMedia::open(directory.path()).unwrap();
        let plan = PlanId::new(Digest::from_bytes([7; 32]));
        let chunk = ChunkId::try_from(3u64).unwrap();
        let skipped = Digest::from_bytes([9; 32]);
        let mut journal = Journal::create(&media, &plan).unwrap();
        journal
            .blocks(
                chunk,
                &[(0, block(1, BLOCK_SIZE)), (1, block(2, BLOCK_SIZE))],
            )
            .unwrap();
        media
            .append_to(PATH)
            .unwrap()
            .append(b"block 3 2 41943")
            .unwrap();
        let mut journal = Journal::open(&media).unwrap();
        journal
            .blocks(chunk, &[(1, block(5, 100)), (3, block(4, 9))])
            .unwrap();
        journal.skip(&skipped).unwrap();

        let recovered = read(&media, &plan).unwrap().unwrap();
        assert_eq!(
            recovered.blocks(chunk),
            [block(1, BLOCK_SIZE), block(5, 100)]
        );
        assert!(recovered.skipped.contains(&skipped));
        assert_eq!(recovered.blocks(ChunkId::try_from(4u64).unwrap()), []);
        let other = PlanId::new(Digest::from_bytes([8; 32]));
        assert_eq!(read(&media, &other).unwrap(), None);
    }
}
