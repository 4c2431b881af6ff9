//! All integration tests: one binary, a module for each subject.

// Test helpers may panic, and may use files and the environment; clippy's own exceptions cover only
// functions marked as tests.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub
)]

mod bundle;
mod bundle_vectors;
mod catalogs;
mod circles;
mod citations;
mod cli;
mod codec;
mod consoles;
mod doctor;
mod export;
mod format_document;
mod hiding;
mod house;
mod images;
mod import;
mod keys;
mod layering;
mod outputs;
mod real_parts;
mod registry;
mod release;
mod release_names;
mod release_signatures;
mod releases;
mod resume;
mod rules;
mod serve;
mod statements;
mod support;
mod unpack;
mod verify;
