//! Checks the header of a metadata chunk's zstd frame (bundle-format.md, R-45).

use super::MetadataError;
use crate::model::Limits;

/// Longest header, in bytes, of a zstd frame that has a content size and no dictionary.
pub(super) const HEAD: usize = 14;

/// Checks a zstd frame's header (RFC 8878, section 3.1.1.1) before anything is decompressed.
pub(super) fn check(head: &[u8], decoded: u64) -> Result<(), MetadataError> {
    let refused = |fault| Err(MetadataError::Frame { fault });
    let Some((magic, rest)) = head.split_at_checked(4) else {
        return refused("it is no zstd frame");
    };
    let Some((descriptor, rest)) = rest.split_first() else {
        return refused("it is no zstd frame");
    };
    if magic != [0x28, 0xb5, 0x2f, 0xfd] {
        return refused("it is no zstd frame");
    }
    if descriptor & 0x18 != 0 {
        return refused("its frame has reserved bits");
    }
    if descriptor & 0x03 != 0 {
        return refused("its frame names a dictionary");
    }
    let single_segment = descriptor & 0x20 != 0;
    let (window, rest) = match rest.split_first() {
        _ if single_segment => (None, rest),
        Some((window, rest)) => (Some(*window), rest),
        None => return refused("it is no zstd frame"),
    };
    let (width, base) = match descriptor >> 6 {
        0 if single_segment => (1, 0),
        0 => return refused("its frame does not say the content size"),
        1 => (2, 256),
        2 => (4, 0),
        _ => (8, 0),
    };
    let Some(field) = rest.get(..width) else {
        return refused("it is no zstd frame");
    };
    let size = field
        .iter()
        .rev()
        .fold(0u64, |size, byte| (size << 8) | u64::from(*byte));
    let size = size.saturating_add(base);
    if size != decoded {
        return refused("its content size is not the one that the inventory says");
    }
    let window = match window {
        Some(window) => {
            let base = 1u64 << (10 + (window >> 3));
            base + (base / 8) * u64::from(window & 7)
        }
        None => size,
    };
    if window > 1 << Limits::ZSTD_WINDOW_LOG {
        return refused("its window is larger than 8 MiB");
    }
    Ok(())
}
