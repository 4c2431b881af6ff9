//! What upstream publishes: bytes to values, without asking anybody anything.

pub mod graph;
pub mod release;
pub mod version;
