//! Handles machines that lack a part that a test needs: root, a loop device, a program.
//!
//! On a developer's machine the test reports that and does nothing; with `CI=true` it fails,
//! because there the whole suite has to run.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

/// Reports that a part is missing; panics in CI. Callers return afterwards.
#[track_caller]
pub fn missing(part: &str, why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test").to_owned();
    let line = format!("{test}: needs {part}: {why}\n");
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "in CI every part must be there; {line}"
    );
    // Written directly, because the test harness would capture `eprintln!`.
    let _ = write!(std::io::stderr(), "NOT RUN: {line}");
    if let Some(list) = std::env::var_os("AIRFERRY_NOT_RUN") {
        let file = std::fs::OpenOptions::new().append(true).open(list);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// Returns true if the tests run as root; reports it if not.
#[track_caller]
pub fn root(what_for: &str) -> bool {
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    if !root {
        missing("root", what_for);
    }
    root
}

/// Returns the path of a program, on `PATH` or in the directories for administrators.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// Returns the path of a program; reports it if it is not installed.
#[track_caller]
pub fn required(name: &str) -> Option<PathBuf> {
    let found = program(name);
    if found.is_none() {
        missing(name, "it is not installed (scripts/setup installs it)");
    }
    found
}

/// Runs a command that prepares a test. Returns its stdout, or an error with all of its output.
pub fn run(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("{command:?}: {}: {stderr} {stdout}", output.status))
}
