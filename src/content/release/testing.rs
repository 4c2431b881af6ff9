//! Signatures and keys that gpg made (tests/vectors/release), shared by the tests of several
//! modules.

use crate::model::{Digest, Timestamp};

/// The bytes of a test vector.
macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/vectors/release/",
            $name
        ))
        .as_slice()
    };
}

pub(crate) use vector;

/// 2026-02-01T00:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp(1_769_904_000);

/// Digest of the manifest that the test vectors sign.
pub(crate) fn signed() -> Digest {
    let text = String::from_utf8_lossy(vector!("digest.txt"));
    text.trim().parse().unwrap()
}
