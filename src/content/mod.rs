//! What upstream publishes: bytes to values, without asking anybody anything.

pub mod graph;
pub mod mirror_policy;
pub mod release;
pub mod version;
