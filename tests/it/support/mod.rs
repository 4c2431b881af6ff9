//! Helpers that several test modules share.

// Not every helper is used in every build of the tests.
#![allow(dead_code)]

pub mod amend;
pub mod authority;
pub mod catalogs;
pub mod command;
pub mod console;
pub mod docker_registry;
pub mod fake_registry;
pub mod forge;
pub mod forward_proxy;
pub mod images;
pub mod media;
pub mod netns;
pub mod proxy;
pub mod real_part;
pub mod releases;
pub mod snapshot;
pub mod source;
pub mod stage;
pub mod tools;
