//! The bundle's root document: the fields of `manifest.cbor` (bundle-format.md, section 5).
//!
//! Fields are declared in the canonical order of their CBOR keys (shorter first, then
//! alphabetical): the encoder writes them as declared and refuses any other order.

use serde::{Deserialize, Serialize};

use super::{Blake3, Digest};

/// The format version that this code writes.
pub const FORMAT_VERSION: u64 = 1;

/// Length in bytes of a block: each block of a stored file is hashed, so that damage is located.
pub const BLOCK_SIZE: u64 = 4 * 1024 * 1024;

/// Unit of tar in bytes: headers of entries, and padded data of entries, are multiples of it.
pub const TAR_UNIT: u64 = 512;

/// Bytes of the marker entry at the start of every chunk: header and padded text.
pub const TAR_MARKER: u64 = 2 * TAR_UNIT;

/// Zero bytes at the end of every chunk's tar.
pub const TAR_TRAILER: u64 = 2 * TAR_UNIT;

/// Upper limit of an extent's bytes, exclusive: the tar header's size field has 11 octal digits.
pub const TAR_MAX_ENTRY: u64 = 1 << 33;

/// Number of a chunk; its file name follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "u32")]
pub struct ChunkId(u32);

/// The error for a number that is not a chunk number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a chunk number: they run from 1 to 999999")]
pub struct ChunkIdError(u64);

impl ChunkId {
    /// The highest chunk number: the numbers in file names have six digits.
    pub const MAX: u32 = 999_999;

    /// Returns the number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl TryFrom<u64> for ChunkId {
    type Error = ChunkIdError;

    fn try_from(number: u64) -> Result<Self, ChunkIdError> {
        match u32::try_from(number) {
            Ok(small @ 1..=Self::MAX) => Ok(Self(small)),
            _ => Err(ChunkIdError(number)),
        }
    }
}

impl TryFrom<u32> for ChunkId {
    type Error = ChunkIdError;

    fn try_from(number: u32) -> Result<Self, ChunkIdError> {
        Self::try_from(u64::from(number))
    }
}

impl<'de> Deserialize<'de> for ChunkId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;

        // The rule's number must be the first word: `format` finds the broken rule by it.
        let refused = |error: ChunkIdError| D::Error::custom(format_args!("R-04: {error}"));
        Self::try_from(u64::deserialize(deserializer)?).map_err(refused)
    }
}

impl From<ChunkId> for u32 {
    fn from(id: ChunkId) -> u32 {
        id.0
    }
}

/// The content of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChunkKind {
    /// Blob extents in a plain tar.
    Data,
    /// OCI manifests and registry-shaped names in a tar, compressed with zstd.
    Metadata,
}

/// Length and hashes of a stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// BLAKE3 of the whole file.
    pub blake3: Blake3,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
}

/// BLAKE3 hashes of a file's blocks, in order; as CBOR one byte string, 32 bytes for each. The
/// last block may be shorter than [`BLOCK_SIZE`].
#[derive(Clone, PartialEq, Eq, Default)]
pub struct BlockHashes(pub Vec<Blake3>);

impl std::fmt::Debug for BlockHashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} blocks", self.0.len())
    }
}

impl Serialize for BlockHashes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.0.len() * 32);
        for hash in &self.0 {
            bytes.extend_from_slice(hash.as_bytes());
        }
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for BlockHashes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = BlockHashes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a byte string of 32-byte BLAKE3 hashes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<BlockHashes, E> {
                let (hashes, rest) = bytes.as_chunks::<32>();
                if !rest.is_empty() {
                    return Err(E::custom("block hashes are not a multiple of 32 bytes"));
                }
                Ok(BlockHashes(
                    hashes.iter().map(|h| Blake3::from_bytes(*h)).collect(),
                ))
            }

            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<BlockHashes, E> {
                self.visit_bytes(&bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

/// One row of the chunk table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkEntry {
    /// The chunk's content; decides the file name's ending.
    pub kind: ChunkKind,
    /// BLAKE3 of the whole file.
    pub blake3: Blake3,
    /// BLAKE3 of every block.
    pub blocks: BlockHashes,
    /// Length in bytes.
    pub length: u64,
    /// The chunk's number.
    pub number: ChunkId,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
}

impl ChunkEntry {
    /// Returns the file's path in the bundle: `chunks/000042.tar` or `chunks/000042.tar.zst`.
    pub fn path(&self) -> String {
        chunk_path(self.number, self.kind)
    }
}

/// Returns the path of a chunk in its bundle; it follows from number and kind, and is not stored.
pub fn chunk_path(number: ChunkId, kind: ChunkKind) -> String {
    let ending = match kind {
        ChunkKind::Data => "tar",
        ChunkKind::Metadata => "tar.zst",
    };
    format!("chunks/{:06}.{ending}", number.number())
}

/// Texts for people, shown by `LABEL.txt`; the signed `manifest.cbor` holds them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Person responsible for the medium (NIST MP-7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<LabelText>,
    /// Title of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<LabelText>,
    /// Handling marking (NIST MP-3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marking: Option<LabelText>,
}

/// One line of text for people: 1 to 200 characters, no control and no bidirectional characters,
/// no space at either end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabelText(String);

/// The error for a text that may not stand on a label or in a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be a text of a label or statement: {why}", text.escape_debug())]
pub struct LabelTextError {
    text: String,
    why: &'static str,
}

impl LabelText {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// True for a character that can change how the text around it is displayed: control characters,
/// line separators, bidirectional formatting (Unicode UAX #9), invisible joiners.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

impl std::str::FromStr for LabelText {
    type Err = LabelTextError;

    fn from_str(text: &str) -> Result<Self, LabelTextError> {
        let refused = |why| {
            let text = text.chars().take(60).collect();
            Err(LabelTextError { text, why })
        };
        if text.is_empty() || text.chars().count() > 200 {
            return refused("it must have 1 to 200 characters");
        }
        if text.chars().any(is_deceptive) {
            return refused("it holds control or bidirectional characters");
        }
        if text.trim() != text {
            return refused("it begins or ends with a space");
        }
        Ok(Self(text.to_owned()))
    }
}

impl Serialize for LabelText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LabelText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;

        let text = String::deserialize(deserializer)?;
        // The rule's number must be the first word: `format` finds the broken rule by it.
        let refused = |error: LabelTextError| D::Error::custom(format_args!("R-16: {error}"));
        text.parse().map_err(refused)
    }
}

/// Extensions, which a reader may ignore: the only place where unknown keys are allowed.
pub type Extension = ciborium::Value;

/// The content of `manifest.cbor`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleManifest {
    /// Extensions, which a reader may ignore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ext: Option<Extension>,
    /// Always [`BundleManifest::TYPE`].
    #[serde(rename = "type")]
    pub document: String,
    /// The texts that `LABEL.txt` shows.
    pub label: Label,
    /// All chunks, by ascending number.
    pub chunks: Vec<ChunkEntry>,
    /// Always [`FORMAT_VERSION`].
    pub format: u64,
    /// True if every requested image is whole, as in [`super::Inventory::is_complete`].
    pub complete: bool,
    /// Features that a reader must know, sorted: those of [`super::Inventory::features`].
    pub requires: Vec<String>,
    /// Length and hashes of `inventory.cbor`.
    pub inventory: FileEntry,
    /// Always [`BLOCK_SIZE`] in version 1.
    pub block_size: u64,
    /// 1 for the first sealing of the bundle, one more for every completion.
    pub generation: u64,
    /// Upper limit of a data chunk's length, in bytes.
    pub chunk_limit: u64,
}

impl BundleManifest {
    /// The value of `type`.
    pub const TYPE: &'static str = "airferry-manifest";

    /// Returns the sum of the lengths of all chunks, in bytes.
    pub fn chunk_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.length).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_names_follow_from_numbers() {
        let id = ChunkId::try_from(42u32).unwrap();
        assert_eq!(chunk_path(id, ChunkKind::Data), "chunks/000042.tar");
        assert_eq!(chunk_path(id, ChunkKind::Metadata), "chunks/000042.tar.zst");
        assert!(ChunkId::try_from(0u32).is_err());
        assert!(ChunkId::try_from(1_000_000u32).is_err());
        assert!(ChunkId::try_from(1u64 << 32 | 1).is_err());
    }

    #[test]
    fn labels_refuse_what_deceives() {
        assert!("OKD 4.18, M\u{e4}rz".parse::<LabelText>().is_ok());
        for bad in ["", " x", "a\nb", "a\u{202e}b", "a\u{0}b", &"x".repeat(201)] {
            assert!(bad.parse::<LabelText>().is_err(), "{bad:?}");
        }
    }
}
