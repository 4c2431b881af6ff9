//! Identities of bundles, plans and requests. Each is a SHA-256 of its own kind of bytes, and a type
//! of its own, so that none is taken for another or for the digest of content.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Digest, DigestError};

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Digest);

        impl $name {
            /// Wraps the digest of the bytes that the identity is of.
            pub const fn new(digest: Digest) -> Self {
                Self(digest)
            }

            /// Returns the digest.
            pub const fn digest(&self) -> &Digest {
                &self.0
            }

            /// Returns 64 lower-case hexadecimal digits, without the algorithm.
            pub fn hex(&self) -> String {
                self.0.hex()
            }

            /// Returns the first 12 hexadecimal digits, for messages.
            pub fn short(&self) -> String {
                self.0.short()
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id_type! {
    /// A bundle's identity: the SHA-256 of its `manifest.cbor`.
    BundleId
}

id_type! {
    /// A plan's identity: the digest of resolved content and layout (bundle-format.md, section 9.2).
    PlanId
}

id_type! {
    /// A request's identity, by which the exporter recognizes its own request (bundle-format.md,
    /// section 6).
    RequestId
}
