//! Access to the operating system, in small modules: files and media, clock, entropy, locks.
//!
//! The only room that uses `std::fs`, clocks and randomness. Must not depend on the network or on
//! commands. Errors name the operation that failed and the file.

pub mod clock;
pub mod entropy;
mod error;
pub mod files;
pub mod filesystem;
pub mod input;
pub mod journal;
pub mod lock;
pub mod media;
pub mod private_file;
pub mod process;
pub mod registry_store;
pub mod scratch;
pub mod sessions;
pub mod speed;
pub mod spool;
pub mod sqlite;

pub use error::{FileError, Result};
