//! Programs of others that tests work with.

// Helpers of tests fail by panicking, and work with files and the environment as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::path::PathBuf;
use std::process::{Command, Output};

/// Finds a program, or fails the test: a missing program is never a reason to skip.
#[track_caller]
pub(crate) fn require(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "\n\n*** `{program}` IS MISSING ***\nThis test needs the real `{program}` and does \
             not pass without it; on Debian: apt-get install {program}\n\n"
        )
    })
}

/// Runs a command to its end and returns what it wrote to stdout; fails the test if it failed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = outcome(command);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n--- stdout\n{stdout}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

/// Runs a command to its end, whatever that is.
#[track_caller]
pub(crate) fn outcome(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"))
}
