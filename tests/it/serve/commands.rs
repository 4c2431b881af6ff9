//! The command `airferry serve`: start, kill, start again.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::support::tools::outcome;

fn airferry() -> Command {
    Command::new(env!("CARGO_BIN_EXE_airferry"))
}

/// The command as a process; killed when it is dropped.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(store: &Path) -> Self {
        let mut child = airferry()
            .args(["serve", "--listen", "127.0.0.1:0", "--store"])
            .arg(store)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let url = line
            .trim_end()
            .strip_prefix("airferry registry listening on ")
            .unwrap_or_else(|| panic!("unexpected first line: {line:?}"));
        assert!(url.starts_with("http://127.0.0.1:"));
        let url = url.to_owned();
        Self { child, url }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn an_upload_survives_a_killed_server() {
    let store = tempfile::tempdir().unwrap();
    let client = client();
    let blob = noise(6 << 20);
    let server = Process::start(store.path());
    let begun = client
        .post(format!("{}/v2/a/blobs/uploads/", server.url))
        .send()
        .await
        .unwrap();
    let session = header(&begun, "location");
    let mut sent = 0;
    let mut server = server;
    for round in 0..3 {
        // The next process has the bytes that this one acknowledged.
        let end = sent + (2 << 20) - round;
        let patched = client
            .patch(format!("{}{session}", server.url))
            .header("content-range", format!("{sent}-{}", end - 1))
            .body(blob[sent..end].to_vec())
            .send()
            .await
            .unwrap();
        assert_eq!(patched.status(), StatusCode::ACCEPTED);
        sent = end;
        server.kill();
        server = Process::start(store.path());
        let status = client
            .get(format!("{}{session}", server.url))
            .send()
            .await
            .unwrap();
        assert_eq!(header(&status, "range"), format!("0-{}", sent - 1));
    }
    let done = client
        .put(format!("{}{session}?digest={}", server.url, digest(&blob)))
        .body(blob[sent..].to_vec())
        .send()
        .await
        .unwrap();
    assert_eq!(done.status(), StatusCode::CREATED);
    let path = format!("{}/v2/a/blobs/{}", server.url, digest(&blob));
    let pulled = client.get(path).send().await.unwrap();
    assert_eq!(pulled.bytes().await.unwrap(), blob);
}

#[cfg(unix)]
#[test]
fn sigterm_ends_it_cleanly() {
    for signal in ["TERM", "INT"] {
        let store = tempfile::tempdir().unwrap();
        let mut server = Process::start(store.path());
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}"))
            .arg(server.child.id().to_string());
        assert!(outcome(&mut kill).status.success());
        assert!(server.child.wait().unwrap().success(), "{signal}");
    }
}

#[test]
fn says_what_is_wrong_and_what_to_do() {
    let store = tempfile::tempdir().unwrap();
    let foreign = tempfile::tempdir().unwrap();
    std::fs::write(foreign.path().join("letter.txt"), "dear").unwrap();
    let users = foreign.path().join("users");
    std::fs::write(&users, "anna:hunter2\n").unwrap();
    let running = Process::start(store.path());
    let taken = running.url.replace("http://", "");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let free = tempfile::tempdir().unwrap();
    for (args, code, message, hint) in [
        (
            vec!["--store".to_owned(), path(store.path())],
            8,
            "in use by another process",
            "--read-only",
        ),
        (
            vec!["--store".to_owned(), path(foreign.path())],
            8,
            "is not a registry store",
            "empty directory",
        ),
        (
            vec![
                "--store".to_owned(),
                path(free.path()),
                "--listen".to_owned(),
                taken,
            ],
            6,
            "Cannot listen on",
            "another program listens",
        ),
        (
            vec![
                "--store".to_owned(),
                path(free.path()),
                "--listen".to_owned(),
                "0.0.0.0:0".to_owned(),
            ],
            2,
            "reachable from other machines",
            "--insecure-listen",
        ),
        (
            vec![
                "--store".to_owned(),
                path(free.path()),
                "--htpasswd".to_owned(),
                path(&users),
            ],
            2,
            "can be read or written by others",
            "chmod 600",
        ),
    ] {
        let mut command = airferry();
        command.arg("serve");
        if !args.contains(&"--listen".to_owned()) {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let output = outcome(command.args(&args));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
        assert!(stderr.contains("hint: "), "{args:?}: {stderr}");
        assert!(stderr.contains(hint), "{args:?}: {stderr}");
        assert!(!stderr.contains("hunter2"));
        assert!(output.stdout.is_empty());
    }
}
