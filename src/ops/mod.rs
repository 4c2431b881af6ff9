//! One file for each verb: gather facts, plan, perform.

mod context;
mod examine;
mod error;
pub mod export;
mod finding;
mod hits;
mod trust;

pub use context::Context;
pub use error::{Class, Error, Result};
