//! Compares texts for people with those that were accepted before, in `tests/it/snapshots`.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::process::Command;

use regex::Regex;

use super::command::{Airferry, Outcome};

/// Compares a text with the snapshot of this name.
#[track_caller]
pub fn check(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The typed commands and their output, in one text.
pub struct Transcript<'a> {
    account: &'a Airferry,
    text: String,
    replaced: Vec<(String, String)>,
}

impl<'a> Transcript<'a> {
    /// Makes an empty transcript.
    pub fn new(account: &'a Airferry) -> Self {
        let home = account.home().display().to_string();
        Self {
            account,
            text: String::new(),
            replaced: vec![(home, "~".to_owned())],
        }
    }

    /// Shows an address or a path under another name.
    #[must_use]
    pub fn showing(mut self, what: &str, name: &str) -> Self {
        self.replaced.push((what.to_owned(), name.to_owned()));
        self
    }

    /// Runs the program, without progress.
    pub fn run(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome {
        let mut command: Command = self.account.command();
        command.args(args);
        let shown: Vec<String> = command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect();
        let outcome = Outcome::of({
            command.arg("--quiet");
            command
        });
        let mut text = format!("$ airferry {}\n{}", shown.join(" "), outcome.stdout);
        for line in outcome.stderr.lines() {
            let _ = writeln!(text, "2> {line}");
        }
        if let Some(code) = outcome.code.filter(|code| *code != 0) {
            let _ = writeln!(text, "exit code {code}");
        }
        for (what, name) in &self.replaced {
            text = text.replace(what, name);
        }
        let _ = writeln!(self.text, "{}", without_what_varies(&text));
        outcome
    }

    /// Compares the whole transcript with the snapshot of this name.
    #[track_caller]
    pub fn check(self, name: &str) {
        check(name, &self.text);
    }
}

/// Returns a text without what differs between runs: keys and times, and the identifiers and exact
/// lengths that depend on them.
pub fn without_what_varies(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, name) in [
        (r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z", "<time>"),
        (r"\b[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{5} UTC", "<time>"),
        (r"(?:\b[0-9a-f]{4} ){3}[0-9a-f]{4}\b", "<fingerprint>"),
        // Digests of images do not vary.
        (
            r"(sha256:[0-9a-f]{64})|\b(?:[0-9a-f]{64}|[0-9a-f]{16})\b",
            "<id>",
        ),
        (r"\b[0-9]{4,} bytes", "<n> bytes"),
        // These depend on the length of the address of a test's registry.
        (r"\b[0-9.]+ KiB on the medium", "<size> on the medium"),
        (
            r"((?:INCOMPLETE|complete): [0-9]+ images?, [0-9]+ blobs?,) [0-9.]+ KiB",
            "$1 <size>",
        ),
        (r"(chunks +[0-9]+,) [0-9.]+ KiB", "$1 <size>"),
        (
            r"(content|framing|metadata|documents|statements) [0-9]+",
            "$1 <n>",
        ),
    ] {
        let pattern = Regex::new(pattern).expect("a pattern");
        let replaced = pattern.replace_all(&text, |found: &regex::Captures<'_>| {
            match (found.get(1), name.contains('$')) {
                (Some(kept), false) => kept.as_str().to_owned(),
                (Some(kept), true) => name.replace("$1", kept.as_str()),
                (None, _) => name.to_owned(),
            }
        });
        text = replaced.into_owned();
    }
    text
}
