//! The programs in a release that users install on their machines: their places in the release,
//! the values to write into them, and the signature that macOS requires afterwards. Also what a
//! Linux program needs of the machine that starts it.
//!
//! Synchronous, on `Read`, `Write` and bytes in memory. Does not depend on releases and images:
//! callers pass values and streams.

pub mod elf;
pub mod macho;
pub mod patch;
pub mod tools;
