//! The outside world, in small modules: files and media, clock, entropy, locks.
//!
//! The only place that names `std::fs`, clocks and randomness. It knows nothing of the network
//! and of what operations want; it does what it is told and says exactly what failed where.

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
pub mod sqlite;

pub use error::{IoAt, Result};
