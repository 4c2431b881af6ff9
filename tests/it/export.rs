//! `airferry export` through the built program, from registries that misbehave as tests say.

mod completion;
mod content;
mod faults;
mod increments;
mod media;
mod memory;
mod places;
mod requests;
pub mod site;
