//! Output of the program: results go to stdout, everything else to stderr.

use std::error::Error as _;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::progress::Sink;
use crate::error::{Class, Error};

/// Formats of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document on stdout.
    Json,
}

/// Argument for the format of the result; flattened into every verb that has one.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// How the result is written to stdout.
    #[arg(
        id = "output_format",
        long = "output",
        short = 'o',
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(crate) format: Format,
}

/// Returns true if the verb's result is requested as JSON.
pub(super) fn wants_json(matches: &clap::ArgMatches) -> bool {
    let mut verb = matches;
    while let Some((_, inner)) = verb.subcommand() {
        verb = inner;
    }
    let asked = verb.try_get_one::<Format>("output_format").ok().flatten();
    asked == Some(&Format::Json)
}

/// Writer for both streams. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Output {
    /// Draws progress on stderr while a command runs.
    sink: Arc<dyn Sink>,
    /// True if stderr is for programs: one JSON object per line.
    events: bool,
    /// True while a requested JSON document is not written yet.
    document_pending: Arc<AtomicBool>,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

impl Output {
    pub(crate) fn new(sink: Arc<dyn Sink>, events: bool) -> Self {
        Self {
            sink,
            events,
            document_pending: Arc::default(),
        }
    }

    /// Records that stdout must get one JSON document, even if the command fails before it has a
    /// result; then the document is the failure.
    pub(super) fn expect_document(&self) {
        self.document_pending.store(true, Ordering::Relaxed);
    }

    /// Writes a result to stdout, as JSON or as the text that `text` makes of it.
    pub(crate) fn outcome<T: Serialize>(
        &self,
        format: Format,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Error> {
        match format {
            Format::Json => self.json(value),
            Format::Text => {
                self.result(&text(value));
                Ok(())
            }
        }
    }

    /// Writes a result to stdout after ending the progress display. Write errors are ignored: the
    /// reader may have closed the pipe.
    pub(crate) fn result(&self, text: &str) {
        self.sink.finish();
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes());
        let _ = stdout.flush();
    }

    /// Writes a result to stdout as one pretty-printed JSON document, after ending the progress
    /// display.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(value)
            .map_err(|cause| Error::internal("Cannot write the result as JSON", cause))?;
        text.push('\n');
        self.document_pending.store(false, Ordering::Relaxed);
        self.result(&text);
        Ok(())
    }

    /// Writes a line for people to stderr, above the progress display.
    pub(crate) fn note(&self, line: &str) {
        self.sink.note(line);
    }

    /// Ends the progress display. Results and failures do this themselves.
    pub(crate) fn finish(&self) {
        self.sink.finish();
    }

    /// Prints a failure with its causes and hints, and returns the exit code.
    pub(crate) fn failure(&self, error: &Error) -> ExitCode {
        self.finish();
        let failure = Failure::of(error);
        let text = match self.events {
            true => serde_json::to_string(&failure).unwrap_or_default() + "\n",
            false => failure.to_string(),
        };
        let _ = io::stderr().write_all(text.as_bytes());
        if self.document_pending.swap(false, Ordering::Relaxed) {
            // If this fails, the failure has already been printed on stderr.
            let _ = self.json(&failure);
        }
        ExitCode::from(failure.exit_code)
    }
}

/// A failure in its printed form.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "failed", rename_all = "snake_case")]
struct Failure<'a> {
    exit_code: u8,
    message: String,
    causes: Vec<String>,
    hints: &'a [String],
}

impl<'a> Failure<'a> {
    fn of(error: &'a Error) -> Self {
        let class: Class = error.class();
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(source) = cause {
            causes.push(source.to_string());
            cause = source.source();
        }
        Self {
            exit_code: class.exit_code(),
            message: error.to_string(),
            causes,
            hints: error.hints(),
        }
    }
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        for cause in &self.causes {
            writeln!(f, "  caused by: {cause}")?;
        }
        for hint in self.hints {
            writeln!(f, "  hint: {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_name_causes_and_hints() {
        let error = Error::new(Class::Media, "Cannot read")
            .caused_by(io::Error::other("the stick is gone"))
            .hint("plug it in");
        let failure = Failure::of(&error);
        assert_eq!(
            failure.to_string(),
            "error: Cannot read\n  caused by: the stick is gone\n  hint: plug it in\n"
        );
        assert_eq!(
            serde_json::to_string(&failure).unwrap(),
            r#"{"event":"failed","exit_code":8,"message":"Cannot read","causes":["the stick is gone"],"hints":["plug it in"]}"#
        );
    }
}
