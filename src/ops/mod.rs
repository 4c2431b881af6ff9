//! One file for each verb: gather facts, plan, perform.

mod error;

pub use error::{Class, Error, Result};
