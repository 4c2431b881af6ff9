//! A bundle on a medium: opening, reading, verifying and writing it.
//!
//! Synchronous: asynchronous callers use a blocking thread. Knows the medium and the format, but no
//! registry and no verb.

pub(crate) mod finding;
pub(crate) mod names;
pub(crate) mod open;
pub(crate) mod read;
pub mod sign;
pub(crate) mod trust;
pub mod verify;
pub mod write;

pub use finding::{Finding, FindingKind};
pub use trust::{Authentication, Trust, Vouched};
