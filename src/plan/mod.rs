//! Decisions as pure functions: facts and options in, a value out.
//!
//! Nothing here reads a file, contacts a registry or reads a clock, so every decision can be
//! printed, compared and tested without them. The order in which facts are given does not change
//! the value.

pub mod catalog;
pub mod doctor;
pub mod export;
pub mod import;
pub mod index_filter;
pub mod leave_out;
pub mod naming;
pub(crate) mod naming_ahead;
pub mod pack;
pub mod target;
pub mod upgrade;
