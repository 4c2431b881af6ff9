//! The outside world in small modules.

pub mod private_file;
pub mod registry_store;
