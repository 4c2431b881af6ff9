//! Makes a blob again from its plain bytes and its recipe.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;

use sha2::{Digest as _, Sha256};

use super::encoder::EncodeWriter;
use super::inflate::PIECE;
use super::recipe::Recipe;
use crate::model::Digest;

/// The reason why a blob could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecreateError {
    /// The number of plain bytes is not the recipe's.
    #[error("The content has {found} bytes; the recipe is for {expected}")]
    PlainLength {
        /// Number of plain bytes; if there are too many, the number read so far.
        found: u64,
        /// Number of plain bytes in the recipe.
        expected: u64,
    },
    /// The result is not the recipe's blob: the plain bytes or the recipe are wrong.
    #[error(
        "The blob made is {found} ({found_len} bytes) instead of {expected} ({expected_len} bytes)"
    )]
    Differs {
        /// Digest of the result, which is cut at the recipe's blob length.
        found: Digest,
        /// Length of the result in bytes, cut at the recipe's blob length.
        found_len: u64,
        /// Digest in the recipe.
        expected: Digest,
        /// Length in the recipe, in bytes.
        expected_len: u64,
    },
    /// Reading or writing failed.
    #[error("Recreating the blob failed: I/O error")]
    Io {
        /// The I/O error.
        #[source]
        source: io::Error,
    },
}

/// Makes the blob of `recipe` from `plain` and writes it to `out`.
///
/// Bytes are written before their digest is known: the caller must not use them before `Ok`. At
/// most the recipe's blob length is written.
///
/// # Errors
///
/// If the result is not the recipe's blob, or reading or writing fails.
pub fn recreate(
    mut plain: impl Read,
    recipe: &Recipe,
    threads: NonZeroUsize,
    out: impl Write,
) -> Result<(), RecreateError> {
    let io_failed = |source| RecreateError::Io { source };
    let hashing = Hashing {
        out,
        hash: Sha256::new(),
        len: 0,
        most: recipe.blob_len(),
        overrun: false,
    };
    let mut encoder =
        EncodeWriter::with_header(recipe.encoder(), recipe.header(), threads, hashing)
            .map_err(io_failed)?;
    let mut piece = Vec::with_capacity(PIECE);
    let mut plain_len = 0;
    loop {
        piece.clear();
        let len = super::inflate::read_piece(&mut plain, &mut piece).map_err(io_failed)?;
        plain_len += len as u64;
        if plain_len > recipe.plain_len() {
            break;
        }
        if len == 0 {
            break;
        }
        encoder.write_all(&piece).map_err(io_failed)?;
    }
    if plain_len != recipe.plain_len() {
        return Err(RecreateError::PlainLength {
            found: plain_len,
            expected: recipe.plain_len(),
        });
    }
    let mut made = encoder.finish().map_err(io_failed)?;
    made.write_all(recipe.tail()).map_err(io_failed)?;
    made.out.flush().map_err(io_failed)?;
    let found = Digest::from_bytes(made.hash.finalize().into());
    if made.overrun || made.len != recipe.blob_len() || found != recipe.digest() {
        return Err(RecreateError::Differs {
            found,
            found_len: made.len,
            expected: recipe.digest(),
            expected_len: recipe.blob_len(),
        });
    }
    Ok(())
}

/// A writer that hashes the bytes that it passes on, and passes on at most `most` bytes.
struct Hashing<W> {
    out: W,
    hash: Sha256,
    len: u64,
    most: u64,
    overrun: bool,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.most - self.len).unwrap_or(usize::MAX);
        self.overrun |= bytes.len() > room;
        let bytes = &bytes[..bytes.len().min(room)];
        self.hash.update(bytes);
        self.len += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::recipe::Lengths;

    const ONE: NonZeroUsize = NonZeroUsize::MIN;
    const HELLO: &str = "1f8b080000096e8800ff000500faff68656c6c6f000000ffff030086a6103605000000";

    fn recipe(blob: &[u8]) -> Recipe {
        let lengths = Lengths {
            plain: 5,
            blob: blob.len() as u64,
        };
        let digest = Digest::from_bytes(Sha256::digest(blob).into());
        let encoder = "kp5-C-pgzip-1024".parse().unwrap();
        Recipe::new(encoder, blob[..10].to_vec(), Vec::new(), lengths, digest).unwrap()
    }

    #[test]
    fn makes_the_blob() {
        let blob = hex::decode(HELLO).unwrap();
        let mut made = Vec::new();
        recreate(&b"hello"[..], &recipe(&blob), ONE, &mut made).unwrap();
        assert_eq!(made, blob);
    }

    #[test]
    fn other_plain_bytes_are_an_error() {
        let blob = hex::decode(HELLO).unwrap();
        let recipe = recipe(&blob);
        let found = recreate(&b"jello"[..], &recipe, ONE, io::sink());
        assert!(
            matches!(found, Err(RecreateError::Differs { .. })),
            "{found:?}"
        );
        for plain in [&b"hell"[..], b"hello!"] {
            let found = recreate(plain, &recipe, ONE, io::sink());
            assert!(
                matches!(found, Err(RecreateError::PlainLength { .. })),
                "{found:?}"
            );
        }
    }

    #[test]
    fn no_more_is_written_than_the_recipe_says() {
        let blob = hex::decode(HELLO).unwrap();
        let mut made = Vec::new();
        let found = recreate(&b"hello"[..], &recipe(&blob[..20]), ONE, &mut made);
        assert!(
            matches!(found, Err(RecreateError::Differs { .. })),
            "{found:?}"
        );
        assert_eq!(made, blob[..20]);
    }
}
