//! Reads the beginning of a blob, and finds the encoders that produce it.

use std::io::{Read, Write};
use std::num::NonZeroUsize;

use super::candidates::candidates;
use super::compare::Compare;
use crate::codec::encoder::{EncodeWriter, Encoder, Framing};
use crate::codec::gzip::{Check, Header, MAX_HEADER, TRAILER};
use crate::codec::inflate::{Caps, Inflate, InflateError, PIECE, read_piece};
use crate::codec::pgzip::BlockSize;

/// Number of plain bytes that usually suffice to find the encoder.
const USUAL: usize = 2 << 20;
/// Number of plain bytes read if pgzip blocks may be longer, or too little was compared.
const LONG: usize = BlockSize::MAX as usize + (256 << 10);
/// The end of a pgzip block: the lengths of an empty stored block, at a byte boundary.
const MARKER: [u8; 4] = [0, 0, 0xff, 0xff];
/// Number of possible block ends that are considered.
const MAX_MARKERS: usize = 8;
/// Number of compared bytes below which an encoder counts as undecided.
const EVIDENCE: u64 = 32 << 10;

/// The beginning of a blob, compressed and plain.
#[derive(Debug)]
pub(crate) struct Beginning {
    header: Header,
    compressed: Vec<u8>,
    /// Index in `compressed` at which inflating continues.
    taken: usize,
    plain: Vec<u8>,
    stream: Inflate,
    /// Plain offsets at which a pgzip block may end.
    markers: Vec<usize>,
}

/// The part of a blob that was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Number of bytes of the blob.
    pub(crate) blob: u64,
    /// Number of bytes of its content.
    pub(crate) plain: u64,
    /// True if the gzip member ended.
    pub(crate) complete: bool,
}

impl Beginning {
    /// Reads the header and the usual number of plain bytes.
    pub(crate) fn read(blob: &mut impl Read, caps: Caps) -> Result<Self, InflateError> {
        let mut compressed = Vec::new();
        let mut from = blob.take(MAX_HEADER as u64);
        from.read_to_end(&mut compressed)
            .map_err(|source| InflateError::Io { source })?;
        let header =
            Header::parse(&compressed).map_err(|source| InflateError::Header { source })?;
        let mut beginning = Self {
            header,
            taken: header.len,
            compressed,
            plain: Vec::new(),
            stream: Inflate::new(caps),
            markers: Vec::new(),
        };
        beginning.extend(blob, USUAL)?;
        Ok(beginning)
    }

    /// Inflates until there are `most` plain bytes in total.
    fn extend(&mut self, blob: &mut impl Read, most: usize) -> Result<(), InflateError> {
        self.plain.reserve(most.saturating_sub(self.plain.len()));
        while !self.stream.done() && self.plain.len() < most {
            if self.taken == self.compressed.len() {
                let read = read_piece(blob, &mut self.compressed);
                if read.map_err(|source| InflateError::Io { source })? == 0 {
                    let plain = self.stream.plain();
                    return Err(InflateError::Truncated { plain });
                }
            }
            self.step(most)?;
        }
        if self.stream.done() {
            self.check_trailer(blob)?;
        }
        Ok(())
    }

    fn check_trailer(&mut self, blob: &mut impl Read) -> Result<(), InflateError> {
        let plain = self.stream.plain();
        if self.compressed.len() < self.taken + TRAILER {
            let read = read_piece(blob, &mut self.compressed);
            read.map_err(|source| InflateError::Io { source })?;
        }
        let mut check = Check::default();
        check.update(&self.plain);
        let behind = self.compressed.get(self.taken..).unwrap_or_default();
        match behind.first_chunk::<TRAILER>() {
            None => Err(InflateError::Truncated { plain }),
            Some(trailer) if *trailer != check.trailer() => Err(InflateError::Damaged { plain }),
            Some(_) => Ok(()),
        }
    }

    /// Inflates up to the next possible block end, but at most one piece.
    fn step(&mut self, most: usize) -> Result<(), InflateError> {
        let input = &self.compressed[self.taken..];
        // A marker may start in the bytes that were already used.
        let from = self
            .taken
            .saturating_sub(MARKER.len() - 1)
            .max(self.header.len);
        let found = self.compressed[from..]
            .windows(MARKER.len())
            .take(PIECE)
            .position(|bytes| bytes == MARKER)
            .map(|at| from + at + MARKER.len() - self.taken);
        let wanted = found.unwrap_or(input.len().min(PIECE));
        let mut done = 0;
        let mut out = Vec::with_capacity(PIECE);
        loop {
            out.clear();
            done += self.stream.step(&input[done..wanted], &mut out)?;
            self.plain.extend_from_slice(&out);
            // zlib may still hold plain bytes after it took all of the input.
            let all = done == wanted && out.len() < out.capacity();
            if all || self.stream.done() || self.plain.len() >= most {
                break;
            }
        }
        self.taken += done;
        if found == Some(done) && self.markers.len() < MAX_MARKERS {
            self.markers.push(self.plain.len());
        }
        Ok(())
    }

    /// Finds the encoders that produce the beginning, the likeliest first. Reads more if needed.
    pub(crate) fn survivors(&mut self, blob: &mut impl Read) -> Result<Vec<Encoder>, InflateError> {
        let mut survivors = self.attempts(|_| true);
        let undecided = |(encoder, written): &(Encoder, u64)| {
            *written < EVIDENCE || framing(encoder) == Some(Framing::Single)
        };
        if survivors.iter().any(undecided) && !self.stream.done() {
            self.extend(blob, LONG)?;
            let survived: Vec<Encoder> = survivors.iter().map(|(encoder, _)| *encoder).collect();
            // Blocks may have a size that was not seen before.
            survivors = self.attempts(|encoder| {
                survived.contains(encoder) || matches!(framing(encoder), Some(Framing::Blocks(_)))
            });
        }
        Ok(survivors.into_iter().map(|(encoder, _)| encoder).collect())
    }

    /// Writes `most` plain bytes, or slightly more, and reads as much of the blob as that needs.
    pub(crate) fn write_plain(
        mut self,
        blob: &mut impl Read,
        most: u64,
        out: &mut impl Write,
    ) -> Result<Seen, InflateError> {
        let io_failed = |source| InflateError::Io { source };
        out.write_all(&self.plain).map_err(io_failed)?;
        let mut input = self.compressed.split_off(self.taken);
        let mut taken = 0;
        let mut plain = Vec::with_capacity(PIECE);
        while !self.stream.done() && self.stream.plain() < most {
            plain.clear();
            taken += self.stream.step(&input[taken..], &mut plain)?;
            out.write_all(&plain).map_err(io_failed)?;
            if taken == input.len() && plain.len() < plain.capacity() && !self.stream.done() {
                input.clear();
                taken = 0;
                if read_piece(blob, &mut input).map_err(io_failed)? == 0 {
                    let plain = self.stream.plain();
                    return Err(InflateError::Truncated { plain });
                }
            }
        }
        let complete = self.stream.done();
        let trailer = if complete { TRAILER as u64 } else { 0 };
        Ok(Seen {
            blob: self.header.len as u64 + self.stream.taken() + trailer,
            plain: self.stream.plain(),
            complete,
        })
    }

    /// Returns the compressed bytes that were read.
    pub(super) fn into_compressed(self) -> Vec<u8> {
        self.compressed
    }

    /// Returns the possible sizes of pgzip blocks, if the blob has any.
    fn block_sizes(&self) -> Vec<BlockSize> {
        let mut sizes = Vec::new();
        let mut add = |bytes: usize| {
            let size = u32::try_from(bytes).ok().and_then(BlockSize::new);
            sizes.extend(size.filter(|size| !sizes.contains(size)));
        };
        // The only marker is at the end of a short stream: the block was not full, so its size is
        // unknown.
        if self.stream.done() && self.markers.contains(&self.plain.len()) {
            let default = BlockSize::DEFAULT.get() as usize;
            add(default.max((self.plain.len() + 1).next_power_of_two()));
        }
        for marker in &self.markers {
            add(*marker);
        }
        sizes
    }

    /// Encodes the beginning with each candidate. Returns those that produce it, with the number
    /// of bytes that were equal.
    fn attempts(&self, among: impl Fn(&Encoder) -> bool) -> Vec<(Encoder, u64)> {
        candidates(&self.header, &self.block_sizes())
            .into_iter()
            .filter(among)
            .filter_map(|encoder| Some((encoder, self.attempt(encoder)?)))
            .collect()
    }

    /// Encodes the beginning. Returns the number of equal bytes, or `None` if one differs.
    fn attempt(&self, encoder: Encoder) -> Option<u64> {
        let (header, body) = self.compressed.split_at_checked(self.header.len)?;
        let expected_end = if self.stream.done() {
            self.taken + TRAILER - self.header.len
        } else {
            body.len()
        };
        let mut compare = Compare::default();
        compare.expect(header).ok()?;
        compare.expect(body.get(..expected_end)?).ok()?;
        let mut writer =
            EncodeWriter::with_header(encoder, header, NonZeroUsize::MIN, compare).ok()?;
        for piece in self.plain.chunks(64 << 10) {
            writer.write_all(piece).ok()?;
        }
        if self.stream.done() {
            let compare = writer.finish().ok()?;
            compare.end().ok()?;
            return Some(compare.agreed());
        }
        writer.flush().ok()?;
        Some(writer.get_ref().agreed())
    }
}

fn framing(encoder: &Encoder) -> Option<Framing> {
    match encoder {
        Encoder::Klauspost { framing, .. } => Some(*framing),
        _ => None,
    }
}
