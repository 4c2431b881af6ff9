//! Runs the built program as a user would, but with its own home and environment.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A user's account on some machine: home, caches and credentials start empty.
#[derive(Debug)]
pub struct Airferry {
    home: TempDir,
}

/// Result of a run. The assertions return it, so that they can be chained.
#[derive(Debug)]
pub struct Outcome {
    /// The command, for messages.
    pub call: String,
    /// The exit code; `None` if a signal ended the process.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Airferry {
    /// Makes a new account.
    pub fn new() -> Self {
        let home = tempfile::Builder::new()
            .prefix("airferry-home-")
            .tempdir()
            .expect("a temporary directory");
        Self { home }
    }

    /// Returns the account's home directory; runs start in it.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Returns a path in the home directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Returns the path of the built program.
    pub fn program() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_airferry"))
    }

    /// Returns the program's command, ready for arguments.
    pub fn command(&self) -> Command {
        self.wrap(Command::new(Self::program()))
    }

    /// Gives any command this account's environment. Only `PATH` is inherited, so no proxy,
    /// credentials or settings of the developer have an effect.
    pub fn wrap(&self, mut command: Command) -> Command {
        let home = self.home.path();
        command
            .current_dir(home)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("XDG_RUNTIME_DIR", home.join("run"))
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .env("XDG_CACHE_HOME", home.join(".cache"))
            .env("XDG_STATE_HOME", home.join(".local/state"))
            .env("XDG_DATA_HOME", home.join(".local/share"))
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome {
        let mut command = self.command();
        command.args(args);
        Outcome::of(command)
    }
}

impl Outcome {
    /// Runs any command to its end.
    pub fn of(mut command: Command) -> Self {
        let call = format!("{command:?}");
        let Output {
            status,
            stdout,
            stderr,
        } = command
            .output()
            .unwrap_or_else(|error| panic!("cannot run {call}: {error}"));
        Self {
            call,
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Asserts exit code 0.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.exits(0);
        self
    }

    /// Asserts an exit code.
    #[track_caller]
    pub fn fails_with(self, code: i32) -> Self {
        self.exits(code);
        self
    }

    #[track_caller]
    fn exits(&self, code: i32) {
        assert!(
            self.code == Some(code),
            "exit code {:?} instead of {code}\n{self}",
            self.code
        );
    }

    /// Asserts that stdout contains a text.
    #[track_caller]
    pub fn stdout_has(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text), "stdout lacks {text:?}\n{self}");
        self
    }

    /// Asserts that stderr contains a text.
    #[track_caller]
    pub fn stderr_has(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "stderr lacks {text:?}\n{self}");
        self
    }

    /// Asserts that stdout is this text.
    #[track_caller]
    pub fn stdout_is(&self, text: &str) -> &Self {
        assert!(self.stdout == text, "stdout is not {text:?}\n{self}");
        self
    }

    /// Asserts that stderr is this text.
    #[track_caller]
    pub fn stderr_is(&self, text: &str) -> &Self {
        assert!(self.stderr == text, "stderr is not {text:?}\n{self}");
        self
    }

    /// Asserts that a secret is neither on stdout nor on stderr.
    #[track_caller]
    pub fn hides(&self, secret: &str) -> &Self {
        let shown = self.stdout.contains(secret) || self.stderr.contains(secret);
        assert!(!shown, "{secret:?} was shown\n{self}");
        self
    }

    /// Parses stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not JSON: {error}\n{self}"))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            call,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "{call}\nexit code {code:?}\n--- stdout\n{stdout}--- stderr\n{stderr}---"
        )
    }
}
