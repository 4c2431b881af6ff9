//! `airferry export` through the built program, from registries that misbehave as tests say.

mod attached;
mod completion;
mod content;
mod faults;
mod filtered;
mod increments;
mod media;
mod memory;
mod places;
mod requests;
pub mod site;
mod unreachable;
