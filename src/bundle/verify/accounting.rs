//! Assigns every byte of a bundle's directory to what it belongs to.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bundle::open::{Examination, Owner};
use crate::model::{BlobPlace, ChunkEntry, ChunkId, ChunkKind, Inventory};
use crate::sys::media::EntryKind;

/// Number of bytes in the bundle's directory, by what they belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Accounting {
    /// Bytes of `manifest.cbor`, `inventory.cbor`, `LABEL.txt` and `SHA256SUMS`.
    pub documents: u64,
    /// Bytes of statements and signatures.
    pub statements: u64,
    /// Bytes of blobs in data chunks.
    pub content: u64,
    /// Bytes of data chunks that are no blob content: they follow from manifest and inventory.
    pub framing: u64,
    /// Bytes of metadata chunks.
    pub metadata: u64,
    /// Bytes of files that do not belong to the bundle.
    pub foreign: u64,
    /// Bytes that belong to none of the above.
    pub unaccounted: u64,
}

/// Counts the bytes of all files by what they belong to (bundle-format.md, R-62).
pub(crate) fn count_bytes(examination: &Examination) -> Accounting {
    let mut bytes = Accounting::default();
    if examination.stopped {
        return bytes;
    }
    for weight in examination.weights.values() {
        bytes.foreign = bytes.foreign.saturating_add(weight.bytes);
    }
    let rows: BTreeMap<String, &ChunkEntry> = examination
        .manifest
        .iter()
        .flat_map(|manifest| &manifest.chunks)
        .map(|chunk| (chunk.path(), chunk))
        .collect();
    // For each data chunk: number of its bytes that are present.
    let mut there: BTreeMap<ChunkId, u64> = BTreeMap::new();
    for entry in &examination.entries {
        let EntryKind::File(length) = entry.kind else {
            continue;
        };
        match (examination.owner(&entry.path), rows.get(&entry.path)) {
            (_, Some(chunk)) => {
                // Bytes beyond the length in the manifest belong to nothing.
                let known = length.min(chunk.length);
                bytes.unaccounted += length - known;
                match chunk.kind {
                    ChunkKind::Data => {
                        there.insert(chunk.number, known);
                    }
                    ChunkKind::Metadata => bytes.metadata += known,
                }
            }
            (Owner::Document, None) => bytes.documents += length,
            (Owner::Statement, None) => bytes.statements += length,
            // Without a manifest it is not known which chunks belong to the bundle.
            (Owner::Nobody, None)
                if examination.manifest.is_none() && entry.path.starts_with("chunks/") =>
            {
                bytes.unaccounted += length;
            }
            (Owner::Nobody, None) => bytes.foreign += length,
        }
    }
    let data: u64 = there.values().sum();
    match &examination.inventory {
        Some(inventory) => {
            bytes.content = content_there(inventory, &there);
            bytes.framing = data.saturating_sub(bytes.content);
        }
        None => bytes.unaccounted += data,
    }
    bytes
}

/// Counts the bytes of blobs within the present bytes of data chunks.
fn content_there(inventory: &Inventory, there: &BTreeMap<ChunkId, u64>) -> u64 {
    let carried = inventory.blobs.iter().filter_map(|blob| match &blob.place {
        BlobPlace::Carried(carried) => Some(carried),
        _ => None,
    });
    carried
        .flat_map(|carried| &carried.extents)
        .map(|extent| {
            let known = there.get(&extent.chunk).copied().unwrap_or(0);
            known.saturating_sub(extent.offset).min(extent.stored)
        })
        .sum()
}
