//! Progress display: sinks for [`crate::progress::Progress`] that draw and print.
//!
//! Events come from many threads, tens of thousands per second. A sink merges them in a queue
//! ([`worker`]); a separate thread takes them from there and passes them to a [`Painter`], which
//! may be as slow as the terminal.

mod bars;
mod json;
mod lines;
mod tally;
mod worker;

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::time::Duration;

use super::environment::Environment;
use crate::model::is_deceptive;
use crate::progress::{Event, Progress};
use bars::Bars;
use json::JsonLines;
use lines::Lines;
use worker::Worker;

/// Ways to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum ProgressMode {
    /// Bars on a terminal, otherwise lines.
    #[default]
    Auto,
    /// Bars; lines without a terminal.
    Bars,
    /// A line every ten seconds.
    Lines,
    /// One JSON object per line.
    Json,
    /// Only warnings.
    None,
}

/// Arguments about progress.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ProgressArgs {
    /// Prints only warnings, errors and results: the same as `--progress none`.
    #[arg(long, short, global = true)]
    quiet: bool,

    /// How progress is shown on stderr.
    #[arg(long, global = true, value_name = "HOW", default_value = "auto")]
    progress: ProgressMode,
}

impl ProgressArgs {
    /// Returns a message if the flags contradict each other. (clap checks conflicts of flags, but
    /// not of their values.)
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let shown = matches!(
            self.progress,
            ProgressMode::Bars | ProgressMode::Lines | ProgressMode::Json
        );
        (self.quiet && shown)
            .then_some("--quiet cannot be used with --progress bars, lines or json")
    }

    /// Starts the sink that the flags select.
    pub(crate) fn sink(&self, environment: &Environment) -> Arc<dyn Sink> {
        let dumb = environment.variable("TERM").is_none_or(|t| t == "dumb");
        match self.mode(io::stderr().is_terminal() && !dumb) {
            ProgressMode::None => Arc::new(Quiet),
            ProgressMode::Json => Worker::start(Box::new(JsonLines::new(io::stderr()))),
            ProgressMode::Lines => Worker::start(Box::new(Lines::new(io::stderr()))),
            ProgressMode::Auto | ProgressMode::Bars => Worker::start(Box::new(Bars::on_stderr())),
        }
    }

    /// True if stderr is for programs: one JSON object per line.
    pub(crate) fn events_on_stderr(&self) -> bool {
        self.mode(false) == ProgressMode::Json
    }

    /// Returns the mode that is used. `terminal`: true if stderr is a terminal whose cursor can be
    /// moved.
    fn mode(&self, terminal: bool) -> ProgressMode {
        match self.progress {
            _ if self.quiet => ProgressMode::None,
            ProgressMode::Auto | ProgressMode::Bars if terminal => ProgressMode::Bars,
            ProgressMode::Auto | ProgressMode::Bars => ProgressMode::Lines,
            other => other,
        }
    }
}

/// A receiver of progress events that shares stderr with all other output.
pub(crate) trait Sink: Progress {
    /// Writes a line for people, above the drawing.
    fn note(&self, line: &str);
    /// Writes the pending events and stops drawing. May be called again.
    fn finish(&self);
}

/// Shows events, on the sink's own thread while it runs. Times count from the sink's start.
trait Painter: Send {
    /// Returns the longest time between two calls of `tick`.
    fn interval(&self) -> Duration;
    /// Shows or counts one event. Advances of one item may have been merged.
    fn event(&mut self, event: Event, now: Duration);
    /// Writes a line for people.
    fn note(&mut self, line: &str, now: Duration);
    /// Called at least once in each interval, also without events.
    fn tick(&mut self, now: Duration);
    /// Stops drawing; notes and warnings are still written afterwards.
    fn close(&mut self, now: Duration);
}

/// A sink that prints only warnings and notes.
#[derive(Debug, Clone, Copy, Default)]
struct Quiet;

impl Progress for Quiet {
    fn emit(&self, event: Event) {
        if let Event::Warning { .. } = event
            && let Some(line) = line_for(&event)
        {
            self.note(&line);
        }
    }
}

impl Sink for Quiet {
    fn note(&self, line: &str) {
        let _ = writeln!(io::stderr(), "{line}");
    }

    fn finish(&self) {}
}

/// Returns the line that is printed for an event at once; `None` for events that are only counted.
fn line_for(event: &Event) -> Option<String> {
    match event {
        Event::Warning { message } => Some(format!("warning: {}", printable(message))),
        Event::Retrying {
            what,
            attempt,
            after_ms,
            cause,
        } => {
            let (what, cause) = (printable(what), printable(cause));
            let tenths = after_ms.div_ceil(100);
            let (seconds, tenths) = (tenths / 10, tenths % 10);
            Some(format!(
                "retry: {what}: {cause} (attempt {attempt} in {seconds}.{tenths} s)"
            ))
        }
        _ => None,
    }
}

/// Replaces the characters by which a registry's or medium's text could break the line or control
/// the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if is_deceptive(c) { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
