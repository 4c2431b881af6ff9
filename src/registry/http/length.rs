//! Lengths as numbers of bytes.

/// A length in memory as a number of bytes.
pub(in crate::registry) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
