//! What upstream publishes, bytes to values. No I/O, no clock: whoever fetched the bytes gives
//! them, and the time.

pub mod graph;
pub mod release;
pub mod update_service;
pub mod version;
