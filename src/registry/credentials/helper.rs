//! Credential helpers: runs `docker-credential-NAME get`
//! (github.com/docker/docker-credential-helpers, "Development").

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::credential::Secret;
use super::error::CredentialsError;
use crate::registry::redact::one_line;

/// How long a helper may take: it may have to ask the user for a passphrase.
const PATIENCE: Duration = Duration::from_secs(60);

/// Maximum bytes of a helper's answer.
const LONGEST_ANSWER: u64 = 256 << 10;

/// The message of helpers that have no credentials for a server.
const NOT_FOUND: &str = "credentials not found";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: Secret,
}

/// Asks a helper for user name and secret; `None` if it has none for `server`.
pub(super) async fn get(
    name: &str,
    server: &str,
) -> Result<Option<(String, Secret)>, CredentialsError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(CredentialsError::HelperName {
            name: one_line(name, 60),
        });
    }
    let program = format!("docker-credential-{name}");
    let server = server.to_owned();
    let mut command = Command::new(&program);
    command.arg("get");
    let run_program = program.clone();
    let running =
        tokio::task::spawn_blocking(move || run(command, &run_program, &server, PATIENCE));
    let ended = running.await;
    let (ok, output) = ended.map_err(|error| CredentialsError::HelperStart {
        program: program.clone(),
        source: io::Error::other(error),
    })??;
    if !ok {
        let message = one_line(&String::from_utf8_lossy(&output), 200);
        return if message.contains(NOT_FOUND) {
            Ok(None)
        } else {
            Err(CredentialsError::HelperFailed { program, message })
        };
    }
    let answer: HelperAnswer =
        serde_json::from_slice(&output).map_err(|_| CredentialsError::HelperAnswer { program })?;
    let empty = answer.username.is_empty() && answer.secret.expose().is_empty();
    Ok((!empty).then_some((answer.username, answer.secret)))
}

/// Runs the helper to its end, or kills it after `patience`. Blocks.
///
/// Returns true if it succeeded, and its standard output, where helpers also write their errors.
fn run(
    mut command: Command,
    program: &str,
    server: &str,
    patience: Duration,
) -> Result<(bool, Zeroizing<Vec<u8>>), CredentialsError> {
    let failed = |source| CredentialsError::HelperStart {
        program: program.to_owned(),
        source,
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input reports the reason on its output.
        let _ = stdin.write_all(server.as_bytes());
    }
    let stdout = child.stdout.take();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut output = Zeroizing::new(Vec::new());
        let read = match stdout {
            Some(stdout) => stdout.take(LONGEST_ANSWER).read_to_end(&mut output),
            None => Ok(0),
        };
        let _ = sender.send(read.map(|_| output));
    });
    let output = match receiver.recv_timeout(patience) {
        Ok(output) => output.map_err(failed),
        Err(_) => Err(CredentialsError::HelperTimedOut {
            program: program.to_owned(),
            seconds: patience.as_secs(),
        }),
    };
    if output.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(failed)?;
    Ok((status.success(), output?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_helper_that_hangs_is_killed() {
        let command = shell("exec sleep 600");
        let error = run(command, "helper", "x", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, CredentialsError::HelperTimedOut { .. }));
    }

    #[test]
    fn a_helper_is_given_the_server_and_its_output_comes_back() {
        let command = shell("printf 'seen: '; cat; exit 3");
        let (ok, output) = run(command, "helper", "r.lan:5000", PATIENCE).unwrap();
        assert!(!ok);
        assert_eq!(&output[..], b"seen: r.lan:5000");
    }
}
