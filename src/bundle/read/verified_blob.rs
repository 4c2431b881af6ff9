//! Reads a blob in a bundle as a stream, of which every block is verified before it is
//! decompressed.

use std::io::{self, Read};
use std::sync::Arc;

use super::block::read_block;
use crate::bundle::finding::FindingKind;
use crate::bundle::open::Bundle;
use crate::error::{Class, Error};
use crate::model::{BLOCK_SIZE, Carried, ChunkEntry, Extent};
use crate::sys::media::ReadAt;

/// Reads the extents of a carried blob.
pub(crate) struct VerifiedBlob {
    bundle: Arc<Bundle>,
    extents: std::vec::IntoIter<Extent>,
    current: Option<Current>,
    failure: Option<Error>,
}

/// The extent that is being read.
struct Current {
    chunk: ChunkEntry,
    file: Box<dyn ReadAt>,
    /// Offsets in the chunk of the next byte and of the extent's end.
    position: u64,
    end: u64,
    block: Vec<u8>,
    /// Index of the block in `block`; `None` if it was not read.
    index: Option<u64>,
}

impl VerifiedBlob {
    pub(crate) fn new(bundle: Arc<Bundle>, carried: &Carried) -> Self {
        Self {
            bundle,
            extents: carried.extents.clone().into_iter(),
            current: None,
            failure: None,
        }
    }

    /// Takes the error of a failed read, which `io::Error` holds only as a text.
    pub(crate) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    fn open(&self, extent: &Extent) -> Result<Current, Error> {
        let mut chunks = self.bundle.manifest.chunks.iter();
        let chunk = chunks.find(|chunk| chunk.number == extent.chunk).cloned();
        // Cannot fail: the inventory was checked against the chunk table.
        let chunk = chunk.ok_or_else(|| {
            let message = format!("The bundle has no chunk {}", extent.chunk.number());
            Error::new(Class::VerificationFailed, message)
        })?;
        let file = self.bundle.media.open(&chunk.path())?;
        Ok(Current {
            file,
            position: extent.offset,
            end: extent.offset.saturating_add(extent.stored),
            block: Vec::new(),
            index: None,
            chunk,
        })
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            if let Some(current) = &mut self.current {
                let read = current.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    return Ok(read);
                }
            }
            match self.extents.next() {
                Some(extent) => self.current = Some(self.open(&extent)?),
                None => return Ok(0),
            }
        }
    }
}

impl Current {
    /// Reads the part of the extent that lies within one block.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if self.position >= self.end {
            return Ok(0);
        }
        let index = self.position / BLOCK_SIZE;
        if self.index != Some(index) {
            self.index = None;
            read_block(self.file.as_ref(), &self.chunk, index, &mut self.block)
                .map_err(|(kind, why)| self.damaged(index, kind, &why))?;
            self.index = Some(index);
        }
        let within = usize::try_from(self.position % BLOCK_SIZE).unwrap_or(usize::MAX);
        let here = self.block.get(within..).unwrap_or_default();
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let length = here.len().min(left).min(buffer.len());
        if length == 0 && !buffer.is_empty() {
            let why = "the file ends before the blob does";
            return Err(self.damaged(index, FindingKind::WrongLength, why));
        }
        if let (Some(from), Some(to)) = (here.get(..length), buffer.get_mut(..length)) {
            to.copy_from_slice(from);
        }
        self.position += length as u64;
        Ok(length)
    }

    fn damaged(&self, block: u64, kind: FindingKind, why: &str) -> Error {
        let message = format!("Block {block} of `{}` is damaged: {why}", self.chunk.path());
        let class = match kind {
            FindingKind::Unreadable => Class::Media,
            _ => Class::VerificationFailed,
        };
        Error::new(class, message).hint("run `airferry verify` to list all damage")
    }
}

impl Read for VerifiedBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(|error| {
            let told = io::Error::other(error.to_string());
            self.failure = Some(error);
            told
        })
    }
}
