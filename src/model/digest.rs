//! Content digests: parsed once where they enter the program, cheap to copy afterwards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The error for a text that is not a digest that this version handles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// The text does not begin with the expected algorithm and a colon.
    #[error("`{text}` is not a `{expected}:` digest; this version handles no other algorithm")]
    Algorithm {
        /// The text, shortened.
        text: String,
        /// The algorithm that was expected.
        expected: &'static str,
    },
    /// The part after the colon is not 64 lower-case hexadecimal digits.
    #[error("`{text}` is not a digest: 64 lower-case hexadecimal digits must follow the colon")]
    Hex {
        /// The text, shortened.
        text: String,
    },
}

/// Shortens untrusted input for an error message, and replaces its control characters.
fn shown(text: &str) -> String {
    text.chars()
        .take(80)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

fn parse_hex(text: &str, hex_part: &str) -> Result<[u8; 32], DigestError> {
    let refused = || DigestError::Hex { text: shown(text) };
    if hex_part.len() != 64 || hex_part.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(refused());
    }
    let mut bytes = [0u8; 32];
    hex::decode_to_slice(hex_part, &mut bytes).map_err(|_| refused())?;
    Ok(bytes)
}

/// Writes hexadecimal digits without an allocation: inventories have hundreds of thousands of
/// digests.
fn digits<'b>(bytes: &[u8; 32], buffer: &'b mut [u8; 64]) -> &'b str {
    // Cannot fail: the buffer has two digits for each byte.
    let _ = hex::encode_to_slice(bytes, buffer);
    std::str::from_utf8(buffer).unwrap_or_default()
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The algorithm's name, as written before the colon.
            pub const ALGORITHM: &'static str = $prefix;

            /// Wraps the 32 bytes that the hash function returned.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Returns the 32 bytes of the hash.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Returns 64 lower-case hexadecimal digits, without the algorithm.
            pub fn hex(&self) -> String {
                digits(&self.0, &mut [0; 64]).to_owned()
            }

            /// Returns the first 12 hexadecimal digits, for messages.
            pub fn short(&self) -> String {
                hex::encode(&self.0[..6])
            }

            /// Parses 64 lower-case hexadecimal digits without the algorithm.
            pub fn from_hex(text: &str) -> Result<Self, DigestError> {
                parse_hex(text, text).map(Self)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                match text.split_once(':') {
                    Some(($prefix, hex_part)) => parse_hex(text, hex_part).map(Self),
                    _ => Err(DigestError::Algorithm {
                        text: shown(text),
                        expected: $prefix,
                    }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, ":"))?;
                f.write_str(digits(&self.0, &mut [0; 64]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, ":{}"), self.short())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                const PREFIX: &[u8] = concat!($prefix, ":").as_bytes();
                let mut text = [0; PREFIX.len() + 64];
                let (prefix, rest) = text.split_at_mut(PREFIX.len());
                prefix.copy_from_slice(PREFIX);
                // Cannot fail: the text has two digits for each byte.
                let _ = hex::encode_to_slice(self.0, rest);
                serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::from_text(deserializer)
            }
        }
    };
}

digest_type! {
    /// The SHA-256 by which OCI content is addressed (`sha256:<64 hex>`;
    /// OCI image-spec, descriptor.md, "Digests").
    Digest, "sha256"
}

digest_type! {
    /// The BLAKE3 hash of a stored file, or of one of its blocks.
    Blake3, "blake3"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses() {
        let text = format!("sha256:{}", "0a".repeat(32));
        let digest: Digest = text.parse().unwrap();
        assert_eq!(digest.to_string(), text);
        assert_eq!(digest.short(), "0a0a0a0a0a0a");
        for bad in [
            "",
            "sha256:",
            "0a",
            &text.to_uppercase(),
            &text[..70],
            &format!("{text}0"),
            &text.replace("sha256", "sha512"),
            &text.replace("sha256", "blake3"),
            &format!("sha256:{}", "0A".repeat(32)),
            &format!("sha256:{}", "zz".repeat(32)),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
