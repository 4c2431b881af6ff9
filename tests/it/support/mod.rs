//! What several test modules share.

// Not every helper has a user in every build of the tests.
#![allow(dead_code)]

pub mod command;
pub mod source;
pub mod tools;
