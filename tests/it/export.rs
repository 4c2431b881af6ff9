//! `airferry export` in the built program, from registries with injected faults.

mod attached;
mod completion;
mod content;
mod faults;
mod filtered;
mod increments;
mod media;
mod memory;
mod places;
mod program;
mod requests;
pub mod site;
mod unreachable;
