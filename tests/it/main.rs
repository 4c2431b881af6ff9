//! All integration tests: one binary, a module for each subject.

mod bundle;
mod cli;
mod codec;
mod export;
mod import;
mod layering;
mod registry;
mod resume;
mod serve;
mod support;
mod unpack;
mod verify;
