//! Writes an image layer to a temporary file: tar, gzip and both digests in one pass.
//!
//! Owner, group and time of all entries are 0 and the compressor is one whose output is part of
//! the bundle format, so the same content has the same digest with every version of airferry.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;

use crate::bundle::write::made::MadeBlob;
use crate::codec::{EncodeWriter, Encoder};
use crate::error::{Class, Error, Result};
use crate::format::hash::BlobHasher;
use crate::model::Digest;
use crate::oci::layer::write;
use crate::sys::spool::Spool;

/// The compressor of layers made here. Must never change: digests of images depend on it.
const ENCODER: Encoder = Encoder::Go127;

/// A layer made by this program.
#[derive(Debug)]
pub(super) struct MadeLayer {
    /// SHA-256 of the tar.
    pub(super) diff_id: Digest,
    /// The gzip file.
    pub(super) blob: MadeBlob,
}

/// Writes bytes to a spool and hashes them.
struct Hashing {
    spool: Spool,
    hasher: BlobHasher,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.spool.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.spool.flush()
    }
}

/// Makes a blob from bytes in memory.
pub(super) fn blob_of(bytes: &[u8]) -> Result<MadeBlob> {
    let mut spool = Spool::new()?;
    spool.write_all(bytes).map_err(unwritable)?;
    Ok(MadeBlob {
        digest: crate::format::hash::sha256(bytes),
        content: spool,
    })
}

/// The error for a temporary file that cannot be written.
pub(super) fn unwritable(error: io::Error) -> Error {
    Error::new(Class::Media, "A temporary file cannot be written")
        .caused_by(error)
        .hint("TMPDIR names the directory for temporary files: it needs room for the catalog twice")
}

/// Writes the entries of a layer in order; [`LayerWriter::finish`] returns the result.
pub(super) struct LayerWriter {
    gzip: EncodeWriter<Hashing>,
    plain: BlobHasher,
}

impl LayerWriter {
    /// Begins a layer.
    pub(super) fn new() -> Result<Self> {
        let out = Hashing {
            spool: Spool::new()?,
            hasher: BlobHasher::new(),
        };
        let gzip = EncodeWriter::new(ENCODER, NonZeroUsize::MIN, out).map_err(unwritable)?;
        Ok(Self {
            gzip,
            plain: BlobHasher::new(),
        })
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.plain.update(bytes);
        self.gzip.write_all(bytes).map_err(unwritable)
    }

    /// Adds a directory; `mode` holds permission bits as for chmod.
    pub(super) fn directory(&mut self, path: &str, mode: u32) -> Result<()> {
        self.bytes(&write::directory_header(path, mode))
    }

    /// Adds a file. `content` must pass exactly `size` bytes to the function that it is given.
    pub(super) fn file(
        &mut self,
        path: &str,
        size: u64,
        content: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        let header = write::file_header(path, size).map_err(|error| {
            let message = "The catalog does not fit into a layer";
            Error::new(Class::VerificationFailed, message).caused_by(error)
        })?;
        self.bytes(&header)?;
        let mut written = 0_u64;
        content(&mut |bytes| {
            written = written.saturating_add(bytes.len() as u64);
            self.bytes(bytes)
        })?;
        if written != size {
            let what = format!("{written} bytes instead of {size}");
            return Err(Error::internal("A file of a layer changed", what));
        }
        self.bytes(&vec![0; write::padding(size)])
    }

    /// Writes the end of the tar and returns the layer with its digests.
    pub(super) fn finish(mut self) -> Result<MadeLayer> {
        self.bytes(&[0; write::END])?;
        let out = self.gzip.finish().map_err(unwritable)?;
        Ok(MadeLayer {
            diff_id: self.plain.finish(),
            blob: MadeBlob {
                digest: out.hasher.finish(),
                content: out.spool,
            },
        })
    }
}

/// Passes all bytes of a stream to `take`.
pub(super) fn copy(reader: &mut dyn Read, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => take(buffer.get(..read).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let message = "A temporary file cannot be read";
                return Err(Error::new(Class::Media, message).caused_by(error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::media::Reader;

    #[test]
    fn a_layer_is_a_tar_that_others_read_and_always_the_same() {
        let write = || {
            let mut layer = LayerWriter::new().unwrap();
            layer.directory("configs", 0o755).unwrap();
            layer
                .file("configs/a/catalog.json", 3, |take| take(b"{}\n"))
                .unwrap();
            layer.file("configs/.wh..wh..opq", 0, |_| Ok(())).unwrap();
            layer.finish().unwrap()
        };
        let (first, second) = (write(), write());
        assert_eq!(first.blob.digest, second.blob.digest);
        let content = Reader::new(&first.blob.content, 0, first.blob.content.len());
        let mut plain = Vec::new();
        let mut gzip = flate2::read::GzDecoder::new(content);
        gzip.read_to_end(&mut plain).unwrap();
        assert_eq!(crate::format::hash::sha256(&plain), first.diff_id);
        let mut archive = ::tar::Archive::new(plain.as_slice());
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let path = entry.path().unwrap().display().to_string();
            found.push((path, entry.header().mode().unwrap(), text));
        }
        let row = |path: &str, mode, text: &str| (path.to_owned(), mode, text.to_owned());
        assert_eq!(
            found,
            [
                row("configs/", 0o755, ""),
                row("configs/a/catalog.json", 0o644, "{}\n"),
                row("configs/.wh..wh..opq", 0o644, ""),
            ]
        );
    }

    /// Digests of such layers are in bundles and on clusters, so the bytes must stay the same.
    #[test]
    fn the_bytes_of_a_layer_never_change() {
        let long = format!("configs/{}/catalog.json", "p".repeat(100));
        let mut layer = LayerWriter::new().unwrap();
        layer.directory("tmp/cache", 0o1777).unwrap();
        for path in ["configs/a/catalog.json", &long, "configs/.wh..wh..opq"] {
            let content = path.repeat(20);
            let write = |take: &mut dyn FnMut(&[u8]) -> Result<()>| take(content.as_bytes());
            layer.file(path, content.len() as u64, write).unwrap();
        }
        let layer = layer.finish().unwrap();
        let digests = [layer.diff_id, layer.blob.digest].map(|digest| digest.to_string());
        assert_eq!(
            digests,
            [
                "sha256:bfff8ce3d60c1a5264b0c288886563d11fff9818e4d03d399ab274ce419f02b3",
                "sha256:ab00b97ccdde17702328424c1d8cf51a2df327a6529486d841dd47a2962d5c28",
            ]
        );
    }

    #[test]
    fn a_file_has_the_size_that_was_announced() {
        let mut layer = LayerWriter::new().unwrap();
        assert!(layer.file("a", 3, |take| take(b"ab")).is_err());
    }
}
