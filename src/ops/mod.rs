//! One file for each verb: gather facts, plan, perform.

mod context;
mod error;
mod examine;
pub mod export;
mod finding;
mod hits;
pub mod import;
pub mod keygen;
mod manifests;
mod metadata;
mod pipeline;
pub mod sign;
mod trust;
pub mod verify;

pub use context::Context;
pub use error::{Class, Error, Result, chain};
pub use trust::{Authentication, Trust, Vouched};
