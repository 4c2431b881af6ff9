//! Third-party programs that tests use.

// Test helpers may panic, and may use files and the environment.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::path::PathBuf;
use std::process::{Command, Output};

/// Finds a program, or panics: a missing program is never a reason to skip a test.
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

/// Runs a command and returns its stdout; panics if it fails.
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

/// Runs a command and returns its result, whether it succeeds or not.
#[track_caller]
pub(crate) fn outcome(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"))
}
