//! Canonical CBOR: the encoding of `manifest.cbor`, `inventory.cbor` and `export.plan`
//! (bundle-format.md, R-10 to R-12).
//!
//! CBOR crates silently accept duplicate keys, unsorted keys, heads that are too long, and
//! trailing bytes; and a typed decoder may read hostile bytes differently than a generic one.
//! Reading therefore takes three steps: check the bytes without any allocation; decode them into
//! types; encode the types again, which must give the same bytes. The last step proves that the
//! decoder used every byte.

pub(super) mod shape;

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

use shape::Shape;

use super::Rule;
use super::hash::FileHasher;
use crate::model::{FileEntry, Limits};

/// The rule about the canonical encoding itself.
const CANONICAL: Rule = Rule(10);
/// The rule about limits that are checked before anything is interpreted.
const CAPS: Rule = Rule(11);
/// The rule that a document holds what its tables describe and nothing else.
const TABLES: Rule = Rule(12);

/// Buffer size for writing, in bytes.
const PIECE: usize = 64 << 10;

/// The reason why bytes are not a valid document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// The bytes break the encoding's rules.
    #[error("The {document} breaks {rule} at byte {offset}: {fault}")]
    Encoding {
        /// Name of the document, for messages.
        document: &'static str,
        /// The rule that is broken.
        rule: Rule,
        /// Offset of the offending item from the document's start, in bytes.
        offset: usize,
        /// The fault of the item.
        fault: Fault,
    },
    /// The encoding is right, but the content does not fit the document's tables.
    #[error("The {document} breaks {rule}{}: {message}", At(*.offset))]
    Table {
        /// Name of the document, for messages.
        document: &'static str,
        /// The rule that is broken.
        rule: Rule,
        /// Offset from the document's start, in bytes, if the decoder reports it.
        offset: Option<usize>,
        /// The typed decoder's message.
        message: String,
    },
    /// A value of this program could not be encoded.
    #[error("The {document} cannot be encoded: {message}")]
    Unencodable {
        /// Name of the document, for messages.
        document: &'static str,
        /// The encoder's message.
        message: String,
    },
}

impl CborError {
    /// The rule that is broken.
    pub fn rule(&self) -> Rule {
        match self {
            Self::Encoding { rule, .. } | Self::Table { rule, .. } => *rule,
            Self::Unencodable { .. } => CANONICAL,
        }
    }
}

/// Displays as ` at byte N`, or as nothing.
struct At(Option<usize>);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(offset) => write!(f, " at byte {offset}"),
            None => Ok(()),
        }
    }
}

/// The way in which bytes break the rules of the encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The document ends inside an item.
    #[error("the document ends inside an item")]
    Truncated,
    /// Bytes follow the document's item.
    #[error("bytes follow the end of the document")]
    Trailing,
    /// A head is longer than its number needs: not the shortest form.
    #[error("a number is not written in its shortest form")]
    LongHead,
    /// An item of indefinite length.
    #[error("an item has no definite length")]
    Indefinite,
    /// Additional information 28 to 30, which RFC 8949 reserves.
    #[error("the head is reserved by RFC 8949")]
    Reserved,
    /// A negative integer.
    #[error("negative numbers are not used")]
    Negative,
    /// A tag.
    #[error("tags are not used")]
    Tag,
    /// `null`, `undefined`, a floating-point number, or another simple value.
    #[error("null, undefined, floating-point numbers and simple values are not used")]
    Simple,
    /// A text that is not UTF-8.
    #[error("a text is not valid UTF-8")]
    Utf8,
    /// A map key that is not a text.
    #[error("a map key is not a text")]
    KeyKind,
    /// A map key that is followed by a smaller one.
    #[error("the keys of a map are not in canonical order")]
    KeyOrder,
    /// A key twice in a map.
    #[error("a map has the same key twice")]
    DuplicateKey,
    /// Items are nested too deeply.
    #[error("items are nested deeper than {} levels", Limits::CBOR_DEPTH)]
    Depth,
    /// Too many items.
    #[error("the document has more than {} items", Limits::CBOR_ITEMS)]
    Items,
    /// The elements of a list, or of all lists of its kind together, are too many.
    #[error("there are more than {cap} {what}")]
    TooMany {
        /// Name of the elements that are counted.
        what: &'static str,
        /// Largest allowed number.
        cap: u64,
    },
    /// A text or byte string is too long.
    #[error("a text of `{key}` has more than {cap} bytes")]
    TooLong {
        /// The key whose value is too long.
        key: &'static str,
        /// Largest allowed length in bytes.
        cap: u64,
    },
}

impl Fault {
    fn rule(self) -> Rule {
        match self {
            Self::Depth | Self::Items | Self::TooMany { .. } | Self::TooLong { .. } => CAPS,
            _ => CANONICAL,
        }
    }
}

/// Encodes a value canonically; `document` is its name in error messages.
///
/// # Errors
///
/// If the fields of `T` are not declared in canonical order, or the value holds an item that R-10
/// forbids.
pub fn encode<T: Serialize>(value: &T, document: &'static str) -> Result<Vec<u8>, CborError> {
    let mut bytes = Vec::new();
    write(value, &mut bytes, document)?;
    check(&bytes, document)?;
    Ok(bytes)
}

/// Returns length and hashes of what [`write()`] writes, without ever holding it in memory: the
/// plan for a hundred thousand blobs has 40 MiB.
///
/// # Errors
///
/// As [`write()`].
pub fn measure<T: Serialize>(value: &T, document: &'static str) -> Result<FileEntry, CborError> {
    let mut hasher = FileHasher::new();
    write(value, &mut hasher, document)?;
    Ok(hasher.finish().into_file())
}

/// Writes the bytes that [`encode`] would return, as a stream, without the check that the
/// encoding is canonical.
///
/// # Errors
///
/// Errors of `out`, or that the value cannot be expressed in CBOR.
pub fn write<T: Serialize>(
    value: &T,
    out: impl io::Write,
    document: &'static str,
) -> Result<(), CborError> {
    // Buffered, because the encoder writes a few bytes at a time.
    let mut out = io::BufWriter::with_capacity(PIECE, out);
    ciborium::into_writer(value, &mut out).map_err(|error| unencodable(document, error))?;
    io::Write::flush(&mut out).map_err(|error| unencodable(document, error))
}

fn unencodable(document: &'static str, error: impl std::fmt::Display) -> CborError {
    CborError::Unencodable {
        document,
        message: error.to_string(),
    }
}

/// Decodes a document whose bytes must be canonical and hold exactly what `T` describes.
///
/// # Errors
///
/// Names the rule and, if it is known, the offset of the byte.
pub fn decode<T>(bytes: &[u8], document: &'static str) -> Result<T, CborError>
where
    T: DeserializeOwned + Serialize,
{
    check(bytes, document)?;
    decode_checked(bytes, document)
}

/// Decodes into types and compares with the re-encoded value: the second and third step of
/// [`decode`], for bytes that [`check`] accepted.
pub(super) fn decode_checked<T>(bytes: &[u8], document: &'static str) -> Result<T, CborError>
where
    T: DeserializeOwned + Serialize,
{
    let value: T = peek(bytes, document)?;
    let mut same = SameBytes { rest: bytes };
    let whole = ciborium::into_writer(&value, &mut same).is_ok() && same.rest.is_empty();
    if whole {
        return Ok(value);
    }
    Err(CborError::Table {
        document,
        rule: TABLES,
        offset: Some(bytes.len().saturating_sub(same.rest.len())),
        message: "a value is not in its canonical form, or has unknown keys".to_owned(),
    })
}

/// Decodes part of a document that [`check`] accepted and ignores the keys that `T` does not
/// name. Used for the keys that decide how the others are read.
pub(super) fn peek<T: DeserializeOwned>(
    bytes: &[u8],
    document: &'static str,
) -> Result<T, CborError> {
    use ciborium::de::Error;

    ciborium::from_reader(bytes).map_err(|error| {
        let (offset, message) = match error {
            Error::Semantic(offset, message) => (offset, message),
            Error::Syntax(offset) => (Some(offset), "the item has another type".to_owned()),
            Error::Io(_) => (None, "the document is too short".to_owned()),
            Error::RecursionLimitExceeded => (None, "the nesting is too deep".to_owned()),
        };
        let (rule, message) = match Rule::strip(&message) {
            Some((rule, rest)) => (rule, rest.to_owned()),
            None => (TABLES, message),
        };
        CborError::Table {
            document,
            rule,
            offset,
            message,
        }
    })
}

/// A writer that fails unless it is given exactly the bytes in `rest`.
struct SameBytes<'a> {
    rest: &'a [u8],
}

impl io::Write for SameBytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.rest.strip_prefix(bytes) {
            Some(rest) => {
                self.rest = rest;
                Ok(bytes.len())
            }
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Checks R-10 and the caps of R-11 on the bytes alone. Allocates nothing.
///
/// # Errors
///
/// Names the first offending item.
pub fn check(bytes: &[u8], document: &'static str) -> Result<(), CborError> {
    let mut walker = Walker {
        bytes,
        position: 0,
        items: 0,
    };
    walker.document().map_err(|found| refusal(document, found))
}

/// Checks the limits on lists and texts of a document of this shape, for bytes that [`check`]
/// accepted. Allocates nothing.
///
/// # Errors
///
/// Names the first list or text that is too long.
pub(super) fn check_shape(
    bytes: &[u8],
    shape: &'static Shape,
    document: &'static str,
) -> Result<(), CborError> {
    shape::check(bytes, shape).map_err(|found| refusal(document, found))
}

fn refusal(document: &'static str, (offset, fault): (usize, Fault)) -> CborError {
    CborError::Encoding {
        document,
        rule: fault.rule(),
        offset,
        fault,
    }
}

/// A result whose error is a fault and the offset of the item that has it.
type Found<T> = Result<T, (usize, Fault)>;

/// Walks through the items of a document.
struct Walker<'a> {
    bytes: &'a [u8],
    position: usize,
    items: u64,
}

/// Major types of RFC 8949, section 3.1.
mod major {
    pub(super) const UNSIGNED: u8 = 0;
    pub(super) const NEGATIVE: u8 = 1;
    pub(super) const BYTES: u8 = 2;
    pub(super) const TEXT: u8 = 3;
    pub(super) const ARRAY: u8 = 4;
    pub(super) const MAP: u8 = 5;
    pub(super) const TAG: u8 = 6;
}

impl<'a> Walker<'a> {
    fn document(&mut self) -> Found<()> {
        self.item(1)?;
        if self.position < self.bytes.len() {
            return Err((self.position, Fault::Trailing));
        }
        Ok(())
    }

    /// Walks through one item. The recursion is limited by the cap on nesting.
    fn item(&mut self, depth: usize) -> Found<()> {
        let start = self.position;
        if depth > Limits::CBOR_DEPTH {
            return Err((start, Fault::Depth));
        }
        let (major, argument) = self.head()?;
        match major {
            major::UNSIGNED => Ok(()),
            major::BYTES => self.take(start, argument).map(|_| ()),
            major::TEXT => self.text(start, argument).map(|_| ()),
            major::ARRAY => {
                self.room_for(start, argument)?;
                for _ in 0..argument {
                    self.item(depth + 1)?;
                }
                Ok(())
            }
            major::MAP => self.map(start, argument, depth),
            major::NEGATIVE => Err((start, Fault::Negative)),
            major::TAG => Err((start, Fault::Tag)),
            // Major type 7: `head` accepts only `false` and `true`.
            _ => Ok(()),
        }
    }

    fn map(&mut self, start: usize, pairs: u64, depth: usize) -> Found<()> {
        self.room_for(start, pairs.saturating_mul(2))?;
        let mut previous: Option<&'a [u8]> = None;
        for _ in 0..pairs {
            let start = self.position;
            if depth >= Limits::CBOR_DEPTH {
                return Err((start, Fault::Depth));
            }
            let (major, length) = self.head()?;
            if major != major::TEXT {
                return Err((start, Fault::KeyKind));
            }
            self.text(start, length)?;
            // Keys are ordered by their encodings, heads included.
            let key = self.bytes.get(start..self.position).unwrap_or_default();
            match previous.map(|previous| previous.cmp(key)) {
                Some(std::cmp::Ordering::Equal) => return Err((start, Fault::DuplicateKey)),
                Some(std::cmp::Ordering::Greater) => return Err((start, Fault::KeyOrder)),
                Some(std::cmp::Ordering::Less) | None => {}
            }
            previous = Some(key);
            self.item(depth + 1)?;
        }
        Ok(())
    }

    /// Reads an item's head: major type and argument. Counts the item.
    fn head(&mut self) -> Found<(u8, u64)> {
        let start = self.position;
        self.items += 1;
        if self.items > Limits::CBOR_ITEMS {
            return Err((start, Fault::Items));
        }
        let first = *self.bytes.get(start).ok_or((start, Fault::Truncated))?;
        self.position = start + 1;
        let (major, information) = (first >> 5, first & 0x1f);
        if major == 7 {
            return match information {
                20 | 21 => Ok((major, 0)),
                31 => Err((start, Fault::Indefinite)),
                28..=30 => Err((start, Fault::Reserved)),
                _ => Err((start, Fault::Simple)),
            };
        }
        let (width, least) = match information {
            0..=23 => return Ok((major, u64::from(information))),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            31 => return Err((start, Fault::Indefinite)),
            _ => return Err((start, Fault::Reserved)),
        };
        let argument = self
            .take(start, width)?
            .iter()
            .fold(0u64, |number, byte| (number << 8) | u64::from(*byte));
        if argument < least {
            return Err((start, Fault::LongHead));
        }
        Ok((major, argument))
    }

    fn text(&mut self, start: usize, length: u64) -> Found<()> {
        let text = self.take(start, length)?;
        match std::str::from_utf8(text) {
            Ok(_) => Ok(()),
            Err(_) => Err((start, Fault::Utf8)),
        }
    }

    /// Takes the next `length` bytes of the item that begins at `start`.
    fn take(&mut self, start: usize, length: u64) -> Found<&'a [u8]> {
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| self.position.checked_add(length))
            .and_then(|end| Some((self.bytes.get(self.position..end)?, end)));
        match taken {
            Some((bytes, end)) => {
                self.position = end;
                Ok(bytes)
            }
            None => Err((start, Fault::Truncated)),
        }
    }

    /// Refuses a count that the rest of the document cannot hold: every item takes at least one
    /// byte.
    fn room_for(&self, start: usize, items: u64) -> Found<()> {
        let rest = self.bytes.len().saturating_sub(self.position);
        if items > rest as u64 {
            return Err((start, Fault::Truncated));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
