//! Expected content of a data chunk, byte by byte (bundle-format.md, R-43 and R-44).
//!
//! Every byte that is no blob content follows from the inventory. The writer, a writer that
//! resumes, and the verifier all compute these bytes here.

use super::{PlacedExtent, Placement, tar};
use crate::model::{ChunkId, ChunkOrigin, Digest, PlanId};

/// An extent that cannot be an entry of the chunk's tar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The extent of `{digest}` at offset {offset} is out of place in chunk {}", chunk.number())]
pub struct LayoutError {
    /// The chunk.
    pub chunk: ChunkId,
    /// The blob.
    pub digest: Digest,
    /// Offset of the extent in the chunk, in bytes.
    pub offset: u64,
}

/// A consecutive range of bytes of a data chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Bytes that follow from the inventory: marker, headers, padding, trailer.
    Fixed(Vec<u8>),
    /// Bytes of a blob.
    Blob {
        /// The blob.
        digest: Digest,
        /// Offset of the bytes in the blob.
        offset_in_blob: u64,
        /// Number of bytes.
        length: u64,
    },
}

impl Segment {
    /// Returns the length in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Fixed(bytes) => bytes.len() as u64,
            Self::Blob { length, .. } => *length,
        }
    }

    /// Drops the first `count` bytes; `count` must be less than the length.
    fn behind(self, count: u64) -> Self {
        match self {
            Self::Fixed(bytes) => {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                Self::Fixed(bytes.get(count..).unwrap_or_default().to_vec())
            }
            Self::Blob {
                digest,
                offset_in_blob,
                length,
            } => Self::Blob {
                digest,
                offset_in_blob: offset_in_blob.saturating_add(count),
                length: length.saturating_sub(count),
            },
        }
    }
}

/// The expected content of one data chunk, known before the chunk is written or read.
#[derive(Debug, Clone)]
pub struct FrameExpectation {
    plan: PlanId,
    chunk: ChunkId,
    extents: Vec<PlacedExtent>,
    length: u64,
}

impl FrameExpectation {
    /// Describes a chunk by its plan and its extents, which must be sorted by offset.
    ///
    /// # Errors
    ///
    /// If the extents do not follow each other as the entries of a tar do.
    pub fn new(
        plan: PlanId,
        chunk: ChunkId,
        extents: Vec<PlacedExtent>,
    ) -> Result<Self, LayoutError> {
        let mut header = tar::MARKER;
        for extent in &extents {
            let next = tar::end_of_data(extent.offset, extent.stored)
                .filter(|_| header.checked_add(tar::UNIT) == Some(extent.offset))
                .filter(|_| extent.stored < tar::MAX_ENTRY)
                .filter(|next| next.checked_add(tar::TRAILER).is_some());
            header = next.ok_or(LayoutError {
                chunk,
                digest: extent.digest,
                offset: extent.offset,
            })?;
        }
        Ok(Self {
            plan,
            chunk,
            extents,
            length: header + tar::TRAILER,
        })
    }

    /// Describes a chunk by its row and its extents in the inventory.
    ///
    /// # Errors
    ///
    /// As [`Self::new`]; cannot fail for an inventory that was checked.
    pub fn of(origin: &ChunkOrigin, placement: &Placement) -> Result<Self, LayoutError> {
        let extents = placement.chunk(origin.number).copied().collect();
        Self::new(origin.plan, origin.number, extents)
    }

    /// Returns the length of the chunk in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the extents by ascending offset.
    pub fn extents(&self) -> &[PlacedExtent] {
        &self.extents
    }

    /// Returns the chunk's segments from its start to its end.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        (0..=self.extents.len()).flat_map(move |index| {
            let blob = self.extents.get(index).map(|extent| Segment::Blob {
                digest: extent.digest,
                offset_in_blob: extent.offset_in_blob,
                length: extent.stored,
            });
            std::iter::once(Segment::Fixed(self.gap(index))).chain(blob)
        })
    }

    /// Returns the chunk's segments from a byte position on: the rest that a resumed writer has
    /// to write.
    pub fn segments_from(&self, position: u64) -> impl Iterator<Item = Segment> + '_ {
        let mut start = 0u64;
        self.segments().filter_map(move |segment| {
            let (begin, length) = (start, segment.length());
            start = start.saturating_add(length);
            match position.checked_sub(begin) {
                Some(skipped) if skipped >= length => None,
                Some(skipped) if skipped > 0 => Some(segment.behind(skipped)),
                _ => Some(segment),
            }
        })
    }

    /// Returns the fixed bytes before the extent with this index, or after the last extent.
    fn gap(&self, index: usize) -> Vec<u8> {
        let mut bytes = match index
            .checked_sub(1)
            .and_then(|index| self.extents.get(index))
        {
            None => tar::marker(&self.plan, self.chunk),
            Some(before) => {
                // Less than 512 bytes.
                let padding = tar::padding(before.stored) as usize;
                vec![0; padding]
            }
        };
        match self.extents.get(index) {
            Some(extent) => {
                let path = tar::blob_entry_name(&extent.digest, extent.part);
                // Cannot fail: `new` checked that the size fits.
                let header = tar::header(&path, tar::EntryKind::File, extent.stored, "");
                bytes.extend(header.unwrap_or_default());
            }
            None => bytes.resize(bytes.len() + 2 * tar::BLOCK, 0),
        }
        bytes
    }

    /// Starts to compare a chunk's bytes with the expected ones.
    pub fn compare(&self) -> Comparison<impl Iterator<Item = Segment> + '_> {
        Comparison {
            segments: self.segments(),
            current: None,
            position: 0,
        }
    }
}

/// Result for a range of the bytes that were given to [`Comparison::feed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes that follow from the inventory.
    Fixed {
        /// Offset in the chunk of the first wrong byte; `None` if all are right.
        wrong: Option<u64>,
        /// Number of bytes.
        length: u64,
    },
    /// Bytes of a blob, to be hashed.
    Blob {
        /// The blob.
        digest: Digest,
        /// Offset of the bytes in the blob.
        offset_in_blob: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Bytes after the end of the expected content.
    Beyond {
        /// Number of bytes.
        length: u64,
    },
}

/// Takes a chunk's bytes in order and classifies each range of them.
#[derive(Debug)]
pub struct Comparison<I> {
    segments: I,
    current: Option<Segment>,
    position: u64,
}

impl<I: Iterator<Item = Segment>> Comparison<I> {
    /// Takes the next bytes; calls `found` for every range in them.
    pub fn feed<'a>(&mut self, bytes: &'a [u8], mut found: impl FnMut(Piece<'a>)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let next = self.current.take().or_else(|| self.segments.next());
            let Some(segment) = next else {
                let length = rest.len() as u64;
                self.position = self.position.saturating_add(length);
                return found(Piece::Beyond { length });
            };
            let length = segment.length();
            let taken = usize::try_from(length).map_or(rest.len(), |l| l.min(rest.len()));
            let (now, later) = rest.split_at(taken);
            found(match &segment {
                Segment::Fixed(expected) => Piece::Fixed {
                    wrong: std::iter::zip(self.position.., std::iter::zip(now, expected))
                        .find_map(|(at, (byte, expected))| (byte != expected).then_some(at)),
                    length: taken as u64,
                },
                Segment::Blob {
                    digest,
                    offset_in_blob,
                    ..
                } => Piece::Blob {
                    digest: *digest,
                    offset_in_blob: *offset_in_blob,
                    bytes: now,
                },
            });
            self.position = self.position.saturating_add(taken as u64);
            if (taken as u64) < length {
                self.current = Some(segment.behind(taken as u64));
            }
            rest = later;
        }
    }

    /// Number of bytes taken so far.
    pub fn position(&self) -> u64 {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, chunk_id, sample};
    use super::*;

    fn expectation(sample: &Sample, chunk: usize) -> FrameExpectation {
        let placement = Placement::new(&sample.inventory);
        FrameExpectation::of(&sample.inventory.chunks[chunk], &placement).unwrap()
    }

    fn bytes(sample: &Sample, segments: impl Iterator<Item = Segment>) -> Vec<u8> {
        let mut all = Vec::new();
        for segment in segments {
            match segment {
                Segment::Fixed(bytes) => all.extend(bytes),
                Segment::Blob {
                    digest,
                    offset_in_blob,
                    length,
                } => {
                    let begin = offset_in_blob as usize;
                    all.extend(&sample.content[&digest][begin..begin + length as usize]);
                }
            }
        }
        all
    }

    #[test]
    fn chunks_are_tars_that_others_read() {
        let sample = sample();
        let mut parts = std::collections::BTreeMap::new();
        for chunk in 0..2 {
            let expectation = expectation(&sample, chunk);
            let tar = bytes(&sample, expectation.segments());
            assert_eq!(tar.len() as u64, sample.manifest.chunks[chunk].length);
            assert_eq!(expectation.length(), tar.len() as u64);
            let mut archive = ::tar::Archive::new(tar.as_slice());
            for entry in archive.entries().unwrap() {
                let mut entry = entry.unwrap();
                let mut data = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut data).unwrap();
                parts.insert(entry.path().unwrap().display().to_string(), data);
            }
        }
        let names: Vec<&String> = parts.keys().collect();
        assert_eq!(names.len(), 5, "{names:?}");
        let cut = sample
            .content
            .iter()
            .find(|(_, bytes)| bytes.len() == 1500)
            .unwrap();
        let part = |number| &parts[&tar::blob_entry_name(cut.0, Some(number))];
        assert_eq!([&part(1)[..], part(2)].concat(), *cut.1);
    }

    #[test]
    fn writing_can_go_on_anywhere() {
        let sample = sample();
        let expectation = expectation(&sample, 0);
        let whole = bytes(&sample, expectation.segments());
        for position in 0..=whole.len() {
            let rest = bytes(&sample, expectation.segments_from(position as u64));
            assert!(rest == whole[position..], "from {position}");
        }
        assert_eq!(expectation.segments_from(u64::MAX).count(), 0);
    }

    #[test]
    fn comparison_finds_every_wrong_byte_outside_of_blobs() {
        let sample = sample();
        let expectation = expectation(&sample, 0);
        let whole = bytes(&sample, expectation.segments());
        let compare = |bytes: &[u8], step: usize| {
            let mut comparison = expectation.compare();
            let (mut wrong, mut blobs, mut beyond) = (Vec::new(), Vec::new(), 0);
            for piece in bytes.chunks(step) {
                comparison.feed(piece, |piece| match piece {
                    Piece::Fixed { wrong: found, .. } => wrong.extend(found),
                    Piece::Blob { bytes, .. } => blobs.extend_from_slice(bytes),
                    Piece::Beyond { length } => beyond += length,
                });
            }
            (wrong, blobs, beyond)
        };
        let contents = whole.len() - 1002;
        for step in [1, 7, 512, 1000, 100_000] {
            let (wrong, blobs, beyond) = compare(&whole, step);
            assert_eq!(
                (wrong.len(), blobs.len(), beyond),
                (0, 1002, 0),
                "step {step}"
            );
            let (_, _, beyond) = compare(&[&whole[..], &[0; 512]].concat(), step);
            assert_eq!(beyond, 512);
        }
        let mut found = 0;
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 1;
            let (wrong, blobs, _) = compare(&other, 700);
            match wrong.as_slice() {
                [] => assert_ne!(blobs, compare(&whole, 700).1),
                [one] => {
                    assert_eq!(*one, at as u64);
                    found += 1;
                }
                more => panic!("{more:?}"),
            }
        }
        assert_eq!(found, contents);
    }

    #[test]
    fn extents_that_make_no_tar_are_refused() {
        let sample = sample();
        let good = expectation(&sample, 0);
        let make = |change: fn(&mut Vec<PlacedExtent>)| {
            let mut extents = good.extents().to_vec();
            change(&mut extents);
            FrameExpectation::new(good.plan, chunk_id(1), extents).is_ok()
        };
        assert!(make(|_| {}));
        assert!(make(Vec::clear));
        assert!(!make(|extents| extents.swap(0, 1)));
        assert!(!make(|extents| extents[0].offset -= 512));
        assert!(!make(|extents| extents[0].offset = u64::MAX));
        assert!(!make(|extents| extents[1].stored = u64::MAX));
        assert!(!make(|extents| extents[1].stored = tar::MAX_ENTRY));
    }
}
