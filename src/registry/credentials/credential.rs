//! Credentials as they are sent to a registry.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A text that is never shown, and is overwritten in memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Returns the text.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Credentials for a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// A user and a password.
    Password {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that the registry's token service exchanges for short-lived ones.
    IdentityToken {
        /// The token.
        token: Secret,
        /// The user and password in the same entry, for a registry that asks for Basic.
        beside: Option<Box<Credential>>,
    },
}

impl Credential {
    /// Returns the user and password, for a registry that asks for Basic.
    pub(in crate::registry) fn login(&self) -> Option<(&str, &Secret)> {
        match self {
            Self::Password { username, password } => Some((username, password)),
            Self::IdentityToken { beside, .. } => beside.as_deref()?.login(),
        }
    }
}
