//! Consoles in Markdown pages: the commands and answers that they show, and a shell to type the
//! commands.

use std::path::Path;
use std::process::Command;

use regex::Regex;

use super::command::{Airferry, Outcome};
use super::snapshot::without_what_varies;

/// A command of a console with its answer, or an answer alone.
#[derive(Debug, Clone)]
pub struct Step {
    /// The page, relative to the repository.
    pub page: String,
    /// Line in the page, from 1.
    pub line: usize,
    /// The last heading before it.
    pub heading: String,
    /// The command; `None` for a block that has only an answer.
    pub command: Option<String>,
    /// The answer. A line `...` stands for any number of lines.
    pub shown: Vec<String>,
}

/// Returns the consoles of a page: indented blocks with commands after `$ `, and those without
/// commands.
pub fn steps(page: &str, text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut heading, mut inside, mut typing) = (String::new(), false, false);
    for (index, line) in text.lines().enumerate() {
        if let Some(title) = line.strip_prefix('#') {
            heading = title.trim_start_matches('#').trim().to_owned();
        }
        let Some(code) = line.strip_prefix("    ") else {
            inside &= line.trim_start().is_empty();
            if inside && let Some(step) = steps.last_mut() {
                step.shown.push(String::new());
            }
            continue;
        };
        let begins = code.strip_prefix("$ ");
        if begins.is_some() || !inside {
            steps.push(Step {
                page: page.to_owned(),
                line: index + 1,
                heading: heading.clone(),
                command: begins.map(|_| String::new()),
                shown: Vec::new(),
            });
            typing = begins.is_some();
        }
        inside = true;
        let step = steps.last_mut().expect("a step was begun");
        match (&mut step.command, typing) {
            (Some(command), true) => {
                let part = begins.unwrap_or(code).trim_start();
                let continued = part.strip_suffix('\\');
                command.push_str(continued.unwrap_or(part));
                typing = continued.is_some();
            }
            _ => step.shown.push(code.to_owned()),
        }
    }
    for step in &mut steps {
        while step.shown.last().is_some_and(String::is_empty) {
            step.shown.pop();
        }
    }
    steps
}

/// A shell in an account, in which `airferry` is the built program.
pub struct Shell<'a> {
    account: &'a Airferry,
    /// Exit code of the last command.
    code: i32,
}

impl<'a> Shell<'a> {
    /// Puts the program where the shell finds it.
    pub fn new(account: &'a Airferry) -> Self {
        let programs = account.path(".bin");
        std::fs::create_dir(&programs).expect("a directory");
        std::os::unix::fs::symlink(Airferry::program(), programs.join("airferry")).expect("a link");
        Self { account, code: 0 }
    }

    /// Types a line in a directory of the account. Returns stdout and the error message, without
    /// the progress that comes before the message.
    pub fn types(&mut self, directory: &Path, line: &str) -> Vec<String> {
        let mut command = self.account.wrap(Command::new("sh"));
        let mut path = self.account.path(".bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command.env("PATH", path).current_dir(directory);
        command.args(["-c", &format!("(exit {})\n{line}", self.code)]);
        let outcome = Outcome::of(command);
        self.code = outcome.code.unwrap_or(-1);
        let errors = outcome
            .stderr
            .lines()
            .skip_while(|line| !line.starts_with("error: "));
        let lines = outcome.stdout.lines().chain(errors);
        lines.map(str::to_owned).collect()
    }
}

/// Returns true if an answer is the one that a page shows, apart from identifiers, times, lengths
/// and ports.
pub fn agrees(shown: &[String], answered: &[String]) -> bool {
    match shown.split_first() {
        None => answered.is_empty(),
        Some((line, rest)) if line == "..." => {
            (0..=answered.len()).any(|skipped| agrees(rest, &answered[skipped..]))
        }
        Some((line, rest)) => answered.split_first().is_some_and(|(first, others)| {
            without_numbers(line) == without_numbers(first) && agrees(rest, others)
        }),
    }
}

/// Returns a line without the parts that depend on the content of images, keys, times and ports.
fn without_numbers(line: &str) -> String {
    let mut line = without_what_varies(line);
    for (pattern, name) in [
        ("sha256:[0-9a-f]{64}", "<digest>"),
        (r"\b[0-9.]+ ([KMG]i)?B\b", "<size>"),
        (r"\bblock [0-9]+", "block <n>"),
        // Tags made from digests.
        (r":[0-9a-f]{6,8}\b", ":<tag>"),
        (r"[0-9]{3,}", "<n>"),
    ] {
        let pattern = Regex::new(pattern).expect("a pattern");
        line = pattern.replace_all(&line, name).into_owned();
    }
    line
}
