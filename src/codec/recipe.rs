//! Recipes: the data needed, besides the plain bytes, to make a blob again.

use ciborium::Value;

use super::encoder::{Coordinates, Encoder, EncoderError};
use super::gzip::{Header, HeaderError, MAX_HEADER};
use crate::model::Digest;

/// Largest number of bytes after the gzip member.
pub const MAX_TAIL: usize = 1024;

/// Largest length of an encoded recipe, in bytes.
pub const MAX_RECIPE: usize = MAX_HEADER + MAX_TAIL + 256;

/// First element of an encoded recipe.
const VERSION: u64 = 1;

/// The data for making a gzip blob from its plain bytes.
///
/// The encoding is one CBOR array (RFC 8949, deterministic): version, encoder number, level,
/// pgzip block size, header, tail, plain length, blob length, SHA-256 of the blob. A recipe has
/// exactly one encoding, and it has at most [`MAX_RECIPE`] bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    encoder: Encoder,
    header: Vec<u8>,
    tail: Vec<u8>,
    plain_len: u64,
    blob_len: u64,
    digest: Digest,
}

/// The reason why bytes are not a recipe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// There are too many bytes.
    #[error("The recipe has {len} bytes; {MAX_RECIPE} is the most")]
    TooLong {
        /// Number of bytes.
        len: usize,
    },
    /// The bytes are not CBOR, or not the one encoding of their content.
    #[error("The recipe is not an array in deterministic CBOR with the elements of version 1")]
    Form,
    /// The recipe has a version that this program does not know.
    #[error("The recipe has version {version}; this airferry knows version 1")]
    Version {
        /// Version found.
        version: u64,
    },
    /// This program does not have the encoder.
    #[error("The recipe names no encoder that this airferry has")]
    Encoder {
        /// The unknown number or parameter.
        #[source]
        source: EncoderError,
    },
    /// The recipe's gzip header is invalid.
    #[error("The recipe's gzip header is broken")]
    Header {
        /// The error in the header.
        #[source]
        source: HeaderError,
    },
    /// Bytes follow the end of the gzip header, or the tail is too long.
    #[error("The recipe's {field} has {len} bytes; {expected} expected")]
    FieldLength {
        /// Name of the field.
        field: &'static str,
        /// Length found, in bytes.
        len: usize,
        /// Length expected, or largest length allowed, in bytes.
        expected: usize,
    },
}

/// The lengths of a blob and of its plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) plain: u64,
    pub(crate) blob: u64,
}

impl Recipe {
    pub(crate) fn new(
        encoder: Encoder,
        header: Vec<u8>,
        tail: Vec<u8>,
        lengths: Lengths,
        digest: Digest,
    ) -> Result<Self, RecipeError> {
        let parsed = Header::parse(&header).map_err(|source| RecipeError::Header { source })?;
        if parsed.len != header.len() {
            return Err(RecipeError::FieldLength {
                field: "gzip header",
                len: header.len(),
                expected: parsed.len,
            });
        }
        if tail.len() > MAX_TAIL {
            return Err(RecipeError::FieldLength {
                field: "tail",
                len: tail.len(),
                expected: MAX_TAIL,
            });
        }
        Ok(Self {
            encoder,
            header,
            tail,
            plain_len: lengths.plain,
            blob_len: lengths.blob,
            digest,
        })
    }

    /// Decodes the result of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    ///
    /// If the bytes are not the one encoding of a recipe that this version supports.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecipeError> {
        if bytes.len() > MAX_RECIPE {
            return Err(RecipeError::TooLong { len: bytes.len() });
        }
        let value: Value = ciborium::from_reader(bytes).map_err(|_| RecipeError::Form)?;
        let elements = value.into_array().map_err(|_| RecipeError::Form)?;
        let version = elements.first().and_then(number).ok_or(RecipeError::Form)?;
        if version != VERSION {
            return Err(RecipeError::Version { version });
        }
        let elements: [Value; 9] = elements.try_into().map_err(|_| RecipeError::Form)?;
        let [_, encoder, level, block, header, tail, plain, blob, digest] = elements;
        let number = |value: &Value| number(value).ok_or(RecipeError::Form);
        let bytes_of = |value: Value| value.into_bytes().map_err(|_| RecipeError::Form);
        let at = Coordinates {
            number: number(&encoder)?,
            level: number(&level)?,
            block: number(&block)?,
        };
        let lengths = Lengths {
            plain: number(&plain)?,
            blob: number(&blob)?,
        };
        let digest: [u8; 32] = bytes_of(digest)?
            .try_into()
            .map_err(|_| RecipeError::Form)?;
        let recipe = Self::new(
            Encoder::from_coordinates(at).map_err(|source| RecipeError::Encoder { source })?,
            bytes_of(header)?,
            bytes_of(tail)?,
            lengths,
            Digest::from_bytes(digest),
        )?;
        // Refuses whatever else the decoder tolerates, such as long forms and trailing bytes.
        if recipe.to_bytes() == bytes {
            Ok(recipe)
        } else {
            Err(RecipeError::Form)
        }
    }

    /// Encodes the recipe.
    pub fn to_bytes(&self) -> Vec<u8> {
        let at = self.encoder.coordinates();
        let value = Value::Array(vec![
            VERSION.into(),
            at.number.into(),
            at.level.into(),
            at.block.into(),
            Value::Bytes(self.header.clone()),
            Value::Bytes(self.tail.clone()),
            self.plain_len.into(),
            self.blob_len.into(),
            Value::Bytes(self.digest.as_bytes().to_vec()),
        ]);
        let mut bytes = Vec::new();
        // Cannot fail: it writes to memory, and CBOR can express the value.
        let _ = ciborium::into_writer(&value, &mut bytes);
        bytes
    }

    /// Returns the encoder.
    pub fn encoder(&self) -> Encoder {
        self.encoder
    }

    /// Returns the blob's gzip header, unchanged.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Returns the bytes after the gzip member; nearly always empty.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Returns the number of plain bytes.
    pub fn plain_len(&self) -> u64 {
        self.plain_len
    }

    /// Returns the length of the blob in bytes.
    pub fn blob_len(&self) -> u64 {
        self.blob_len
    }

    /// Returns the SHA-256 of the blob.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_integer().and_then(|number| number.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe::new(
            "kp5-C-pgzip-1024".parse().unwrap(),
            b"\x1f\x8b\x08\0\0\x09\x6e\x88\0\xff".to_vec(),
            Vec::new(),
            Lengths { plain: 5, blob: 35 },
            Digest::from_bytes([7; 32]),
        )
        .unwrap()
    }

    #[test]
    fn comes_back_from_its_encoding() {
        let bytes = recipe().to_bytes();
        assert_eq!(Recipe::from_bytes(&bytes).unwrap(), recipe());
        let prefix = "890103001a001000004a1f8b080000096e8800ff400518235820";
        assert_eq!(hex::encode(&bytes), format!("{prefix}{}", "07".repeat(32)));
    }

    #[test]
    fn every_other_form_is_refused() {
        let good = recipe().to_bytes();
        let mut trailing = good.clone();
        trailing.push(0);
        let long_form = [&[0x98, 9][..], &good[1..]].concat();
        let indefinite = [&[0x9f][..], &good[1..], &[0xff]].concat();
        for bytes in [
            &[][..],
            &[0x80],
            &good[..good.len() - 1],
            &trailing,
            &long_form,
            &indefinite,
        ] {
            let found = Recipe::from_bytes(bytes);
            assert!(matches!(found, Err(RecipeError::Form)), "{found:?}");
        }
        let mut newer = good.clone();
        newer[1] = 2;
        let found = Recipe::from_bytes(&newer);
        assert!(
            matches!(found, Err(RecipeError::Version { version: 2 })),
            "{found:?}"
        );
        let found = Recipe::from_bytes(&[0; MAX_RECIPE + 1]);
        assert!(
            matches!(found, Err(RecipeError::TooLong { .. })),
            "{found:?}"
        );
    }

    #[test]
    fn fields_are_checked() {
        let recipe = recipe();
        let made = |header: &[u8], tail: usize| {
            let lengths = Lengths { plain: 5, blob: 35 };
            let tail = vec![0; tail];
            Recipe::new(
                recipe.encoder,
                header.to_vec(),
                tail,
                lengths,
                recipe.digest,
            )
        };
        assert!(made(&recipe.header, MAX_TAIL).is_ok());
        assert!(matches!(
            made(&recipe.header, MAX_TAIL + 1),
            Err(RecipeError::FieldLength { field: "tail", .. })
        ));
        assert!(matches!(
            made(&[&recipe.header[..], b"x"].concat(), 0),
            Err(RecipeError::FieldLength {
                field: "gzip header",
                ..
            })
        ));
        assert!(matches!(made(b"", 0), Err(RecipeError::Header { .. })));
    }

    #[test]
    fn the_longest_recipe_fits() {
        let mut header = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff".to_vec();
        header.resize(MAX_HEADER - 1, b'n');
        header.push(0);
        let lengths = Lengths {
            plain: u64::MAX,
            blob: u64::MAX,
        };
        let encoder = "kp6-C-pgzip-16777215b".parse().unwrap();
        let recipe = Recipe::new(
            encoder,
            header,
            vec![1; MAX_TAIL],
            lengths,
            Digest::from_bytes([0; 32]),
        );
        let bytes = recipe.unwrap().to_bytes();
        assert!(bytes.len() <= MAX_RECIPE);
        assert!(Recipe::from_bytes(&bytes).is_ok());
    }
}
