//! Fingerprints of OpenPGP keys, by which release keys are pinned.

use std::fmt;
use std::str::FromStr;

/// The fingerprint of an OpenPGP key of version 4 (RFC 9580, section 5.5.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyFingerprint([u8; Self::LENGTH]);

/// Error for a text that is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not an OpenPGP fingerprint: 40 hexadecimal digits, spaces allowed", .text.escape_debug())]
pub struct FingerprintError {
    /// The text, shortened.
    text: String,
}

impl KeyFingerprint {
    const LENGTH: usize = 20;

    /// Wraps the 20 bytes.
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }
}

impl FromStr for KeyFingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '\t')).collect();
        let mut bytes = [0; Self::LENGTH];
        hex::decode_to_slice(&digits, &mut bytes).map_err(|_| FingerprintError {
            text: text.chars().take(60).collect(),
        })?;
        Ok(Self(bytes))
    }
}

/// Writes 40 upper-case hexadecimal digits, as `gpg --list-keys` prints them.
impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode_upper(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED_HAT: &str = "567E 347A D004 4ADE 55BA  8A5F 199E 2F91 FD43 1D51";

    #[test]
    fn fingerprints_are_read_as_people_write_them() {
        let plain = RED_HAT.replace(' ', "");
        for text in [RED_HAT, &plain, &plain.to_lowercase()] {
            let read: KeyFingerprint = text.parse().unwrap();
            assert_eq!(read.to_string(), plain);
        }
        // A short key ID is not enough: it is easy to make another key with the same ID.
        for bad in [
            "",
            "FD431D51",
            "199E2F91FD431D51",
            &plain[1..],
            &format!("{plain}00"),
        ] {
            assert!(bad.parse::<KeyFingerprint>().is_err(), "{bad}");
        }
    }
}
