//! Sizes in bytes, in the form that people write and read.

use std::fmt;
use std::str::FromStr;

/// The error for a text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a size: write bytes, a number with KiB, MiB, GiB, TiB (or kB, MB, GB, TB), or one of cd, dvd, dvd-dl, bd25, bd50, bd100, fat32", .0.escape_debug())]
pub struct SizeError(String);

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Named sizes: the longest file that FAT32 allows, and the capacities of discs. Of a disc's user
/// data area at least 2 % are left for its file system.
const NAMED: [(&str, u64); 7] = [
    ("fat32", 4 * 1024 * 1024 * 1024 - 1),
    ("cd", 688_000_000),
    ("dvd", 4_605_000_000),
    ("dvd-dl", 8_370_000_000),
    ("bd25", 24_520_000_000),
    ("bd50", 49_040_000_000),
    ("bd100", 98_100_000_000),
];

/// Units that `FromStr` accepts, with their factors.
const UNITS: [(&str, u64); 13] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("b", 1),
];

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let refused = || SizeError(text.chars().take(40).collect());
        let lower = text.trim().to_ascii_lowercase();
        if let Some((_, size)) = NAMED.iter().find(|(name, _)| *name == lower) {
            return Ok(Self(*size));
        }
        let (number, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| lower.strip_suffix(unit).map(|n| (n.trim_end(), *factor)))
            .unwrap_or((lower.as_str(), 1));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
            return Err(refused());
        }
        let whole: u128 = whole.parse().map_err(|_| refused())?;
        let scale = 10u128.pow(u32::try_from(fraction.len()).map_err(|_| refused())?);
        let fraction: u128 = if fraction.is_empty() {
            0
        } else {
            fraction.parse().map_err(|_| refused())?
        };
        let bytes = whole
            .checked_mul(scale)
            .and_then(|n| n.checked_add(fraction))
            .and_then(|n| n.checked_mul(u128::from(factor)))
            .map(|n| n / scale)
            .ok_or_else(refused)?;
        u64::try_from(bytes).map(Self).map_err(|_| refused())
    }
}

impl fmt::Display for ByteSize {
    /// Prints bytes below 1 KiB, else a binary unit: with one decimal below 100, without from
    /// there on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        // Integer arithmetic in tenths, rounded: the output must not depend on floating point.
        let mut unit = 0;
        let mut tenths = (u128::from(self.0) * 10 + 512) / 1024;
        while tenths >= 10_240 && unit + 1 < NAMES.len() {
            tenths = (tenths + 512) / 1024;
            unit += 1;
        }
        if tenths >= 1000 {
            write!(f, "{} {}", (tenths + 5) / 10, NAMES[unit])
        } else {
            write!(f, "{}.{} {}", tenths / 10, tenths % 10, NAMES[unit])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_units_names_and_fractions() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1GiB", 1 << 30),
            ("1 gib", 1 << 30),
            ("1.5MiB", 3 << 19),
            ("2G", 2 << 30),
            ("10MB", 10_000_000),
            ("fat32", 4_294_967_295),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap().0, bytes, "{text}");
        }
        for bad in [
            "",
            "GiB",
            "-1",
            "1.2.3",
            "1e9",
            "99999999999TiB",
            "1 parsec",
            ".5GiB",
        ] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn prints_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1 << 20, "1.0 MiB"),
            (300 << 30, "300 GiB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
