//! The keys that are trusted to sign releases: pinned by the user of the program, not by the
//! payload.
//!
//! A release payload contains the keys against which it asks to be verified. By themselves they
//! prove nothing: a forger puts their own keys into the payload. So a payload's key counts only if
//! the full fingerprint of its primary key is pinned here.

use std::collections::BTreeMap;

use super::fingerprint::{FingerprintError, KeyFingerprint};
use super::keyring::{ExpiredKeys, Keyring, KeyringError};

/// The keys that are pinned by default (docs/release-signatures.md has their sources).
const BUILT_IN: [(&str, &str); 6] = [
    (
        "567E347AD0044ADE55BA8A5F199E2F91FD431D51",
        "Red Hat release key 2",
    ),
    (
        "B08B659EE86AF623BC90E8DB938A80CAF21541EB",
        "Red Hat beta key 2",
    ),
    (
        "D04761B116203B0C0859B61628B76E05B923888E",
        "OpenShift CI key 1",
    ),
    (
        "20CCC7AD272DCD3AA169F12A65C28371F55D29A9",
        "OpenShift CI key 2",
    ),
    (
        "FE526D8F6FEDC123BE219E45CF4B45E2071F0337",
        "OpenShift CI key 3",
    ),
    (
        "6A9588F07F2D3AE7973AD2A9193E53CCD2E2F7A4",
        "OpenShift CI key 4",
    ),
];

/// Error from reading a file of trusted keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustFileError {
    /// The file has no key and no fingerprint.
    #[error("The file of release keys names no key")]
    Empty,
    /// The file is longer than [`Keyring::LIMIT`].
    #[error("The file of release keys is longer than {} bytes", Keyring::LIMIT)]
    TooLong,
    /// A line is neither a fingerprint nor a comment.
    #[error("Line {line} of the file of release keys is neither a fingerprint nor a comment")]
    Line {
        /// Line number, from 1.
        line: usize,
        /// The fault in the line.
        #[source]
        source: FingerprintError,
    },
    /// The file has both fingerprints and keys, so that its meaning is unclear.
    #[error(
        "The file of release keys holds both OpenPGP keys and fingerprints (line {line}); use one file for each"
    )]
    Mixed {
        /// Number of the line with a fingerprint, from 1.
        line: usize,
    },
    /// The file has a private key.
    #[error(
        "The file of release keys holds a private key; `gpg --armor --export` writes the public one"
    )]
    PrivateKey,
    /// The keys in the file cannot be read.
    #[error("The keys in the file of release keys cannot be read")]
    Keys(#[source] KeyringError),
}

/// The keys that are trusted to sign releases, by the fingerprints of their primary keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseTrust {
    /// The known name of each key.
    pins: BTreeMap<KeyFingerprint, Option<&'static str>>,
    /// Treatment of expired keys.
    pub expired_keys: ExpiredKeys,
}

impl ReleaseTrust {
    /// The keys of Red Hat and of OpenShift's CI, which signs OKD.
    pub fn built_in() -> Self {
        let pins = BUILT_IN
            .iter()
            .filter_map(|(fingerprint, name)| Some((fingerprint.parse().ok()?, Some(*name))))
            .collect();
        Self {
            pins,
            expired_keys: ExpiredKeys::default(),
        }
    }

    /// Trusts exactly these keys.
    pub fn pinning(fingerprints: impl IntoIterator<Item = KeyFingerprint>) -> Self {
        Self {
            pins: fingerprints.into_iter().map(|pin| (pin, None)).collect(),
            expired_keys: ExpiredKeys::default(),
        }
    }

    /// Reads a file that replaces the built-in pins: either OpenPGP keys, armored or binary, or
    /// lines with one fingerprint each (40 hexadecimal digits, spaces allowed), where `#` begins a
    /// comment. Of a file of keys, only the fingerprints are used.
    ///
    /// # Errors
    ///
    /// When the file names no key, mixes the two forms, or cannot be read.
    pub fn from_file(bytes: &[u8]) -> Result<Self, TrustFileError> {
        if bytes.len() > Keyring::LIMIT {
            return Err(TrustFileError::TooLong);
        }
        let text = String::from_utf8_lossy(bytes);
        if text.contains("-----BEGIN PGP PRIVATE KEY BLOCK-----") {
            return Err(TrustFileError::PrivateKey);
        }
        let armored = super::keyring::is_armored(bytes);
        if !armored && std::str::from_utf8(bytes).is_ok() {
            return Self::from_lines(&String::from_utf8_lossy(bytes));
        }
        if armored && let Some(line) = line_with_fingerprint(&String::from_utf8_lossy(bytes)) {
            return Err(TrustFileError::Mixed { line });
        }
        let keyring = Keyring::parse(bytes).map_err(TrustFileError::Keys)?;
        Ok(Self::pinning(keyring.fingerprints()))
    }

    fn from_lines(text: &str) -> Result<Self, TrustFileError> {
        let mut pins = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let content = without_comment(line);
            if !content.is_empty() {
                pins.push(content.parse().map_err(|source| TrustFileError::Line {
                    line: index.saturating_add(1),
                    source,
                })?);
            }
        }
        if pins.is_empty() {
            return Err(TrustFileError::Empty);
        }
        Ok(Self::pinning(pins))
    }

    /// True if the key with this fingerprint is pinned.
    pub fn pins(&self, fingerprint: &KeyFingerprint) -> bool {
        self.pins.contains_key(fingerprint)
    }

    /// The name of a pinned key, if the program knows it.
    pub fn name(&self, fingerprint: &KeyFingerprint) -> Option<&'static str> {
        self.pins.get(fingerprint).copied().flatten()
    }

    /// All pinned keys, in the order of their fingerprints.
    pub fn fingerprints(&self) -> impl Iterator<Item = KeyFingerprint> {
        self.pins.keys().copied()
    }
}

fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// Number of the first line that is a fingerprint, from 1.
fn line_with_fingerprint(text: &str) -> Option<usize> {
    let mut lines = text.lines();
    let index = lines.position(|line| without_comment(line).parse::<KeyFingerprint>().is_ok())?;
    index.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARMORED: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/release/alice.asc"
    ));
    const BINARY: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/release/alice.gpg"
    ));
    const NAMES: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/release/fingerprints.txt"
    ));
    const RED_HAT: &str = "567E 347A D004 4ADE 55BA  8A5F 199E 2F91 FD43 1D51";

    fn alice() -> KeyFingerprint {
        let line = NAMES.lines().find(|line| line.ends_with(" alice"));
        line.unwrap().split(' ').next().unwrap().parse().unwrap()
    }

    #[test]
    fn every_built_in_pin_is_a_fingerprint() {
        let trust = ReleaseTrust::built_in();
        assert_eq!(trust.fingerprints().count(), BUILT_IN.len());
        let red_hat = RED_HAT.parse().unwrap();
        assert_eq!(trust.name(&red_hat), Some("Red Hat release key 2"));
        assert!(!trust.pins(&alice()));
        assert_eq!(trust.expired_keys, ExpiredKeys::Refuse);
    }

    #[test]
    fn a_file_holds_fingerprints_or_keys() {
        let lines = format!("# ours\n\n  {RED_HAT}  # Red Hat\r\n{}\n", alice());
        let trust = ReleaseTrust::from_file(lines.as_bytes()).unwrap();
        let both = [RED_HAT.parse().unwrap(), alice()];
        assert!(both.iter().all(|pin| trust.pins(pin)));
        assert_eq!(trust.fingerprints().count(), 2);
        let with_words = format!("pub  rsa2048\nFingerprint = {RED_HAT}\n{ARMORED}");
        for file in [ARMORED.as_bytes(), BINARY, with_words.as_bytes()] {
            let trust = ReleaseTrust::from_file(file).unwrap();
            assert_eq!(trust.fingerprints().collect::<Vec<_>>(), [alice()]);
        }
    }

    #[test]
    fn other_files_are_refused() {
        let read = |text: &str| ReleaseTrust::from_file(text.as_bytes()).unwrap_err();
        assert_eq!(read(""), TrustFileError::Empty);
        assert_eq!(read("# nothing\n\n"), TrustFileError::Empty);
        assert!(matches!(
            read(&format!("{RED_HAT}\nFD431D51\n")),
            TrustFileError::Line { line: 2, .. }
        ));
        for mixed in [
            format!("{RED_HAT}\n{ARMORED}"),
            format!("{ARMORED}{RED_HAT} # more\n"),
        ] {
            assert!(matches!(read(&mixed), TrustFileError::Mixed { .. }));
        }
        let cut: String = ARMORED
            .lines()
            .take(6)
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(matches!(read(&cut), TrustFileError::Keys(_)));
        assert_eq!(
            read(&ARMORED.replace("PUBLIC", "PRIVATE")),
            TrustFileError::PrivateKey
        );
        assert!(matches!(
            ReleaseTrust::from_file(&[0xff; 40]),
            Err(TrustFileError::Keys(_))
        ));
        let long = vec![b'#'; Keyring::LIMIT + 1];
        assert_eq!(ReleaseTrust::from_file(&long), Err(TrustFileError::TooLong));
    }
}
