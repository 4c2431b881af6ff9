//! Metadata chunks: OCI manifests and registry-shaped names in a compressed tar
//! (bundle-format.md, section 7.4).
//!
//! As with data chunks, nothing is parsed out of the tar: the inventory implies what the tar must
//! hold, so the reader builds that and compares. Only the bytes of OCI manifests do not follow
//! from the inventory; they are checked against their digests and their rows. Reading and writing
//! both stream, with one OCI manifest at a time in memory.

mod frame;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;

use super::left_out::Filters;
use super::manifest_row::{self, RowError};
use super::names::{Name, Names};
use super::{Rule, tar};
use crate::model::{
    BlobPlace, ChunkId, Digest, Extent, Inventory, Limits, ManifestEntry, ManifestFacts, PlanId,
};

/// Compression level. Level 9 takes seven times as long and even gives chunks that are 6 to 8 %
/// longer (10 000 images of 3 and of 10 blobs): what does not compress in OCI manifests and names
/// are digests.
const LEVEL: i32 = 1;

/// Window of the frames that are written, as a power of two (4 MiB).
const WINDOW_LOG: u32 = 22;

/// Longest extended header that a name can need, in bytes: three names of 255 bytes and some
/// words.
const MAX_PAX: u64 = 4096;

/// The reason why a metadata chunk is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The inventory has no row for the chunk.
    #[error("The inventory has no chunk {}", chunk.number())]
    NoChunk {
        /// Number of the chunk.
        chunk: ChunkId,
    },
    /// The inventory implies more names than a metadata chunk may hold.
    #[error("The images of the inventory imply more names than a metadata chunk can hold")]
    Names,
    /// The compressed file does not have the form that R-45 demands.
    #[error("The metadata chunk breaks R-45: {fault}")]
    Frame {
        /// Description of the fault.
        fault: &'static str,
    },
    /// The file cannot be read or decompressed.
    #[error("The metadata chunk cannot be read or decompressed")]
    Read {
        /// The error of the reader or the decompressor.
        #[source]
        source: io::Error,
    },
    /// The tar differs from what the inventory implies.
    #[error(
        "The metadata chunk breaks {rule} at byte {position} of its tar: {expected} should stand there"
    )]
    Content {
        /// The rule that is broken.
        rule: Rule,
        /// Offset of the unexpected entry in the tar, in bytes.
        position: u64,
        /// Description of the expected content.
        expected: &'static str,
    },
}

impl MetadataError {
    /// The rule that is broken.
    pub fn rule(&self) -> Rule {
        match self {
            Self::NoChunk { .. } => Rule(29),
            Self::Names => Rule(11),
            Self::Frame { .. } | Self::Read { .. } => Rule(45),
            Self::Content { rule, .. } => *rule,
        }
    }
}

impl From<io::Error> for MetadataError {
    fn from(source: io::Error) -> Self {
        Self::Read { source }
    }
}

/// Computes the extents of OCI manifests in a metadata chunk from their lengths in bytes. Returns
/// `None` if a manifest is empty, or if together they are longer than any chunk.
pub fn place(chunk: ChunkId, lengths: &BTreeMap<Digest, u64>) -> Option<BTreeMap<Digest, Extent>> {
    let mut header = tar::MARKER;
    let mut extents = BTreeMap::new();
    for (digest, length) in lengths {
        let offset = header.checked_add(tar::UNIT)?;
        header = tar::end_of_data(offset, *length)?;
        if *length == 0 || header > Limits::METADATA {
            return None;
        }
        let extent = Extent {
            chunk,
            offset,
            stored: *length,
            decoded: *length,
        };
        extents.insert(*digest, extent);
    }
    Some(extents)
}

/// The metadata chunks of an inventory. The names are collected once for all of them.
#[derive(Debug)]
pub struct MetadataTars<'a> {
    inventory: &'a Inventory,
    names: Arc<Names<'a>>,
    filters: Arc<Filters<'a>>,
}

impl<'a> MetadataTars<'a> {
    /// Collects all names.
    ///
    /// # Errors
    ///
    /// If there are more names than a metadata chunk may hold.
    pub fn new(inventory: &'a Inventory) -> Result<Self, MetadataError> {
        let names = Names::new(inventory).map_err(|_| MetadataError::Names)?;
        let names = Arc::new(names);
        // Succeeds for every inventory that was read: the check of the inventory made the same
        // call.
        let filters = Arc::new(Filters::new(inventory).unwrap_or_default());
        Ok(Self {
            inventory,
            names,
            filters,
        })
    }

    /// Collects the expected content of a chunk's tar, as [`MetadataTar::new`] does.
    ///
    /// # Errors
    ///
    /// If the inventory has no such chunk.
    pub fn chunk(&self, chunk: ChunkId) -> Result<MetadataTar<'a>, MetadataError> {
        MetadataTar::of(self, chunk)
    }
}

/// The expected content of a metadata chunk's tar, computed from the inventory.
#[derive(Debug)]
pub struct MetadataTar<'a> {
    inventory: &'a Inventory,
    plan: PlanId,
    chunk: ChunkId,
    /// Length of the tar in the inventory; not yet final while the chunk is written.
    said: u64,
    manifests: Vec<&'a ManifestEntry>,
    /// The whole tar entry of the join file; empty if no blob was cut.
    join: Vec<u8>,
    names: Arc<Names<'a>>,
    filters: Arc<Filters<'a>>,
    /// True for the last metadata chunk. Those of older generations may hold fewer names.
    newest: bool,
}

/// An OCI manifest from a metadata chunk.
#[derive(Debug)]
pub struct ReadManifest<'a> {
    /// The manifest's row.
    pub entry: &'a ManifestEntry,
    /// The bytes in the tar, right or wrong.
    pub bytes: Vec<u8>,
    /// The facts that the bytes state; `None` if there is a fault.
    pub facts: Option<ManifestFacts>,
    /// The fault of the bytes; `None` if they are right. Faulty bytes must not be used.
    pub fault: Option<RowError>,
}

impl<'a> MetadataTar<'a> {
    /// Collects the expected content of a chunk's tar.
    ///
    /// Everything in the inventory must be final, except `decoded` in the chunk's own row.
    ///
    /// # Errors
    ///
    /// If the inventory has no such chunk, or implies more names than a chunk may hold.
    pub fn new(inventory: &'a Inventory, chunk: ChunkId) -> Result<Self, MetadataError> {
        MetadataTars::new(inventory)?.chunk(chunk)
    }

    fn of(tars: &MetadataTars<'a>, chunk: ChunkId) -> Result<Self, MetadataError> {
        let inventory = tars.inventory;
        let row = inventory.chunks.iter().find(|row| row.number == chunk);
        let row = row.ok_or(MetadataError::NoChunk { chunk })?;
        let here = |entry: &&ManifestEntry| entry.extent.chunk == chunk;
        let mut manifests: Vec<&ManifestEntry> = inventory.manifests.iter().filter(here).collect();
        manifests.sort_by_key(|entry| entry.extent.offset);
        Ok(Self {
            inventory,
            plan: row.plan,
            chunk,
            said: row.decoded,
            manifests,
            join: join_entry(inventory, chunk, row.generation),
            names: Arc::clone(&tars.names),
            filters: Arc::clone(&tars.filters),
            newest: inventory.chunks.last().map(|row| row.number) == Some(chunk),
        })
    }

    /// Returns the length in bytes of the tar with all names, which becomes `decoded` of its row.
    pub fn decoded(&self) -> u64 {
        let manifests = self.manifests.iter().map(|entry| {
            let data = entry.extent.stored.next_multiple_of(tar::UNIT);
            data.saturating_add(tar::UNIT)
        });
        let names = self.names.all().map(|name| self.names.entry_length(name));
        let rest = tar::MARKER + self.join.len() as u64 + tar::TRAILER;
        manifests.chain(names).fold(rest, u64::saturating_add)
    }

    /// Writes the tar, not compressed. `fetch` returns the bytes of an OCI manifest.
    ///
    /// # Errors
    ///
    /// Errors of `out` and `fetch`; also if `fetch` returns bytes of the wrong length.
    pub fn write(
        &self,
        out: &mut impl Write,
        fetch: &mut impl FnMut(&Digest) -> io::Result<Vec<u8>>,
    ) -> io::Result<()> {
        out.write_all(&tar::marker(&self.plan, self.chunk))?;
        for entry in &self.manifests {
            let bytes = fetch(&entry.digest)?;
            if bytes.len() as u64 != entry.extent.stored {
                let message = format!("`{}` has {} bytes", entry.digest, bytes.len());
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            let path = tar::blob_entry_name(&entry.digest, None);
            out.write_all(&tar::file(&path, &bytes).map_err(io::Error::other)?)?;
        }
        out.write_all(&self.join)?;
        for name in self.names.all() {
            out.write_all(&self.names.entry(name))?;
        }
        out.write_all(&TRAILER)
    }

    /// Writes the chunk: the tar in one zstd frame. The same inventory gives the same
    /// bytes with the same release of zstd.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn write_compressed<W: Write>(
        &self,
        out: W,
        fetch: &mut impl FnMut(&Digest) -> io::Result<Vec<u8>>,
    ) -> io::Result<W> {
        let mut encoder = zstd::Encoder::new(out, LEVEL)?;
        encoder.window_log(WINDOW_LOG)?;
        encoder.include_checksum(false)?;
        encoder.include_contentsize(true)?;
        encoder.set_pledged_src_size(Some(self.decoded()))?;
        self.write(&mut encoder, fetch)?;
        encoder.finish()
    }

    /// Reads a chunk and compares it with the expected content. The caller should have checked
    /// its blocks before. Calls `found` with each OCI manifest, including faulty ones.
    ///
    /// # Errors
    ///
    /// Names the first place where the chunk differs from what the inventory implies.
    pub fn read(
        &self,
        stored: impl Read,
        found: &mut impl FnMut(ReadManifest<'a>),
    ) -> Result<(), MetadataError> {
        let mut stored = stored;
        let mut head = Vec::with_capacity(frame::HEAD);
        stored
            .by_ref()
            .take(frame::HEAD as u64)
            .read_to_end(&mut head)?;
        frame::check(&head, self.said)?;
        let source = BufReader::new(io::Cursor::new(head).chain(stored));
        let mut decoder = zstd::Decoder::with_buffer(source)?.single_frame();
        decoder.window_log_max(Limits::ZSTD_WINDOW_LOG)?;
        let mut walk = Walk {
            decoded: decoder,
            position: 0,
        };
        self.walk(&mut walk, found)?;
        let Walk {
            mut decoded,
            position,
        } = walk;
        if decoded.read(&mut [0])? != 0 || position != self.said {
            return Err(content(40, position, "the end"));
        }
        decoded.finish_frame()?;
        if !decoded.into_inner().fill_buf()?.is_empty() {
            let fault = "bytes follow its zstd frame";
            return Err(MetadataError::Frame { fault });
        }
        Ok(())
    }

    fn walk<R: Read>(
        &self,
        walk: &mut Walk<R>,
        found: &mut impl FnMut(ReadManifest<'a>),
    ) -> Result<(), MetadataError> {
        walk.expect(&tar::marker(&self.plan, self.chunk), 43, "the marker entry")?;
        for entry in &self.manifests {
            let path = tar::blob_entry_name(&entry.digest, None);
            let length = entry.extent.stored;
            let header = tar::header(&path, tar::EntryKind::File, length, "");
            let what = "the header of an OCI manifest";
            walk.expect(&header.unwrap_or_default(), 46, what)?;
            let bytes = walk.bytes(length.min(Limits::OCI_MANIFEST))?;
            let padding = tar::padding(length) as usize;
            walk.expect(&vec![0; padding], 40, "padding")?;
            let checked = manifest_row::check(entry, &bytes, self.inventory).and_then(|facts| {
                self.filters.check(entry, &facts)?;
                Ok(facts)
            });
            let (facts, fault) = match checked {
                Ok(facts) => (Some(facts), None),
                Err(fault) => (None, Some(fault)),
            };
            found(ReadManifest {
                entry,
                bytes,
                facts,
                fault,
            });
        }
        walk.expect(&self.join, 48, "the lines that join cut blobs")?;
        if self.newest {
            for name in self.names.all() {
                walk.expect(
                    &self.names.entry(name),
                    48,
                    "the next name of the inventory",
                )?;
            }
            return walk.expect(&TRAILER, 40, "the end of the tar");
        }
        self.older_names(walk)
    }

    /// Reads the names of an older generation's chunk: any subset of the true names, by ascending
    /// path.
    fn older_names<R: Read>(&self, walk: &mut Walk<R>) -> Result<(), MetadataError> {
        let mut possible = self.names.possible();
        let mut previous: Option<&Name> = None;
        loop {
            let position = walk.position;
            let entry = walk.name_entry()?;
            if entry.iter().all(|byte| *byte == 0) {
                let rest = TRAILER.get(entry.len()..).unwrap_or_default();
                return walk.expect(rest, 40, "the end of the tar");
            }
            let name = possible
                .find(|name| self.names.entry(name) == entry)
                .filter(|name| previous.is_none_or(|p| self.names.cmp(p, name).is_lt()));
            if name.is_none() {
                return Err(content(
                    48,
                    position,
                    "a name that is true by the inventory",
                ));
            }
            previous = name;
        }
    }
}

const TRAILER: [u8; 2 * tar::BLOCK] = [0; 2 * tar::BLOCK];

fn content(rule: u8, position: u64, expected: &'static str) -> MetadataError {
    MetadataError::Content {
        rule: Rule(rule),
        position,
        expected,
    }
}

/// Returns the entry of the join file, with the commands that join the cut blobs of a generation;
/// empty if there are none.
fn join_entry(inventory: &Inventory, chunk: ChunkId, generation: u64) -> Vec<u8> {
    let generations: BTreeMap<ChunkId, u64> = inventory
        .chunks
        .iter()
        .map(|row| (row.number, row.generation))
        .collect();
    let mut text = String::new();
    for blob in &inventory.blobs {
        let BlobPlace::Carried(carried) = &blob.place else {
            continue;
        };
        let last = carried
            .extents
            .last()
            .and_then(|extent| generations.get(&extent.chunk));
        if carried.extents.len() < 2 || last != Some(&generation) {
            continue;
        }
        text.push_str("cat");
        for (part, _) in (1u32..).zip(&carried.extents) {
            text.push(' ');
            text.push_str(&tar::blob_entry_name(&blob.digest, Some(part)));
        }
        text.push_str(" > ");
        text.push_str(&tar::blob_entry_name(&blob.digest, None));
        text.push('\n');
    }
    if text.is_empty() {
        return Vec::new();
    }
    let path = format!("airferry/join-{:06}.txt", chunk.number());
    tar::file(&path, text.as_bytes()).unwrap_or_default()
}

/// Reads a tar from its start to its end and counts the position.
struct Walk<R> {
    decoded: R,
    position: u64,
}

impl<R: Read> Walk<R> {
    /// Reads exactly `length` bytes. The caller must have limited `length`.
    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, MetadataError> {
        let mut bytes = Vec::new();
        self.decoded.by_ref().take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            let missing = self.position.saturating_add(bytes.len() as u64);
            return Err(content(40, missing, "more data"));
        }
        self.position = self.position.saturating_add(length);
        Ok(bytes)
    }

    fn expect(
        &mut self,
        expected: &[u8],
        rule: u8,
        what: &'static str,
    ) -> Result<(), MetadataError> {
        let position = self.position;
        if self.bytes(expected.len() as u64)? == expected {
            Ok(())
        } else {
            Err(content(rule, position, what))
        }
    }

    /// Reads the header of an entry without data, with its extended header if it has one.
    fn name_entry(&mut self) -> Result<Vec<u8>, MetadataError> {
        let position = self.position;
        let mut entry = self.bytes(tar::UNIT)?;
        if entry.get(156) == Some(&b'x') {
            let size = entry
                .get(124..135)
                .and_then(|octal| u64::from_str_radix(std::str::from_utf8(octal).ok()?, 8).ok());
            let Some(size) = size.filter(|size| *size <= MAX_PAX) else {
                return Err(content(42, position, "a shorter extended header"));
            };
            let rest = size.next_multiple_of(tar::UNIT) + tar::UNIT;
            entry.extend(self.bytes(rest)?);
        }
        Ok(entry)
    }
}

/// Reads the metadata chunk of a checked inventory; see [`MetadataTar::read`].
///
/// # Errors
///
/// As [`MetadataTar::read`], and if the inventory has no such chunk.
pub fn read<'a>(
    stored: impl Read,
    inventory: &'a Inventory,
    chunk: ChunkId,
    found: &mut impl FnMut(ReadManifest<'a>),
) -> Result<(), MetadataError> {
    MetadataTar::new(inventory, chunk)?.read(stored, found)
}

#[cfg(test)]
mod tests;
