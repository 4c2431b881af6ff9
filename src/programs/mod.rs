//! The programs in a release that users install on their machines: their places in the release,
//! the values to write into them, and the signature that macOS requires afterwards.
//!
//! Synchronous, on `Read` and `Write`. Does not depend on releases and images: callers pass
//! values and streams.

pub mod macho;
pub mod patch;
pub mod tools;
