//! Reads metadata chunks from the medium. Every block is verified before it is decompressed.

use std::io::{self, Read};

use super::block::read_block;
use crate::bundle::finding::{Finding, FindingKind, Findings};
use crate::bundle::open::{AffectedImages, unreadable};
use crate::error::{Result, chain};
use crate::format::manifest_row::ForeignUrls;
use crate::format::metadata_chunk::{MetadataError, MetadataTar, MetadataTars, ReadManifest};
use crate::model::{BundleManifest, ChunkEntry, ChunkKind, Inventory, RawManifest};
use crate::sys::media::{Media, ReadAt};

/// Reads all metadata chunks and calls `found` with every valid OCI manifest. Returns all
/// findings.
pub(crate) fn read_metadata(
    media: &dyn Media,
    manifest: &BundleManifest,
    inventory: &Inventory,
    mut found: impl FnMut(RawManifest),
) -> Result<Vec<Finding>> {
    let mut findings = Findings::default();
    let hits = AffectedImages::new(inventory);
    let tars = match MetadataTars::new(inventory) {
        Ok(tars) => tars,
        Err(error) => {
            return Ok(vec![Finding::new(FindingKind::NotClosed, chain(&error))]);
        }
    };
    let mut foreign = ForeignUrls::default();
    let mut found = |read: &ReadManifest<'_>, raw: RawManifest| {
        if let Some(facts) = &read.facts {
            foreign.note(facts, inventory);
        }
        found(raw);
    };
    for chunk in manifest
        .chunks
        .iter()
        .filter(|chunk| chunk.kind == ChunkKind::Metadata)
    {
        let tar = tars.chunk(chunk.number);
        read_chunk(media, chunk, tar, &hits, &mut found, &mut findings);
    }
    // Compared only if everything was read: unread manifests could name further URLs.
    if findings.is_empty() {
        for digest in foreign.wrong(inventory) {
            let finding = || {
                let message =
                    format!("the inventory's URLs of {digest} are not those of its manifests");
                let finding = Finding::new(FindingKind::NotClosed, message);
                finding.hitting(hits.content(&digest))
            };
            findings.add_with(FindingKind::NotClosed, finding);
        }
    }
    Ok(findings.into_vec())
}

/// Reads one metadata chunk.
fn read_chunk(
    media: &dyn Media,
    chunk: &ChunkEntry,
    tar: std::result::Result<MetadataTar<'_>, MetadataError>,
    hits: &AffectedImages<'_>,
    found: &mut impl FnMut(&ReadManifest<'_>, RawManifest),
    findings: &mut Findings,
) {
    let path = chunk.path();
    let mut blocks = match media.open(&path) {
        Ok(file) => VerifiedBlocks {
            file,
            chunk,
            index: 0,
            current: Vec::new(),
            used: 0,
            bad: None,
        },
        Err(error) => {
            findings.add(unreadable(&path, &error).hitting(hits.chunk(chunk.number)));
            return;
        }
    };
    let mut collect = |mut read: ReadManifest<'_>| match &read.fault {
        None => {
            let raw = RawManifest {
                digest: read.entry.digest,
                media_type: read.entry.media_type.clone(),
                bytes: std::mem::take(&mut read.bytes),
            };
            found(&read, raw);
        }
        Some(fault) => findings.add_with(FindingKind::WrongHash, || {
            let digest = read.entry.digest;
            let message = format!("manifest {digest}: {}", chain(fault));
            let finding = Finding::new(FindingKind::WrongHash, message).in_file(path.clone());
            finding.hitting(hits.content(&digest))
        }),
    };
    let result = tar.and_then(|tar| tar.read(&mut blocks, &mut collect));
    match (blocks.bad, result) {
        // The damaged block explains any error of the decompressor.
        (Some((block, kind, message)), _) => {
            let finding = Finding::new(kind, message).in_file(path);
            findings.add(finding.in_block(block).hitting(hits.chunk(chunk.number)));
        }
        (None, Err(error)) => {
            let finding = Finding::new(FindingKind::WrongFrame, chain(&error)).in_file(path);
            findings.add(finding.hitting(hits.chunk(chunk.number)));
        }
        (None, Ok(())) => {}
    }
}

/// The stream of a chunk's bytes, in which every block was verified against the manifest's hash.
struct VerifiedBlocks<'a> {
    file: Box<dyn ReadAt>,
    chunk: &'a ChunkEntry,
    index: u64,
    current: Vec<u8>,
    used: usize,
    bad: Option<(u64, FindingKind, String)>,
}

impl VerifiedBlocks<'_> {
    /// Reads the next block; leaves `current` empty at the end.
    fn next_block(&mut self) -> std::result::Result<(), (FindingKind, String)> {
        self.used = 0;
        read_block(
            self.file.as_ref(),
            self.chunk,
            self.index,
            &mut self.current,
        )?;
        self.index += 1;
        Ok(())
    }
}

impl Read for VerifiedBlocks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.current.len()
            && let Err((kind, message)) = self.next_block()
        {
            self.bad = Some((self.index, kind, message.clone()));
            self.current.clear();
            return Err(io::Error::other(message));
        }
        let left = self.current.get(self.used..).unwrap_or_default();
        let length = left.len().min(buffer.len());
        if let (Some(from), Some(to)) = (left.get(..length), buffer.get_mut(..length)) {
            to.copy_from_slice(from);
        }
        self.used += length;
        Ok(length)
    }
}
