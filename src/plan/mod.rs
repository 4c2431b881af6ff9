//! Pure decisions: facts and options in, a value out.
//!
//! Nothing here reads a file, a clock or a network, and nothing depends on the order in which
//! facts arrived. What is decided can be printed, sized to the byte, compared and tested.

pub mod export;
