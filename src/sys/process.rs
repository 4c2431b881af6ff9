//! Runs other programs.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use super::error::{At, FileError, Result};

/// Runs a command in the shell, writes `input` to its standard input, and returns its standard
/// output, at most `cap` bytes. Its standard error is inherited.
pub fn filter(command: &str, input: &[u8], cap: u64) -> Result<Vec<u8>> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .at("run", command)?;
    let mut output = Vec::new();
    std::thread::scope(|scope| {
        if let Some(mut stdin) = child.stdin.take() {
            // Ignores a failed write: a program that does not read its input may still answer.
            scope.spawn(move || drop(stdin.write_all(input)));
        }
        match child.stdout.take() {
            Some(stdout) => stdout.take(cap).read_to_end(&mut output).map(drop),
            None => Ok(()),
        }
    })
    .at("read the output of", command)?;
    let status = child.wait().at("run", command)?;
    if status.success() {
        Ok(output)
    } else {
        Err(FileError::refused(
            "run",
            command,
            &format!("it ended with {status}"),
        ))
    }
}

/// Returns the id of the user who runs this process.
pub fn user() -> u32 {
    rustix::process::getuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_input_through_and_notices_failure() {
        assert_eq!(filter("tr a-z A-Z", b"abc", 10).unwrap(), b"ABC");
        assert_eq!(filter("cat", b"abc", 2).unwrap(), b"ab");
        assert!(filter("exit 3", b"", 10).is_err());
    }
}
