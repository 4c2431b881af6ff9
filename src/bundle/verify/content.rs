//! Verifies every byte of every chunk.
//!
//! Chunks that share a cut blob are read one after the other by one thread, because SHA-256 needs
//! the blob's bytes in order; other chunks are read in parallel.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::bundle::finding::{Finding, FindingKind, Findings};
use crate::bundle::open::{AffectedImages, Bundle};
use crate::bundle::read::read_metadata;
use crate::error::{Error, Result, chain};
use crate::format::Placement;
use crate::format::data_chunk::{FrameExpectation, Piece};
use crate::format::hash::{BlobHasher, FileHasher};
use crate::model::{BLOCK_SIZE, BlobPlace, ChunkEntry, ChunkId, ChunkKind, ChunkOrigin, Digest};
use crate::progress::{Event, Phase, Progress};

/// Reads and checks all chunks. Returns all findings. Ends early with [`Error::interrupted`] if
/// `is_cancelled` returns true.
pub(crate) fn check_content(
    bundle: &Bundle,
    jobs: Option<usize>,
    progress: &dyn Progress,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Finding>> {
    let phase = Phase::Verify;
    let (items, bytes) = (
        bundle.manifest.chunks.len() as u64,
        bundle.manifest.chunk_bytes(),
    );
    progress.emit(Event::PhaseStarted {
        phase,
        items,
        bytes,
    });
    let check = Check {
        bundle,
        placement: Placement::new(&bundle.inventory),
        hits: AffectedImages::new(&bundle.inventory),
        progress,
        is_cancelled,
        findings: Mutex::default(),
    };
    let queue = Mutex::new(check.runs());
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = jobs.unwrap_or_else(cores).max(1);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let run = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    match run {
                        Some(run) if !is_cancelled() => check.run(&run),
                        _ => return,
                    }
                }
            });
        }
    });
    if is_cancelled() {
        return Err(Error::interrupted());
    }
    let mut findings = check
        .findings
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_vec();
    findings.extend(read_metadata(
        bundle.media.as_ref(),
        &bundle.manifest,
        &bundle.inventory,
        |_| {},
    )?);
    progress.emit(Event::PhaseFinished { phase });
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// State shared by all threads.
struct Check<'a> {
    bundle: &'a Bundle,
    placement: Placement,
    hits: AffectedImages<'a>,
    progress: &'a dyn Progress,
    is_cancelled: &'a (dyn Fn() -> bool + Sync),
    findings: Mutex<Findings>,
}

/// A blob that is being hashed.
struct OpenBlob {
    hasher: BlobHasher,
    /// True if part of the blob is damaged or missing, which was reported: its hash is not
    /// compared.
    damaged: bool,
}

impl Check<'_> {
    /// Groups chunks that one thread must read in order. The largest group is last, since groups
    /// are taken from the end.
    fn runs(&self) -> Vec<Vec<&ChunkEntry>> {
        let mut joined: BTreeMap<ChunkId, BTreeSet<ChunkId>> = BTreeMap::new();
        for blob in &self.bundle.inventory.blobs {
            if let BlobPlace::Carried(carried) = &blob.place {
                let chunks: Vec<ChunkId> = carried.extents.iter().map(|e| e.chunk).collect();
                for pair in chunks.windows(2) {
                    if let [a, b] = pair {
                        joined.entry(*a).or_default().insert(*b);
                        joined.entry(*b).or_default().insert(*a);
                    }
                }
            }
        }
        let rows: BTreeMap<ChunkId, &ChunkEntry> = self
            .bundle
            .manifest
            .chunks
            .iter()
            .map(|chunk| (chunk.number, chunk))
            .collect();
        let mut seen = BTreeSet::new();
        let mut runs = Vec::new();
        for first in rows.keys() {
            let mut group = BTreeSet::new();
            let mut stack = vec![*first];
            while let Some(number) = stack.pop() {
                if seen.insert(number) {
                    group.insert(number);
                    stack.extend(joined.get(&number).into_iter().flatten());
                }
            }
            let run: Vec<&ChunkEntry> = group
                .iter()
                .filter_map(|number| rows.get(number).copied())
                .collect();
            if !run.is_empty() {
                runs.push(run);
            }
        }
        runs.sort_by_key(|run| run.iter().map(|chunk| chunk.length).sum::<u64>());
        runs
    }

    fn found(&self, finding: Finding) {
        self.findings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(finding);
    }

    fn run(&self, chunks: &[&ChunkEntry]) {
        let mut open = BTreeMap::new();
        for chunk in chunks {
            let (phase, item): (_, Arc<str>) = (Phase::Verify, chunk.path().into());
            let (bytes, bytes_cached) = (chunk.length, 0);
            let started = Event::ItemStarted {
                phase,
                item: Arc::clone(&item),
                bytes,
                bytes_cached,
            };
            self.progress.emit(started);
            let ok = self.chunk(chunk, &item, &mut open);
            self.progress.emit(Event::ItemFinished { phase, item, ok });
            if (self.is_cancelled)() {
                return;
            }
        }
    }

    /// Reads one chunk. Returns true if nothing is wrong with it.
    fn chunk(
        &self,
        chunk: &ChunkEntry,
        item: &Arc<str>,
        open: &mut BTreeMap<Digest, OpenBlob>,
    ) -> bool {
        let path = chunk.path();
        let file = match self.bundle.media.open(&path) {
            Ok(file) => file,
            Err(error) => {
                // A missing file was reported when the directory was listed.
                if !error.is_not_found() && !error.is_not_regular() {
                    let finding = Finding::new(FindingKind::Unreadable, chain(&error));
                    let hit = self.hits.chunk(chunk.number);
                    self.found(finding.in_file(path).hitting(hit));
                }
                self.give_up_blobs(chunk, open);
                return false;
            }
        };
        let mut walk = ChunkWalk::new(self, chunk);
        let frame = self.frame(chunk);
        let mut comparison = frame.as_ref().map(FrameExpectation::compare);
        let mut hasher = FileHasher::new();
        let mut buffer = vec![0; usize::try_from(BLOCK_SIZE).unwrap_or(0)];
        let mut index = 0;
        while index * BLOCK_SIZE < chunk.length && !(self.is_cancelled)() {
            let start = index * BLOCK_SIZE;
            let wanted = (chunk.length - start).min(BLOCK_SIZE);
            let block = buffer
                .get_mut(..usize::try_from(wanted).unwrap_or(0))
                .unwrap_or_default();
            let read = match file.read_at(block, start) {
                Ok(read) => read,
                Err(error) => {
                    walk.bad_block(index, FindingKind::Unreadable, chain(&error));
                    // The block counts as zeroes, so that the following blocks are still checked.
                    block.fill(0);
                    block.len()
                }
            };
            let block = block.get(..read).unwrap_or_default();
            if (read as u64) < wanted {
                walk.bad_block(
                    index,
                    FindingKind::WrongLength,
                    "the file ends here".to_owned(),
                );
            }
            hasher.update(block);
            let hash = hasher.full_blocks().get(walk.slot(index)).copied();
            let hash = hash.or_else(|| hasher.begun_block().map(|(hash, _)| hash));
            if hash.as_ref() != chunk.blocks.0.get(walk.slot(index)) {
                let message = "its BLAKE3 differs from the manifest's";
                walk.bad_block(index, FindingKind::WrongHash, message.to_owned());
            }
            if let Some(comparison) = &mut comparison {
                comparison.feed(block, |piece| walk.piece(index, piece, open));
            }
            self.progress.emit(Event::ItemAdvanced {
                phase: Phase::Verify,
                item: Arc::clone(item),
                bytes: read as u64,
            });
            if (read as u64) < wanted {
                self.give_up_blobs(chunk, open);
                return false;
            }
            index += 1;
        }
        let hashes = hasher.finish();
        if walk.bad.is_empty() && (hashes.sha256 != chunk.sha256 || hashes.blake3 != chunk.blake3) {
            // Every block is right and the whole is not: the manifest contradicts itself.
            let message =
                "the hash of the file is wrong though every block is right: the manifest is wrong";
            self.found(Finding::new(FindingKind::WrongHash, message).in_file(path));
            return false;
        }
        walk.bad.is_empty()
    }

    fn frame(&self, chunk: &ChunkEntry) -> Option<FrameExpectation> {
        if chunk.kind != ChunkKind::Data {
            return None;
        }
        let rows = &self.bundle.inventory.chunks;
        let index = rows
            .binary_search_by_key(&chunk.number, |origin| origin.number)
            .ok()?;
        let origin: &ChunkOrigin = rows.get(index)?;
        FrameExpectation::of(origin, &self.placement).ok()
    }

    /// Marks the blobs of a chunk as damaged, so that they are not hashed.
    fn give_up_blobs(&self, chunk: &ChunkEntry, open: &mut BTreeMap<Digest, OpenBlob>) {
        for extent in self.placement.chunk(chunk.number) {
            let hasher = BlobHasher::new();
            open.entry(extent.digest)
                .or_insert(OpenBlob {
                    hasher,
                    damaged: true,
                })
                .damaged = true;
        }
    }
}

/// State of reading one chunk.
struct ChunkWalk<'c, 'a> {
    check: &'c Check<'a>,
    chunk: &'c ChunkEntry,
    bad: BTreeSet<u64>,
}

impl<'c, 'a> ChunkWalk<'c, 'a> {
    fn new(check: &'c Check<'a>, chunk: &'c ChunkEntry) -> Self {
        Self {
            check,
            chunk,
            bad: BTreeSet::new(),
        }
    }

    fn slot(&self, index: u64) -> usize {
        usize::try_from(index).unwrap_or(usize::MAX)
    }

    fn bad_block(&mut self, index: u64, kind: FindingKind, message: String) {
        if !self.bad.insert(index) {
            return;
        }
        let start = index * BLOCK_SIZE;
        let hit = match self.chunk.kind {
            ChunkKind::Data => self
                .check
                .hits
                .range(self.chunk.number, start, start + BLOCK_SIZE),
            ChunkKind::Metadata => self.check.hits.chunk(self.chunk.number),
        };
        let finding = Finding::new(kind, message).in_file(self.chunk.path());
        self.check.found(finding.in_block(index).hitting(hit));
    }

    fn piece(&mut self, index: u64, piece: Piece<'_>, open: &mut BTreeMap<Digest, OpenBlob>) {
        let damaged = self.bad.contains(&index);
        match piece {
            Piece::Fixed {
                wrong: Some(at), ..
            } if !damaged => {
                let message = format!("byte {at} (tar header or padding) was changed");
                let finding = Finding::new(FindingKind::WrongFrame, message);
                self.check
                    .found(finding.in_file(self.chunk.path()).in_block(index));
            }
            Piece::Beyond { length } if !damaged => {
                let message = format!("{length} bytes follow the end of the tar");
                let finding = Finding::new(FindingKind::WrongFrame, message);
                self.check
                    .found(finding.in_file(self.chunk.path()).in_block(index));
            }
            Piece::Fixed { .. } | Piece::Beyond { .. } => {}
            Piece::Blob {
                digest,
                offset_in_blob,
                bytes,
            } => {
                self.blob(damaged, digest, offset_in_blob, bytes, open);
            }
        }
    }

    fn blob(
        &self,
        damaged: bool,
        digest: Digest,
        offset: u64,
        bytes: &[u8],
        open: &mut BTreeMap<Digest, OpenBlob>,
    ) {
        let blob = open.entry(digest).or_insert_with(|| OpenBlob {
            hasher: BlobHasher::new(),
            damaged: false,
        });
        blob.damaged |= damaged || blob.hasher.length() != offset;
        if blob.damaged {
            return;
        }
        blob.hasher.update(bytes);
        let inventory = &self.check.bundle.inventory;
        let size = inventory.blob(&digest).map(|blob| blob.size);
        if Some(blob.hasher.length()) == size
            && let Some(done) = open.remove(&digest)
            && done.hasher.finish() != digest
        {
            // Every block is the one that was signed, but the content does not have its digest.
            let message = format!("the bytes of {digest} have another SHA-256");
            let finding = Finding::new(FindingKind::WrongHash, message);
            let hit = self.check.hits.content(&digest);
            self.check
                .found(finding.in_file(self.chunk.path()).hitting(hit));
        }
    }
}
