//! `airferry export` through the built program, from registries that misbehave as tests say.

mod content;
mod faults;
mod increments;
mod media;
mod memory;
mod requests;
pub mod site;
