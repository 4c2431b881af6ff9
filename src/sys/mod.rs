//! (being written)
pub mod input;
