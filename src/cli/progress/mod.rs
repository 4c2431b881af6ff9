//! Who watches a running command: sinks for [`crate::progress::Progress`].

use std::io::{self, Write as _};
use std::sync::Arc;

use crate::progress::{Event, Progress};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum ProgressMode {
    /// Bars on a terminal, else lines.
    #[default]
    Auto,
    /// Bars; lines where there is no terminal.
    Bars,
    /// A line now and then.
    Lines,
    /// One JSON object a line on stderr.
    Json,
    /// Warnings alone.
    None,
}

/// How progress is shown.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ProgressArgs {
    /// Prints only warnings, errors and results.
    #[arg(long, short, global = true, conflicts_with = "progress")]
    quiet: bool,

    /// How progress is shown on stderr.
    #[arg(long, global = true, value_name = "HOW", default_value = "auto")]
    progress: ProgressMode,
}

impl ProgressArgs {
    /// Starts the sink that was asked for.
    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(Quiet)
    }

    /// Whether stderr is for programs: one JSON object a line.
    pub(crate) fn events_on_stderr(&self) -> bool {
        self.progress == ProgressMode::Json && !self.quiet
    }
}

/// A watcher that shares stderr with everybody else who prints there.
pub(crate) trait Sink: Progress {
    /// Writes a line for people, above whatever is drawn.
    fn note(&self, line: &str);
    /// Draws nothing any more; what was drawn stays or is gone. May be called again.
    fn finish(&self);
}

/// Tells of warnings alone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quiet;

impl Progress for Quiet {
    fn emit(&self, event: Event) {
        if let Event::Warning { message } = event {
            self.note(&format!("warning: {message}"));
        }
    }
}

impl Sink for Quiet {
    fn note(&self, line: &str) {
        let _ = writeln!(io::stderr(), "{line}");
    }

    fn finish(&self) {}
}
