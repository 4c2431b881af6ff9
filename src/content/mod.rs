//! What upstream publishes, bytes to model. No I/O, no clock: whoever fetched the bytes gives
//! them, and the time.

pub mod release;
