//! Ad hoc signatures of Mach-O programs. macOS on arm64 does not run a program without a valid
//! signature, and a value that is written into a program makes its signature invalid.
//!
//! The Go linker signs its output: a `SuperBlob` with one `CodeDirectory`, which contains the
//! SHA-256 of each 4 KiB of the file up to the signature. A signature of that shape is replaced
//! by a new one at the same place; all other programs are written unchanged. (Apple:
//! `mach-o/loader.h`, `kern/cs_blobs.h`. Numbers in the file's headers are little-endian, in the
//! signature big-endian.)

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

/// `MH_MAGIC_64`.
const MAGIC: u32 = 0xfeed_facf;
/// `MH_EXECUTE`.
const EXECUTABLE: u32 = 2;
/// `LC_SEGMENT_64` and `LC_CODE_SIGNATURE`.
const SEGMENT: u32 = 0x19;
const CODE_SIGNATURE: u32 = 0x1d;
/// Length of a 64-bit header in bytes.
const HEADER: usize = 32;
/// Upper limit of the load commands in bytes; real programs have a few KiB.
const MAX_COMMANDS: usize = 1 << 20;

/// Identifier that the linker gives to every program.
const IDENTIFIER: &[u8] = b"a.out\0";
/// Number of bytes that one hash covers, as a power of two.
const PAGE_BITS: u8 = 12;
const PAGE: usize = 1 << PAGE_BITS;
const HASH: usize = 32;
/// Lengths in bytes of a `SuperBlob` with one `BlobIndex`, and of a `CodeDirectory` of version
/// 0x20400.
const SUPER_BLOB: usize = 12 + 8;
const DIRECTORY: usize = 88;

/// The result for a program's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// The signature was replaced by a new one.
    Renewed,
    /// The program has no signature, or is not a 64-bit Mach-O program.
    Absent,
    /// The signature is not of the linker's shape and was kept: it is invalid if the program was
    /// changed.
    Foreign,
}

/// Position of a signature, and its fields other than the hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Position of the signature's first byte: all bytes before it are hashed.
    offset: u32,
    size: u32,
    text_offset: u64,
    text_size: u64,
    executable: bool,
}

/// Copies a program to a writer, with a new signature.
#[derive(Debug)]
pub struct Signer<W: Write> {
    inner: W,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Collects the header and the load commands.
    Head(Vec<u8>),
    /// Copies and hashes bytes.
    Code(Box<Code>),
    /// Skips the rest of the old signature: this many bytes.
    OldSignature(u32),
    /// Copies bytes.
    Rest(Signature),
}

#[derive(Debug)]
struct Code {
    place: Place,
    /// Number of bytes hashed so far.
    position: u32,
    page: Sha256,
    hashes: Vec<u8>,
}

impl<W: Write> Signer<W> {
    /// Creates a signer that writes the program to `inner`.
    pub fn new(inner: W) -> Self {
        let state = State::Head(Vec::new());
        Self { inner, state }
    }

    /// Ends the program, and returns the writer.
    ///
    /// # Errors
    ///
    /// When writing fails, or when the program ends before its signature does.
    pub fn finish(mut self) -> io::Result<(W, Signature)> {
        let outcome = match self.state {
            State::Head(head) => {
                self.inner.write_all(&head)?;
                Signature::Absent
            }
            State::Code(_) | State::OldSignature(1..) => {
                let why = "the program ends before its signature does";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
            State::OldSignature(0) => Signature::Renewed,
            State::Rest(outcome) => outcome,
        };
        Ok((self.inner, outcome))
    }

    /// Processes the first bytes of `bytes`, and returns their number.
    fn step(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Head(head) => {
                let wanted = head_length(head).saturating_sub(head.len()).max(1);
                let (now, _) = bytes.split_at(wanted.min(bytes.len()));
                head.extend_from_slice(now);
                if head.len() >= head_length(head) {
                    let head = std::mem::take(head);
                    self.state = match find_place(&head) {
                        Ok(place) => State::Code(Box::new(Code::new(place))),
                        Err(outcome) => State::Rest(outcome),
                    };
                    self.write_all(&head)?;
                }
                Ok(now.len())
            }
            State::Code(code) => {
                let left = usize::try_from(code.place.offset - code.position).unwrap_or(usize::MAX);
                let (now, _) = bytes.split_at(left.min(bytes.len()));
                self.inner.write_all(now)?;
                code.hash(now);
                if code.position == code.place.offset {
                    self.inner.write_all(&code.signature())?;
                    self.state = State::OldSignature(code.place.size);
                }
                Ok(now.len())
            }
            State::OldSignature(0) => {
                self.state = State::Rest(Signature::Renewed);
                Ok(0)
            }
            State::OldSignature(left) => {
                let now = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(*left);
                *left -= now;
                Ok(usize::try_from(now).unwrap_or(bytes.len()))
            }
            State::Rest(_) => {
                self.inner.write_all(bytes)?;
                Ok(bytes.len())
            }
        }
    }
}

impl<W: Write> Write for Signer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.step(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Returns the length of the header and the load commands, as far as the first bytes of the
/// program tell; 0 for a program that is not supported.
fn head_length(head: &[u8]) -> usize {
    match (number(head, 0), number(head, 20)) {
        (Some(magic), _) if magic != MAGIC => 0,
        (Some(_), Some(commands)) => match usize::try_from(commands) {
            Ok(commands) if commands <= MAX_COMMANDS => HEADER + commands,
            _ => 0,
        },
        _ => HEADER,
    }
}

/// Finds the linker's signature; if there is none, returns the result for the program.
fn find_place(head: &[u8]) -> Result<Place, Signature> {
    let count = number(head, 16).unwrap_or(0);
    let is_program = number(head, 0) == Some(MAGIC) && head.len() == head_length(head);
    if !is_program {
        return Err(Signature::Absent);
    }
    let (mut text, mut signature) = (None, None);
    let mut at = HEADER;
    for _ in 0..count {
        let (Some(kind), Some(length)) = (number(head, at), number(head, at + 4)) else {
            return Err(Signature::Absent);
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // A command consists of at least its kind and its length.
        let end = at.saturating_add(length.max(8));
        let Some(command) = head.get(at..end) else {
            return Err(Signature::Absent);
        };
        match kind {
            SEGMENT if command.get(8..24) == Some(b"__TEXT\0\0\0\0\0\0\0\0\0\0") => {
                text = text.or_else(|| Some((long(command, 40)?, long(command, 48)?)));
            }
            CODE_SIGNATURE if signature.is_none() => {
                signature = number(command, 8).zip(number(command, 12));
            }
            _ => {}
        }
        at = end;
    }
    let (offset, size) = signature.ok_or(Signature::Absent)?;
    let (text_offset, text_size) = text.ok_or(Signature::Foreign)?;
    let place = Place {
        offset,
        size,
        text_offset,
        text_size,
        executable: number(head, 12) == Some(EXECUTABLE),
    };
    // A signature of another shape has another length.
    let starts_behind_head = usize::try_from(offset).is_ok_and(|offset| offset >= head.len());
    match signature_length(offset) {
        Some(length) if length == size && starts_behind_head => Ok(place),
        _ => Err(Signature::Foreign),
    }
}

/// Returns the length in bytes of a signature over `code` bytes.
fn signature_length(code: u32) -> Option<u32> {
    let pages = usize::try_from(code).ok()?.div_ceil(PAGE);
    let length = SUPER_BLOB + DIRECTORY + IDENTIFIER.len() + pages.checked_mul(HASH)?;
    u32::try_from(length).ok()
}

impl Code {
    fn new(place: Place) -> Self {
        Self {
            place,
            position: 0,
            page: Sha256::new(),
            hashes: Vec::new(),
        }
    }

    /// Hashes the next bytes, which must not go beyond the start of the signature.
    fn hash(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let within = usize::try_from(self.position).unwrap_or(0) % PAGE;
            let (now, later) = bytes.split_at((PAGE - within).min(bytes.len()));
            self.page.update(now);
            self.position = self
                .position
                .saturating_add(u32::try_from(now.len()).unwrap_or(0));
            if self.position.is_multiple_of(1 << PAGE_BITS) || self.position == self.place.offset {
                self.hashes.extend_from_slice(&self.page.finalize_reset());
            }
            bytes = later;
        }
    }

    /// Returns the signature over the bytes that were hashed.
    fn signature(&self) -> Vec<u8> {
        let as_number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let hashes = DIRECTORY + IDENTIFIER.len();
        let mut bytes = Vec::new();
        let mut put = |number: u32| bytes.extend_from_slice(&number.to_be_bytes());
        // SuperBlob: CSMAGIC_EMBEDDED_SIGNATURE, length, one blob: the CodeDirectory at its place.
        put(0xfade_0cc0);
        put(self.place.size);
        put(1);
        put(0);
        put(as_number(SUPER_BLOB));
        // CodeDirectory: CSMAGIC_CODEDIRECTORY, length, version, adhoc | linker-signed.
        put(0xfade_0c02);
        put(self.place.size - as_number(SUPER_BLOB));
        put(0x2_0400);
        put(0x2_0002);
        put(as_number(hashes));
        put(as_number(DIRECTORY));
        // No special slots; one slot for each page; the code's length.
        put(0);
        put(as_number(self.hashes.len() / HASH));
        put(self.place.offset);
        // Length and kind of a hash (SHA-256), platform, length of a page.
        put(u32::from_be_bytes([HASH as u8, 2, 0, PAGE_BITS]));
        // Spare, scatter, team, spare, and the long form of the code's length.
        for _ in 0..6 {
            put(0);
        }
        let main = u64::from(self.place.executable);
        for number in [self.place.text_offset, self.place.text_size, main] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(IDENTIFIER);
        bytes.extend_from_slice(&self.hashes);
        bytes
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*field))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*field))
}

#[cfg(test)]
mod tests;
