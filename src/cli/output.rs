//! Where text goes: results to stdout, everything else to stderr.

use std::error::Error as _;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::ops::Error;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document on stdout.
    Json,
}

/// The two streams.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Output;

impl Output {
    /// Writes a result to stdout. A reader that went away is not an error.
    pub(crate) fn result(&self, text: &str) {
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes());
        let _ = stdout.flush();
    }

    /// Writes a result to stdout as one pretty-printed JSON document.
    pub(crate) fn json(&self, value: &impl serde::Serialize) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(value).map_err(|cause| {
            Error::new(
                crate::ops::Class::Internal,
                "Cannot write the result as JSON",
            )
            .caused_by(cause)
        })?;
        text.push('\n');
        self.result(&text);
        Ok(())
    }

    /// Writes a line for people to stderr.
    pub(crate) fn note(&self, line: &str) {
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// Prints a failure with its causes and hints, and returns the exit code.
    pub(crate) fn failure(&self, error: &Error) -> ExitCode {
        let mut text = format!("error: {error}\n");
        let mut cause = error.source();
        while let Some(source) = cause {
            text.push_str(&format!("  caused by: {source}\n"));
            cause = source.source();
        }
        for hint in error.hints() {
            text.push_str(&format!("  hint: {hint}\n"));
        }
        let _ = io::stderr().write_all(text.as_bytes());
        ExitCode::from(error.class().exit_code())
    }
}
