//! Pure decisions: facts and options in, a value out.
//!
//! Nothing here reads a file, asks a registry or looks at a clock, so every decision can be
//! printed, compared and tested without them. The same facts give the same value in any order.

pub mod catalog;
pub mod export;
pub mod import;
pub mod index_filter;
pub mod naming;
pub(crate) mod naming_ahead;
pub mod pack;
pub mod upgrade;
