//! The tar profile of chunks, to the byte (bundle-format.md, section 7.1).

/// Headers, and data with its padding, are multiples of this many bytes.
pub const UNIT: u64 = 512;

/// Zero bytes at the end of every chunk's tar.
pub const TRAILER: u64 = 2 * UNIT;

/// Bytes that the marker entry takes at the beginning of every chunk: header and padded text.
pub const MARKER: u64 = 2 * UNIT;

/// An entry's data is shorter than this.
pub const MAX_ENTRY: u64 = 1 << 33;

/// Zero bytes that follow `length` bytes of data.
pub const fn padding(length: u64) -> u64 {
    (UNIT - length % UNIT) % UNIT
}

/// Where the next header stands after data of `length` bytes at `offset`; `None` when no file is
/// that long.
pub fn end_of_data(offset: u64, length: u64) -> Option<u64> {
    offset.checked_add(length)?.checked_next_multiple_of(UNIT)
}
