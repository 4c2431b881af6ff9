//! Encodes the whole content of a blob again and compares every byte.
//!
//! One thread reads, hashes and inflates; another encodes and compares (pgzip blocks have their
//! own threads).

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sha2::{Digest as _, Sha256};

use super::compare::{Compare, Differs};
use super::{IdentifyOptions, RawReason};
use crate::codec::encoder::{EncodeWriter, Encoder};
use crate::codec::gzip::{Check, Header, MAX_HEADER, TRAILER};
use crate::codec::inflate::{Inflate, PIECE, read_piece};
use crate::codec::recipe::{Lengths, MAX_TAIL, Recipe};
use crate::model::Digest;

/// The result of trying one encoder.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The encoder produces the blob.
    Proved(Box<Recipe>),
    /// No encoder can produce the blob.
    Raw(RawReason),
    /// The encoder produces other bytes.
    Differs {
        /// Approximate offset of the first difference, in bytes.
        at: u64,
    },
}

/// Bytes of the blob's gzip member, and plain bytes. They need not correspond to each other.
struct Piece {
    member: Vec<u8>,
    plain: Vec<u8>,
}

/// Number of pieces that may wait to be encoded.
const PIECES_WAITING: usize = 8;

/// Tries one encoder on the whole blob: the bytes that were read before, then the rest.
pub(super) fn prove(
    encoder: Encoder,
    read_before: &[u8],
    rest: &mut impl Read,
    options: &IdentifyOptions,
) -> io::Result<Outcome> {
    let mut blob = read_before.chain(rest);
    let mut input = Vec::new();
    let mut from = blob.by_ref().take(MAX_HEADER as u64);
    from.read_to_end(&mut input)?;
    let header = match Header::parse(&input) {
        Ok(header) => input[..header.len].to_vec(),
        Err(reason) => return Ok(Outcome::Raw(RawReason::Header { reason })),
    };
    std::thread::scope(|scope| {
        let (pieces, waiting) = sync_channel(PIECES_WAITING);
        let threads = options.threads;
        let encoder_header = header.clone();
        let encoding =
            scope.spawn(move || encode_and_compare(encoder, &encoder_header, threads, &waiting));
        let mut reader = MemberReader {
            hash: Sha256::new(),
            blob_len: 0,
            stream: Inflate::new(options.caps),
            check: Check::default(),
            pieces,
        };
        let read = reader.read(&mut blob, input, header.len());
        let MemberReader {
            hash,
            blob_len,
            check,
            pieces,
            ..
        } = reader;
        // Closes the channel, so that the other thread ends.
        drop(pieces);
        let compared = encoding
            .join()
            .map_err(|_| io::Error::other("The thread that encodes ended early"))??;
        let tail = match read? {
            Ok(tail) => tail,
            Err(Stopped::Raw(reason)) => return Ok(Outcome::Raw(reason)),
            Err(Stopped::ComparisonEnded) => Vec::new(),
        };
        if let Err(Differs { at }) = compared {
            return Ok(Outcome::Differs { at });
        }
        let lengths = Lengths {
            plain: check.len(),
            blob: blob_len,
        };
        let digest = Digest::from_bytes(hash.finalize().into());
        Ok(match Recipe::new(encoder, header, tail, lengths, digest) {
            Ok(recipe) => Outcome::Proved(Box::new(recipe)),
            Err(_) => Outcome::Raw(RawReason::Tail),
        })
    })
}

/// The reason why reading stopped before the end of the blob.
enum Stopped {
    Raw(RawReason),
    /// The other thread stopped: it found a difference, or failed.
    ComparisonEnded,
}

/// Reads a gzip member and the bytes after it.
struct MemberReader {
    hash: Sha256,
    blob_len: u64,
    stream: Inflate,
    check: Check,
    pieces: SyncSender<Piece>,
}

impl MemberReader {
    /// Reads the blob, of which `input` was read before, and returns the bytes after the member.
    fn read(
        &mut self,
        blob: &mut impl Read,
        mut input: Vec<u8>,
        header: usize,
    ) -> io::Result<Result<Vec<u8>, Stopped>> {
        self.count(&input);
        // `input` starts with the bytes that were not sent yet; the first `taken` of them are
        // inflated.
        let mut taken = header;
        while !self.stream.done() {
            if let Err(stopped) = self.inflate(&mut input, &mut taken)? {
                return Ok(Err(stopped));
            }
            if !self.stream.done() && self.more(blob, &mut input)? == 0 {
                return Ok(Err(Stopped::Raw(RawReason::Truncated)));
            }
        }
        let end = taken + TRAILER;
        while input.len() < end {
            if self.more(blob, &mut input)? == 0 {
                return Ok(Err(Stopped::Raw(RawReason::Truncated)));
            }
        }
        let mut tail = input.split_off(end);
        if !input.ends_with(&self.check.trailer()) {
            return Ok(Err(Stopped::Raw(RawReason::Damaged)));
        }
        if self.send(input, Vec::new()).is_err() {
            return Ok(Err(Stopped::ComparisonEnded));
        }
        while tail.len() <= MAX_TAIL.max(MAX_HEADER) && self.more(blob, &mut tail)? > 0 {}
        Ok(match () {
            () if Header::parse(&tail).is_ok() => Err(Stopped::Raw(RawReason::SeveralMembers)),
            () if tail.len() > MAX_TAIL => Err(Stopped::Raw(RawReason::Tail)),
            () => Ok(tail),
        })
    }

    /// Inflates and sends all of `input`, or the part up to the end of the stream.
    fn inflate(
        &mut self,
        input: &mut Vec<u8>,
        taken: &mut usize,
    ) -> io::Result<Result<(), Stopped>> {
        loop {
            let mut plain = Vec::with_capacity(PIECE);
            match self.stream.step(&input[*taken..], &mut plain) {
                Ok(count) => *taken += count,
                Err(error) => {
                    return RawReason::from_inflate(error).map(|reason| Err(Stopped::Raw(reason)));
                }
            }
            self.check.update(&plain);
            let all = *taken == input.len() && plain.len() < plain.capacity();
            let member = if all {
                std::mem::take(input)
            } else {
                Vec::new()
            };
            if all {
                *taken = 0;
            }
            if self.send(member, plain).is_err() {
                return Ok(Err(Stopped::ComparisonEnded));
            }
            if all || self.stream.done() {
                return Ok(Ok(()));
            }
        }
    }

    fn send(&self, member: Vec<u8>, plain: Vec<u8>) -> Result<(), ()> {
        self.pieces.send(Piece { member, plain }).map_err(|_| ())
    }

    fn more(&mut self, blob: &mut impl Read, input: &mut Vec<u8>) -> io::Result<usize> {
        let before = input.len();
        let read = read_piece(blob, input)?;
        self.count(&input[before..]);
        Ok(read)
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.blob_len += bytes.len() as u64;
    }
}

/// Encodes the plain bytes of the pieces and compares the result with their member bytes.
fn encode_and_compare(
    encoder: Encoder,
    header: &[u8],
    threads: NonZeroUsize,
    pieces: &Receiver<Piece>,
) -> io::Result<Result<(), Differs>> {
    let compared = || -> io::Result<()> {
        let compare = Compare::default();
        let mut writer = EncodeWriter::with_header(encoder, header, threads, compare)?;
        for piece in pieces {
            let expected = writer.get_mut().expect(&piece.member);
            expected.map_err(io::Error::other)?;
            writer.write_all(&piece.plain)?;
        }
        writer.finish()?.end().map_err(io::Error::other)
    };
    match compared() {
        Ok(()) => Ok(Ok(())),
        Err(error) => match error.downcast::<Differs>() {
            Ok(differs) => Ok(Err(differs)),
            Err(error) => Err(error),
        },
    }
}
