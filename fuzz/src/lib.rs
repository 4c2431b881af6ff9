//! Properties that several fuzz targets check.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use airferry::model::{
    BLOCK_SIZE, Blake3, BlockHashes, BundleManifest, ChunkEntry, ChunkKind, Digest,
    FORMAT_VERSION, FileEntry, Inventory, Label,
};

/// What parses is shown in a form that parses to the same value, and that is its own form.
pub fn text_identity<T>(text: &str)
where
    T: FromStr + Display + Debug + PartialEq,
    T::Err: Debug + Display,
{
    match text.parse::<T>() {
        Ok(value) => {
            let shown = value.to_string();
            let again: T = shown.parse().expect("what was shown parses");
            assert_eq!(again, value);
            assert_eq!(again.to_string(), shown);
        }
        // A refusal is a sentence for a terminal: hostile input may not steer it.
        Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
    }
}

/// A manifest whose chunk table agrees with an inventory's, as far as one can.
pub fn manifest_for(inventory: &Inventory) -> BundleManifest {
    let (sha256, blake3) = (Digest::from_bytes([0; 32]), Blake3::from_bytes([0; 32]));
    let last = inventory.chunks.last().map(|row| row.number);
    let chunks = inventory.chunks.iter().map(|row| ChunkEntry {
        kind: if Some(row.number) == last { ChunkKind::Metadata } else { ChunkKind::Data },
        blake3,
        blocks: BlockHashes(Vec::new()),
        length: row.decoded,
        number: row.number,
        sha256,
    });
    BundleManifest {
        ext: None,
        document: BundleManifest::TYPE.to_owned(),
        label: Label::default(),
        chunks: chunks.collect(),
        format: FORMAT_VERSION,
        complete: inventory.is_complete(),
        requires: Vec::new(),
        inventory: FileEntry { blake3, length: 1, sha256 },
        block_size: BLOCK_SIZE,
        generation: inventory.chunks.last().map_or(1, |row| row.generation),
        chunk_limit: u64::MAX,
    }
}
