//! Lengths in bytes.

/// Returns the length of a slice as `u64`.
pub(in crate::registry) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
