//! The executables of a release for people's machines: where they are, which values are written
//! into them, and the signature that macOS asks for after that.
//!
//! Synchronous, over `Read` and `Write`. Knows no release and no image: callers give values and
//! streams.

pub mod macho;
pub mod patch;
pub mod tools;
