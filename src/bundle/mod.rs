//! A bundle on a medium: opening, reading, verifying and writing it.
//!
//! Synchronous; knows the medium and the format, no registry and no verb. Who runs this in an
//! asynchronous program does so in a blocking thread.

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
