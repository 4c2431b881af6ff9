//! Writes values into a release's tools: the release that they install, and their own version.
//!
//! Tools are built before their release exists. Their binaries have markers: a zero byte, a name,
//! a zero byte, a run of `X`, a zero byte. A value overwrites the first marker of its name from
//! the marker's first byte on, and ends with a zero byte (docs/oc-compatibility.md, section 3.2).
//! The length of the file stays the same.

use std::fmt;
use std::io::{self, Write};

/// Number of bytes that are searched at once.
const WINDOW: usize = 256 << 10;

/// The place for a value in a binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Marker {
    /// The pull spec of the release image.
    ReleaseImage,
    /// The release's version.
    ReleaseVersion,
    /// The release's architectures.
    ReleaseArchitecture,
}

impl Marker {
    /// Returns the marker's name in the binary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReleaseImage => "_RELEASE_IMAGE_LOCATION_",
            Self::ReleaseVersion => "_RELEASE_VERSION_LOCATION_",
            Self::ReleaseArchitecture => "_RELEASE_ARCHITECTURE_LOCATION_",
        }
    }

    /// Returns the length of the run of `X`.
    const fn room(self) -> usize {
        match self {
            Self::ReleaseImage => 300,
            Self::ReleaseVersion | Self::ReleaseArchitecture => 64,
        }
    }

    /// Returns the bytes of the whole marker.
    fn bytes(self) -> Vec<u8> {
        let run = "X".repeat(self.room());
        format!("\0{}\0{run}\0", self.name()).into_bytes()
    }

    /// Returns the length in bytes of the longest value that fits.
    pub const fn longest(self) -> usize {
        self.name().len() + self.room() + 2
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error for a value that does not fit into its marker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` has {} bytes; at most {} fit into the program (marker `{marker}`)",
    value.escape_debug(), value.len(), marker.longest()
)]
pub struct ValueTooLong {
    /// The marker.
    pub marker: Marker,
    /// The value that is too long.
    pub value: String,
}

/// A value with its marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    marker: Marker,
    value: String,
}

impl Patch {
    /// Pairs a value with a marker.
    ///
    /// # Errors
    ///
    /// When the value is too long.
    pub fn new(marker: Marker, value: impl Into<String>) -> Result<Self, ValueTooLong> {
        let value = value.into();
        if value.len() > marker.longest() {
            return Err(ValueTooLong { marker, value });
        }
        Ok(Self { marker, value })
    }

    /// Returns the marker.
    pub fn marker(&self) -> Marker {
        self.marker
    }
}

/// Copies a binary to a writer, and replaces markers by values.
#[derive(Debug)]
pub struct Patcher<W: Write> {
    inner: W,
    /// Patches whose markers were not found yet, each with the bytes of its marker.
    pending: Vec<(Patch, Vec<u8>)>,
    buffer: Vec<u8>,
}

impl<W: Write> Patcher<W> {
    /// Creates a patcher that writes the binary to `inner`.
    pub fn new(inner: W, patches: Vec<Patch>) -> Self {
        let pending = patches.into_iter().map(|patch| {
            let bytes = patch.marker.bytes();
            (patch, bytes)
        });
        Self {
            inner,
            pending: pending.collect(),
            buffer: Vec::new(),
        }
    }

    /// Ends the binary, and returns the markers that were not found.
    ///
    /// # Errors
    ///
    /// When writing fails.
    pub fn finish(mut self) -> io::Result<(W, Vec<Marker>)> {
        self.search();
        self.inner.write_all(&self.buffer)?;
        let missing = self.pending.iter().map(|(patch, _)| patch.marker);
        Ok((self.inner, missing.collect()))
    }

    /// Replaces the markers that are in the buffer.
    fn search(&mut self) {
        let buffer = &mut self.buffer;
        self.pending.retain(|(patch, marker)| {
            let Some(at) = find(buffer, marker) else {
                return true;
            };
            let value = patch.value.bytes().chain([0]);
            for (slot, byte) in buffer.iter_mut().skip(at).zip(value) {
                *slot = byte;
            }
            false
        });
    }
}

/// Returns the position of `needle`, which must begin with a zero byte and `_`. Looks for `_`
/// first, because it is less frequent in binaries than zero bytes.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 1;
    loop {
        let rest = bytes.get(from..)?;
        let at = from + rest.iter().position(|byte| *byte == b'_')?;
        if bytes.get(at - 1..)?.starts_with(needle) {
            return Some(at - 1);
        }
        from = at + 1;
    }
}

impl<W: Write> Write for Patcher<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.pending.is_empty() && self.buffer.is_empty() {
            return self.inner.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WINDOW {
            self.search();
            // A marker may begin in these bytes and end in the next ones.
            let kept = self.pending.iter().map(|(_, marker)| marker.len() - 1);
            let kept = kept.max().unwrap_or(0).min(self.buffer.len());
            let done = self.buffer.len() - kept;
            self.inner
                .write_all(self.buffer.get(..done).unwrap_or_default())?;
            self.buffer.drain(..done);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(input: &[u8], patches: &[(Marker, &str)], piece: usize) -> (Vec<u8>, Vec<Marker>) {
        let patches = patches
            .iter()
            .map(|(marker, value)| Patch::new(*marker, *value).unwrap());
        let mut patcher = Patcher::new(Vec::new(), patches.collect());
        for piece in input.chunks(piece) {
            patcher.write_all(piece).unwrap();
        }
        patcher.finish().unwrap()
    }

    #[test]
    fn markers_have_the_lengths_of_the_reference() {
        for (marker, second_zero, total) in [
            (Marker::ReleaseImage, 25, 327),
            (Marker::ReleaseVersion, 27, 93),
            (Marker::ReleaseArchitecture, 32, 98),
        ] {
            let bytes = marker.bytes();
            assert_eq!(bytes.len(), total, "{marker}");
            assert_eq!((bytes[0], bytes[second_zero]), (0, 0), "{marker}");
            assert_eq!(bytes[second_zero + 1], b'X', "{marker}");
            assert_eq!(marker.longest(), total - 1, "{marker}");
        }
    }

    #[test]
    fn the_first_marker_is_replaced_wherever_it_stands() {
        let marker = Marker::ReleaseVersion.bytes();
        let rest = &marker[5..];
        for before in [
            0,
            1,
            WINDOW - 94,
            WINDOW - 93,
            WINDOW - 92,
            WINDOW - 50,
            WINDOW - 1,
            WINDOW,
            3 * WINDOW + 7,
        ] {
            let tail = [b"__\0_".as_slice(), &marker, &vec![0; WINDOW]].concat();
            let input = [&vec![b'_'; before], marker.as_slice(), &tail].concat();
            let expected = [&vec![b'_'; before], b"4.5.".as_slice(), &[0], rest, &tail].concat();
            for piece in [4096, 1000, usize::MAX] {
                let (found, missing) = patch(&input, &[(Marker::ReleaseVersion, "4.5.")], piece);
                assert!(
                    found == expected,
                    "{before} bytes before, pieces of {piece}"
                );
                assert_eq!(missing, []);
            }
        }
    }

    #[test]
    fn what_is_missing_is_named_and_the_rest_is_unchanged() {
        let image = Marker::ReleaseImage.bytes();
        let mut broken = Marker::ReleaseVersion.bytes();
        broken[50] = b'Y';
        let input = [image.as_slice(), &broken].concat();
        let longest = "v".repeat(Marker::ReleaseImage.longest());
        let wanted = [
            (Marker::ReleaseVersion, "4.5.6"),
            (Marker::ReleaseImage, &longest),
        ];
        let (found, missing) = patch(&input, &wanted, 10);
        assert_eq!(missing, [Marker::ReleaseVersion]);
        let expected = [longest.as_bytes(), &[0], &broken].concat();
        assert_eq!(found, expected);
        assert_eq!(patch(b"", &[], 1), (Vec::new(), Vec::new()));
    }

    #[test]
    fn long_values_are_refused() {
        for marker in [Marker::ReleaseImage, Marker::ReleaseArchitecture] {
            let value = "v".repeat(marker.longest() + 1);
            let error = Patch::new(marker, value).unwrap_err();
            assert!(error.to_string().contains(marker.name()), "{error}");
        }
    }
}
