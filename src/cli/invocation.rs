//! Input of every verb besides its arguments.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::Output;
use super::environment::Environment;
use super::progress::{ProgressArgs, Sink};
use super::signals;
use crate::ops::Context;
use crate::progress::Progress;

/// Flags that may stand before or after any verb.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Progress")]
pub(crate) struct GlobalArgs {
    #[command(flatten)]
    progress: ProgressArgs,
}

impl GlobalArgs {
    /// Returns a message if the flags contradict each other.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        self.progress.contradiction()
    }
}

/// Input of every verb besides its arguments: the output, the environment, the receiver of progress
/// events, and cancellation.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// Writer of results and notes.
    pub(crate) output: Output,
    /// Environment variables and well-known directories.
    pub(super) environment: Environment,
    context: Context,
    signals: OnceLock<()>,
}

impl Invocation {
    pub(crate) fn new(args: &GlobalArgs) -> Self {
        let environment = Environment::of_process();
        let sink: Arc<dyn Sink> = args.progress.sink(&environment);
        let progress: Arc<dyn Progress> = sink.clone();
        Self {
            output: Output::new(sink, args.progress.events_on_stderr()),
            environment,
            context: Context::new(progress),
            signals: OnceLock::new(),
        }
    }

    /// Returns the receiver of progress events, for objects made before an operation begins.
    pub(crate) fn progress(&self) -> Arc<dyn Progress> {
        Arc::clone(&self.context.progress)
    }

    /// Returns the directory of caches that survive the process, if the environment names one.
    pub(crate) fn state_directory(&self) -> Option<PathBuf> {
        self.environment.state("airferry")
    }

    /// Returns the context of an operation. From the first call on, Ctrl-C and SIGTERM cancel the
    /// operation instead of ending the process, so a verb must ask for passphrases before. A verb
    /// that never calls this ends at once on Ctrl-C.
    ///
    /// Must be called in the asynchronous runtime.
    pub(crate) fn context(&self) -> &Context {
        self.signals
            .get_or_init(|| signals::watch(self.context.clone(), self.output.clone()));
        &self.context
    }
}
