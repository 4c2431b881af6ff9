//! `manifest.cbor` and `inventory.cbor` (bundle-format.md, sections 5 and 6).
//!
//! A document returned from here has passed every rule that can be checked on the two documents
//! alone. The rules that need the bytes of chunks are checked by `data_chunk` and
//! `metadata_chunk`.

use std::io::Write;

use serde::Deserialize;

use super::cbor::{self, shape};
use super::document_error::{DocumentError, INVENTORY, MANIFEST};
use super::{Placement, Rule, hash, inventory_check, tar};
use crate::model::{
    BLOCK_SIZE, BundleManifest, CATALOGS, ChunkKind, Extension, FORMAT_VERSION, FileEntry,
    Inventory, Limits, RELEASES,
};

/// Writes `manifest.cbor`.
///
/// # Errors
///
/// If the manifest breaks a rule: this never writes what a reader would refuse.
pub fn encode_manifest(manifest: &BundleManifest) -> Result<Vec<u8>, DocumentError> {
    check_manifest(manifest)?;
    Ok(cbor::encode(manifest, MANIFEST)?)
}

/// Reads `manifest.cbor`. The caller should have authenticated the bytes before.
///
/// # Errors
///
/// Names the first rule that is broken (bundle-format.md, sections 5 and 12).
pub fn decode_manifest(bytes: &[u8]) -> Result<BundleManifest, DocumentError> {
    cbor::check(bytes, MANIFEST)?;
    cbor::check_shape(bytes, &shape::HEAD, MANIFEST)?;
    let head: Head = cbor::peek(bytes, MANIFEST)?;
    head.check(MANIFEST, BundleManifest::TYPE)?;
    cbor::check_shape(bytes, &shape::MANIFEST, MANIFEST)?;
    let manifest = cbor::decode_checked(bytes, MANIFEST)?;
    check_manifest(&manifest)?;
    Ok(manifest)
}

/// Writes `inventory.cbor`.
///
/// Does not compare it with the manifest, which does not exist yet: call [`check_inventory`] once
/// it does.
///
/// # Errors
///
/// If the encoding would not be canonical.
pub fn encode_inventory(inventory: &Inventory) -> Result<Vec<u8>, DocumentError> {
    Ok(cbor::encode(inventory, INVENTORY)?)
}

/// Writes the same bytes as [`encode_inventory`], but as a stream, and without the check that the
/// encoding is canonical.
///
/// # Errors
///
/// Errors of `out`.
pub fn write_inventory(inventory: &Inventory, out: impl Write) -> Result<(), DocumentError> {
    Ok(cbor::write(inventory, out, INVENTORY)?)
}

/// Returns length and hashes of the file that [`write_inventory`] writes, as the manifest records
/// them.
///
/// # Errors
///
/// As [`write_inventory`].
pub fn measure_inventory(inventory: &Inventory) -> Result<FileEntry, DocumentError> {
    Ok(cbor::measure(inventory, INVENTORY)?)
}

/// Reads `inventory.cbor` after comparing its length and hashes with those in the manifest.
///
/// # Errors
///
/// If the length or a hash differs from the manifest's; otherwise as [`decode_inventory`].
pub fn open_inventory(
    bytes: impl AsRef<[u8]>,
    manifest: &BundleManifest,
) -> Result<Inventory, DocumentError> {
    let inventory = {
        // Frees the encoded bytes before the checks, which need memory of their own.
        let bytes = bytes;
        check_named(bytes.as_ref(), manifest)?;
        read_inventory(bytes.as_ref())?
    };
    check_inventory(&inventory, manifest)?;
    Ok(inventory)
}

/// compares length and hashes with those in the manifest.
fn check_named(bytes: &[u8], manifest: &BundleManifest) -> Result<(), DocumentError> {
    let named = &manifest.inventory;
    let differs = |what| Err(DocumentError::NotNamed { what });
    if named.length != bytes.len() as u64 {
        return differs("length");
    }
    if named.sha256 != hash::sha256(bytes) {
        return differs("SHA-256");
    }
    if named.blake3 != hash::blake3(bytes) {
        return differs("BLAKE3");
    }
    Ok(())
}

/// Reads `inventory.cbor` and checks it against the manifest's chunk table, but not against the
/// length and hashes in the manifest: see [`open_inventory`].
///
/// # Errors
///
/// Names the first rule that is broken (bundle-format.md, section 6).
pub fn decode_inventory(
    bytes: &[u8],
    manifest: &BundleManifest,
) -> Result<Inventory, DocumentError> {
    let inventory = read_inventory(bytes)?;
    check_inventory(&inventory, manifest)?;
    Ok(inventory)
}

/// Reads `inventory.cbor` and checks encoding and tables, without the manifest.
fn read_inventory(bytes: &[u8]) -> Result<Inventory, DocumentError> {
    cbor::check(bytes, INVENTORY)?;
    cbor::check_shape(bytes, &shape::HEAD, INVENTORY)?;
    let head: Head = cbor::peek(bytes, INVENTORY)?;
    head.check(INVENTORY, Inventory::TYPE)?;
    cbor::check_shape(bytes, &shape::INVENTORY, INVENTORY)?;
    let inventory: Inventory = cbor::decode_checked(bytes, INVENTORY)?;
    check_extension(inventory.ext.as_ref(), INVENTORY)?;
    Ok(inventory)
}

/// checks that `ext` is a map.
fn check_extension(ext: Option<&Extension>, document: &'static str) -> Result<(), DocumentError> {
    match ext.is_some_and(|ext| !ext.is_map()) {
        true => Err(DocumentError::Content {
            document,
            rule: Rule(12),
            fault: "`ext` is not a map".to_owned(),
        }),
        false => Ok(()),
    }
}

/// Checks an inventory against the rules of bundle-format.md, section 6, and against its manifest.
///
/// # Errors
///
/// Names the first rule that is broken.
pub fn check_inventory(
    inventory: &Inventory,
    manifest: &BundleManifest,
) -> Result<(), DocumentError> {
    inventory_check::check(inventory, manifest, &Placement::new(inventory))
}

/// Features that this version supports; any other entry in `requires` is refused
/// (bundle-format.md, section 12).
const FEATURES: [&str; 2] = [CATALOGS, RELEASES];

/// The keys that decide how the other keys are read, and are therefore read first.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    document: String,
    format: u64,
    #[serde(default)]
    requires: Vec<String>,
}

impl Head {
    fn check(&self, document: &'static str, expected: &'static str) -> Result<(), DocumentError> {
        if self.document != expected {
            return Err(DocumentError::Type {
                document,
                found: self.document.chars().take(40).collect(),
                expected,
            });
        }
        if self.format != FORMAT_VERSION {
            return Err(DocumentError::Version {
                document,
                found: self.format,
            });
        }
        let unknown = |feature: &&String| !FEATURES.contains(&feature.as_str());
        match self.requires.iter().find(unknown) {
            Some(feature) => Err(DocumentError::Feature {
                feature: feature.chars().take(40).collect(),
            }),
            None => Ok(()),
        }
    }
}

/// Checks the rules of bundle-format.md, section 5, that go beyond names and types of keys.
fn check_manifest(manifest: &BundleManifest) -> Result<(), DocumentError> {
    let head = Head {
        document: manifest.document.clone(),
        format: manifest.format,
        requires: manifest.requires.clone(),
    };
    head.check(MANIFEST, BundleManifest::TYPE)?;
    check_extension(manifest.ext.as_ref(), MANIFEST)?;
    if manifest.block_size != BLOCK_SIZE {
        let fault = format!(
            "`block_size` is {} and not {BLOCK_SIZE}",
            manifest.block_size
        );
        return Err(DocumentError::manifest(14, fault));
    }
    if manifest.generation == 0 {
        let fault = "`generation` is 0; the first one is 1".to_owned();
        return Err(DocumentError::manifest(14, fault));
    }
    if manifest.generation > Limits::GENERATIONS {
        let fault = format!("`generation` is above {}", Limits::GENERATIONS);
        return Err(DocumentError::manifest(11, fault));
    }
    if !manifest.requires.is_sorted_by(|a, b| a < b) {
        let fault = "`requires` is not strictly ascending".to_owned();
        return Err(DocumentError::manifest(14, fault));
    }
    if !manifest.chunks.is_sorted_by(|a, b| a.number < b.number) {
        let fault = "`chunks` is not strictly ascending by number".to_owned();
        return Err(DocumentError::manifest(14, fault));
    }
    let mut total = 0u64;
    for chunk in &manifest.chunks {
        let refused = |fault: String| {
            let fault = format!("chunk {} {fault}", chunk.number.number());
            Err(DocumentError::manifest(15, fault))
        };
        let length = chunk.length;
        if length == 0 {
            return refused("is empty".to_owned());
        }
        let blocks = length.div_ceil(BLOCK_SIZE);
        if chunk.blocks.0.len() as u64 != blocks {
            let found = chunk.blocks.0.len();
            return refused(format!("has {found} block hashes and {blocks} blocks"));
        }
        if chunk.kind == ChunkKind::Data && !length.is_multiple_of(tar::UNIT) {
            return refused(format!("has {length} bytes, which is no multiple of 512"));
        }
        if chunk.kind == ChunkKind::Data && length > manifest.chunk_limit {
            let limit = manifest.chunk_limit;
            return refused(format!("has {length} bytes, above the limit of {limit}"));
        }
        match total.checked_add(length) {
            Some(sum) => total = sum,
            None => return refused("makes the sum of lengths overflow".to_owned()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
