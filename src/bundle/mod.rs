//! Opens, reads, verifies and writes bundles on a medium.
//!
//! Synchronous: asynchronous callers use a blocking thread. Must not depend on a registry or on a
//! command.

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
