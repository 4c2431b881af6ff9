//! Basic authentication (RFC 7617) against a list of users.

use std::fmt;

use base64::Engine as _;
use http::HeaderValue;
use sha2::{Digest as _, Sha256};

/// Reason for refusing a credentials file. Never quotes the line, which contains a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A line is not `user:password`.
    #[error("Line {line} of the credentials is not `user:password`")]
    Line {
        /// Number of the line, from 1.
        line: usize,
    },
    /// A line contains an Apache password hash.
    #[error("Line {line} of the credentials holds a password hash, not a password")]
    Hashed {
        /// Number of the line, from 1.
        line: usize,
    },
    /// There is no line with a user.
    #[error("The credentials have no line `user:password`")]
    Empty,
    /// The system gave no random bytes.
    #[error("The operating system gave no random bytes")]
    Entropy,
}

/// Users and their passwords, kept as keyed hashes.
#[derive(Clone)]
pub struct Credentials {
    /// Random for each process, so that an attacker cannot choose hashes whose comparison reveals
    /// something by its timing.
    key: [u8; 32],
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    user: String,
    hash: [u8; 32],
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} users)", self.entries.len())
    }
}

impl Credentials {
    /// Parses lines `user:password`. Empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    ///
    /// When a line is malformed or has a hash (`$2y$...`) instead of a password, or when there is
    /// no user.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        let key = crate::sys::entropy::random().map_err(|_| CredentialsError::Entropy)?;
        let mut credentials = Self {
            key,
            entries: Vec::new(),
        };
        for (index, line) in text.lines().enumerate() {
            let number = index.saturating_add(1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((user, password)) = line.split_once(':') else {
                return Err(CredentialsError::Line { line: number });
            };
            if user.is_empty() || password.is_empty() || line.contains(char::is_control) {
                return Err(CredentialsError::Line { line: number });
            }
            // Taken literally, the hash itself would be the password, which the operator does not
            // intend.
            if ["$2", "$apr1$", "$5$", "$6$", "{SHA}"]
                .iter()
                .any(|prefix| password.starts_with(prefix))
            {
                return Err(CredentialsError::Hashed { line: number });
            }
            let hash = credentials.hash(line.as_bytes());
            credentials.entries.push(Entry {
                user: user.to_owned(),
                hash,
            });
        }
        match credentials.entries.is_empty() {
            true => Err(CredentialsError::Empty),
            false => Ok(credentials),
        }
    }

    fn hash(&self, line: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.key)
            .chain_update(line)
            .finalize()
            .into()
    }

    /// Returns the user whose name and password are in an `Authorization` header, or `None`.
    pub(super) fn user(&self, authorization: Option<&HeaderValue>) -> Option<&str> {
        let header = authorization?.to_str().ok()?;
        let (scheme, token) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let line = base64::engine::general_purpose::STANDARD
            .decode(token.trim())
            .ok()?;
        let line = zeroize::Zeroizing::new(line);
        let offered = self.hash(&line);
        let mut found = None;
        for entry in &self.entries {
            if equal(&entry.hash, &offered) {
                found = Some(entry.user.as_str());
            }
        }
        found
    }
}

/// Compares in constant time, independent of the position of a difference.
fn equal(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let difference = left
        .iter()
        .zip(right)
        .fold(0, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(line: &str) -> HeaderValue {
        let token = base64::engine::general_purpose::STANDARD.encode(line);
        HeaderValue::from_str(&format!("Basic {token}")).unwrap()
    }

    #[test]
    fn lets_only_the_right_pair_in() {
        let credentials = Credentials::parse("# people\nanna:se:cret\n\nbert:x\n").unwrap();
        let user = |line: &str| credentials.user(Some(&header(line))).map(str::to_owned);
        assert_eq!(user("anna:se:cret").as_deref(), Some("anna"));
        assert_eq!(user("bert:x").as_deref(), Some("bert"));
        for wrong in [
            "anna:secret",
            "anna:x",
            "bert:",
            "bert",
            "",
            "# people",
            "anna:se:cret\n",
        ] {
            assert_eq!(user(wrong), None, "{wrong}");
        }
        assert_eq!(credentials.user(None), None);
        let bearer = HeaderValue::from_static("Bearer YW5uYTpzZTpjcmV0");
        assert_eq!(credentials.user(Some(&bearer)), None);
    }

    #[test]
    fn refuses_what_is_no_list_of_passwords_without_repeating_it() {
        let refused = |text: &str| Credentials::parse(text).unwrap_err();
        assert_eq!(refused("# nobody\n"), CredentialsError::Empty);
        assert_eq!(refused("a:b\nhunter2"), CredentialsError::Line { line: 2 });
        assert_eq!(refused(":b"), CredentialsError::Line { line: 1 });
        assert_eq!(refused("a:"), CredentialsError::Line { line: 1 });
        assert_eq!(
            refused("a:$2y$05$abc"),
            CredentialsError::Hashed { line: 1 }
        );
        assert!(!refused("hunter2").to_string().contains("hunter2"));
        let credentials = Credentials::parse("a:hunter2").unwrap();
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
