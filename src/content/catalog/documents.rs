//! Splits a catalog file into its documents, with one in memory at a time.
//!
//! A file is a stream of JSON objects, of YAML documents, or of both, regardless of its name; `opm`
//! and OLM read it that way. A JSON object ends with its closing brace. A YAML document ends before
//! a line that begins with `---` or `...`: such a line cannot be part of a scalar, not even of a
//! block scalar (YAML 1.2.2, section 9.1.2), so no parser is needed to find it.
//!
//! The last of several equal keys wins, as in `opm` (`sigs.k8s.io/yaml` and Go's `encoding/json`);
//! the document reports it, for a warning. A byte order mark may begin every document. Bytes in
//! JSON that are not UTF-8 are replaced as Go replaces them; in YAML they are refused, as in `opm`.

use std::io::Read;
use std::sync::Arc;

use serde_json::Value;

use super::{CatalogError, CatalogLimits, Place};
use crate::encoding::yaml::{self, Duplicates, YamlError, YamlLimits};

/// The UTF-8 byte order mark.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Number of bytes read at once.
const BUFFER: usize = 256 << 10;

/// A document, as one JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// File and number of the document.
    pub place: Place,
    /// The document as JSON: verbatim if it is written in JSON, else converted from YAML.
    pub json: String,
    /// A duplicate key in one of its YAML maps. Duplicates in JSON are found when an object is
    /// parsed.
    pub repeated_key: Option<String>,
}

/// The documents of one file, in order. Ends after the first error.
#[derive(Debug)]
pub struct Documents<R> {
    reader: R,
    file: Arc<str>,
    number: u64,
    /// Bytes that were read and are not yet part of a returned document.
    buffer: Vec<u8>,
    /// Start of these bytes in `buffer`.
    start: usize,
    at_end: bool,
    failed: bool,
}

impl<R: Read> Documents<R> {
    /// A reader of a file's documents; `file` is its path below the catalog's directory.
    pub fn new(file: &str, reader: R) -> Self {
        Self {
            reader,
            file: Arc::from(file),
            number: 0,
            buffer: Vec::new(),
            start: 0,
            at_end: false,
            failed: false,
        }
    }

    fn place(&self) -> Place {
        Place {
            file: Arc::clone(&self.file),
            table: None,
            number: self.number,
        }
    }

    fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Reads more. Returns false at the end of the file.
    fn fill(&mut self) -> Result<bool, CatalogError> {
        if self.at_end {
            return Ok(false);
        }
        if self.pending().len() > CatalogLimits::DOCUMENT {
            return Err(CatalogError::Limit {
                place: self.place(),
                what: "its length in bytes",
                limit: CatalogLimits::DOCUMENT as u64,
            });
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let mut part = (&mut self.reader).take(BUFFER as u64);
        let read = part
            .read_to_end(&mut self.buffer)
            .map_err(|source| CatalogError::Read {
                file: self.file.to_string(),
                source,
            })?;
        self.at_end = read == 0;
        Ok(!self.at_end)
    }

    fn next_document(&mut self) -> Result<Option<Document>, CatalogError> {
        self.number = self.number.saturating_add(1);
        loop {
            let Some(first) = self.skip_to_content()? else {
                return Ok(None);
            };
            let length = match first {
                b'{' => self.json_object()?,
                _ => self.yaml_document()?,
            };
            let end = self.start.saturating_add(length);
            let bytes = self.buffer.get(self.start..end).unwrap_or_default();
            let place = self.place();
            let document = read_document(bytes, place)?;
            self.start = end;
            if document.is_some() {
                return Ok(document);
            }
        }
    }

    /// Skips what may precede a document: blank lines, comments, directives, markers, and a byte
    /// order mark. Returns the document's first byte that is not whitespace; `None` at the end of
    /// the file.
    fn skip_to_content(&mut self) -> Result<Option<u8>, CatalogError> {
        loop {
            let pending = self.pending();
            let newline = memchr::memchr(b'\n', pending);
            if newline.is_none() && !pending.starts_with(b"{") && self.fill()? {
                continue;
            }
            let pending = self.pending();
            let line = newline.and_then(|at| pending.get(..at)).unwrap_or(pending);
            if line.starts_with(MARK) {
                self.start = self.start.saturating_add(MARK.len());
                continue;
            }
            let text = line.trim_ascii();
            let skipped = match text.first() {
                // The last line may lack a newline.
                None | Some(b'#') => (line.len() + 1).min(pending.len()),
                Some(b'{') => line.len() - line.trim_ascii_start().len(),
                Some(b'%') if line.starts_with(b"%") => (line.len() + 1).min(pending.len()),
                // The document may begin on the marker's line.
                _ if is_marker(line, b"---") || is_marker(line, b"...") => 3,
                Some(first) => return Ok(Some(*first)),
            };
            if skipped == 0 {
                return Ok(text.first().copied());
            }
            self.start = self.start.saturating_add(skipped);
        }
    }

    /// Length of the JSON object that begins here; up to the end of the file if it is not closed.
    fn json_object(&mut self) -> Result<usize, CatalogError> {
        let mut scan = JsonScan::default();
        loop {
            if let Some(length) = scan.advance(self.pending()) {
                return Ok(length);
            }
            if scan.depth > CatalogLimits::DEPTH {
                return Err(CatalogError::Limit {
                    place: self.place(),
                    what: "its nesting",
                    limit: CatalogLimits::DEPTH as u64,
                });
            }
            if !self.fill()? {
                return Ok(self.pending().len());
            }
        }
    }

    /// Length of the YAML document that begins here: up to a marker or the end of the file.
    fn yaml_document(&mut self) -> Result<usize, CatalogError> {
        let mut line = 0_usize;
        loop {
            let rest = self.pending().get(line..).unwrap_or_default();
            if is_marker(rest, b"---") || is_marker(rest, b"...") {
                return Ok(line);
            }
            match memchr::memchr(b'\n', rest) {
                Some(at) => line = line.saturating_add(at + 1),
                None if self.fill()? => {}
                None => return Ok(self.pending().len()),
            }
        }
    }
}

impl<R: Read> Iterator for Documents<R> {
    type Item = Result<Document, CatalogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_document().transpose();
        self.failed = !matches!(next, Some(Ok(_)));
        next
    }
}

/// True if a line is a document marker: alone, or followed by whitespace.
fn is_marker(line: &[u8], marker: &[u8]) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

/// Finds the closing brace of an object that may span several buffers.
#[derive(Debug, Default)]
struct JsonScan {
    /// Number of bytes scanned.
    at: usize,
    depth: usize,
    in_string: bool,
}

impl JsonScan {
    /// Continues in `bytes`, which begins with the object. Returns the object's length once its end
    /// is found.
    fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        while let Some(rest) = bytes.get(self.at..).filter(|rest| !rest.is_empty()) {
            if self.in_string {
                let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
                    self.at = bytes.len();
                    return None;
                };
                if rest.get(found) == Some(&b'\\') {
                    // The escaped byte may not have been read yet.
                    rest.get(found + 1)?;
                    self.at += found + 2;
                } else {
                    self.at += found + 1;
                    self.in_string = false;
                }
                continue;
            }
            let special = |b: &u8| matches!(b, b'"' | b'{' | b'}' | b'[' | b']');
            let Some(found) = rest.iter().position(special) else {
                self.at = bytes.len();
                return None;
            };
            self.at += found + 1;
            match rest.get(found) {
                Some(b'"') => self.in_string = true,
                Some(b'{' | b'[') => {
                    self.depth += 1;
                    if self.depth > CatalogLimits::DEPTH {
                        return None;
                    }
                }
                _ => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(self.at);
                    }
                }
            }
        }
        None
    }
}

/// Parses a document; `None` for an empty one.
fn read_document(bytes: &[u8], place: Place) -> Result<Option<Document>, CatalogError> {
    let syntax = |message: String| CatalogError::Syntax {
        place: place.clone(),
        message,
    };
    if bytes.len() > CatalogLimits::DOCUMENT {
        return Err(CatalogError::Limit {
            place: place.clone(),
            what: "its length in bytes",
            limit: CatalogLimits::DOCUMENT as u64,
        });
    }
    let text = String::from_utf8_lossy(bytes);
    let json = text.starts_with('{').then(|| is_json(&text));
    if let Some(Ok(())) = json {
        let json = text.into_owned();
        return Ok(Some(Document {
            place,
            json,
            repeated_key: None,
        }));
    }
    if matches!(text, std::borrow::Cow::Owned(_)) {
        return Err(syntax("it is not UTF-8".to_owned()));
    }
    let limits = YamlLimits {
        bytes: CatalogLimits::DOCUMENT as u64,
        nodes: CatalogLimits::NODES,
        depth: CatalogLimits::DEPTH,
    };
    let parsed = |duplicates| yaml::documents(text.as_bytes(), &limits, duplicates);
    let mut repeated_key = None;
    let values: Result<Vec<Value>, YamlError> = match parsed(Duplicates::Refuse) {
        Err(YamlError::Duplicate { key, .. }) => {
            repeated_key = Some(key.unwrap_or_default());
            parsed(Duplicates::LastCounts)
        }
        parsed => parsed,
    };
    let values = values.map_err(|error| {
        let source = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        // A document that begins with a brace was most likely meant to be JSON.
        match json {
            Some(Err(error)) => syntax(error.to_string()),
            _ => syntax(format!("{error}{}", source.unwrap_or_default())),
        }
    })?;
    let mut values = values.into_iter().filter(|value| !value.is_null());
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(mut value), None) => {
            write_whole_numbers(&mut value);
            Ok(Some(Document {
                place: place.clone(),
                json: value.to_string(),
                repeated_key,
            }))
        }
        (Some(_), Some(_)) => Err(syntax(
            "it has two documents where one was expected".to_owned(),
        )),
    }
}

/// Converts whole numbers that were read as floats, such as `1e3`, to integers: Go writes them as
/// integers, and does not read `1000.0` into an integer field.
fn write_whole_numbers(value: &mut Value) {
    /// From here on, floats do not represent every integer.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            let whole = number
                .as_f64()
                .filter(|n| n.fract() == 0.0 && n.abs() < EXACT);
            if let Some(whole) = whole {
                *value = Value::from(whole as i64);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(write_whole_numbers),
        Value::Object(values) => values.values_mut().for_each(write_whole_numbers),
        _ => {}
    }
}

/// Checks that a text is JSON, without keeping the values.
fn is_json(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map(|_| ())
}
