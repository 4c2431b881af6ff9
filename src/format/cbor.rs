//! Canonical CBOR: the encoding of `manifest.cbor`, `inventory.cbor` and `export.plan`
//! (bundle-format.md, R-10 to R-12).
//!
//! CBOR crates accept duplicate keys, unsorted keys, long heads and trailing bytes without a
//! word, and a typed decoder may read another structure out of hostile bytes than a generic one
//! does. So three steps: the bytes are walked and checked without any allocation; then they are
//! decoded into types; then the types are encoded again and must give the same bytes, which
//! proves that the decoder saw all of them and nothing else.

pub(super) mod shape;

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

use shape::Shape;

use super::Rule;
use super::hash::FileHasher;
use crate::model::{FileEntry, Limits};

/// The encoding's own rule.
const CANONICAL: Rule = Rule(10);
/// Caps that hold before anything is interpreted.
const CAPS: Rule = Rule(11);
/// What a table describes, and nothing else.
const TABLES: Rule = Rule(12);

/// Bytes that are written at a time.
const PIECE: usize = 64 << 10;

/// Why bytes are not the document they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// The bytes break the encoding's rules.
    #[error("The {document} breaks {rule} at byte {offset}: {fault}")]
    Encoding {
        /// Which document, for people.
        document: &'static str,
        /// The rule that is broken.
        rule: Rule,
        /// Where the offending item begins, in bytes from the document's start.
        offset: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The encoding is right but the content is not what the document's tables describe.
    #[error("The {document} breaks {rule}{}: {message}", At(*.offset))]
    Table {
        /// Which document, for people.
        document: &'static str,
        /// The rule that is broken.
        rule: Rule,
        /// Where, in bytes from the document's start, when the decoder knows.
        offset: Option<usize>,
        /// What is wrong, as the typed decoder says it.
        message: String,
    },
    /// A value of ours could not be written.
    #[error("The {document} cannot be encoded: {message}")]
    Unencodable {
        /// Which document, for people.
        document: &'static str,
        /// What the encoder says.
        message: String,
    },
}

impl CborError {
    /// The requirement that is broken.
    pub fn rule(&self) -> Rule {
        match self {
            Self::Encoding { rule, .. } | Self::Table { rule, .. } => *rule,
            Self::Unencodable { .. } => CANONICAL,
        }
    }
}

/// ` at byte N`, or nothing.
struct At(Option<usize>);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(offset) => write!(f, " at byte {offset}"),
            None => Ok(()),
        }
    }
}

/// How bytes break the encoding's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The document ends inside an item.
    #[error("the document ends inside an item")]
    Truncated,
    /// Bytes follow the document's item.
    #[error("bytes follow the end of the document")]
    Trailing,
    /// A head is longer than its number needs.
    #[error("a number is not written in its shortest form")]
    LongHead,
    /// An item of indefinite length.
    #[error("an item has no definite length")]
    Indefinite,
    /// Additional information 28 to 30.
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
    /// A map key that stands before a smaller one.
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
    /// A list has too many elements, alone or with others like it.
    #[error("there are more than {cap} {what}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many there may be.
        cap: u64,
    },
    /// A text or byte string is too long.
    #[error("a text of `{key}` has more than {cap} bytes")]
    TooLong {
        /// The key that it stands under.
        key: &'static str,
        /// How many bytes it may have.
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

/// Encodes a value canonically; `document` names it in errors.
///
/// # Errors
///
/// When the value's fields are not declared in canonical order, or hold what R-10 forbids.
pub fn encode<T: Serialize>(value: &T, document: &'static str) -> Result<Vec<u8>, CborError> {
    let mut bytes = Vec::new();
    write(value, &mut bytes, document)?;
    check(&bytes, document)?;
    Ok(bytes)
}

/// Length and hashes of what [`write()`] writes, which is never in memory: the plan of a hundred
/// thousand blobs has 40 MiB.
///
/// # Errors
///
/// As [`write()`].
pub fn measure<T: Serialize>(value: &T, document: &'static str) -> Result<FileEntry, CborError> {
    let mut hasher = FileHasher::new();
    write(value, &mut hasher, document)?;
    Ok(hasher.finish().into_file())
}

/// Writes what [`encode`] would give, piece by piece. That the encoding is canonical is not
/// checked.
///
/// # Errors
///
/// Those of `out`, or when the value holds what CBOR cannot say.
pub fn write<T: Serialize>(
    value: &T,
    out: impl io::Write,
    document: &'static str,
) -> Result<(), CborError> {
    // The encoder hands over a few bytes at a time.
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

/// Decodes a document whose bytes must be canonical and must say what `T` describes, no more.
///
/// # Errors
///
/// Names the rule and, where it is known, the byte.
pub fn decode<T>(bytes: &[u8], document: &'static str) -> Result<T, CborError>
where
    T: DeserializeOwned + Serialize,
{
    check(bytes, document)?;
    decode_checked(bytes, document)
}

/// Second and third step of [`decode`], for bytes that [`check`] accepted.
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
        message: "the text stands in another form, or holds more, than it should".to_owned(),
    })
}

/// Decodes a part of a document that [`check`] accepted, ignoring what `T` does not name: the
/// keys that decide how to read the others.
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

/// A writer that accepts exactly the bytes that it was given.
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

/// Checks the caps on what a document of this shape may hold, for bytes that [`check`] accepted.
/// Allocates nothing.
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

/// A fault and where the item begins that has it.
type Found<T> = Result<T, (usize, Fault)>;

/// Walks over the items of a document.
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

    /// Walks over one item. The recursion is as deep as the cap on nesting.
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
            // Major type 7: `head` lets only `false` and `true` through.
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
            // The order is that of the encodings, heads included.
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

    /// Reads an item's head: its major type and its argument. Counts the item.
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

    /// Refuses a count that the rest of the document cannot hold: every item has a byte.
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
