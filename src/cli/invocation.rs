//! What every verb is given besides its arguments.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::Output;
use super::environment::Environment;
use super::progress::{ProgressArgs, Sink};
use super::signals;
use crate::error::Error;
use crate::ops::Context;
use crate::progress::Progress;

/// Flags that stand before or after any verb.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Progress")]
pub(crate) struct GlobalArgs {
    #[command(flatten)]
    progress: ProgressArgs,
}

impl GlobalArgs {
    /// Says what cannot be meant together.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        self.progress.contradiction()
    }
}

/// What every verb is given besides its arguments: where its text goes, who watches and who
/// may stop it.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// Where text goes.
    pub(crate) output: Output,
    /// Variables and well-known places.
    pub(super) environment: Environment,
    context: Context,
    signals: OnceLock<()>,
}

impl Invocation {
    pub(crate) fn new(args: &GlobalArgs) -> Self {
        let environment = Environment::here();
        let sink: Arc<dyn Sink> = args.progress.sink(&environment);
        let progress: Arc<dyn Progress> = sink.clone();
        Self {
            output: Output::new(sink, args.progress.events_on_stderr()),
            environment,
            context: Context::new(progress),
            signals: OnceLock::new(),
        }
    }

    /// Receives events, for what is made before an operation begins.
    pub(crate) fn progress(&self) -> Arc<dyn Progress> {
        Arc::clone(&self.context.progress)
    }

    /// Where caches that survive the process are kept.
    pub(crate) fn state_directory(&self) -> Result<PathBuf, Error> {
        self.environment.state("airferry").ok_or_else(|| {
            Error::usage("There is no place to keep upload sessions")
                .hint("set HOME or XDG_STATE_HOME")
        })
    }

    /// What an operation is given. From the first call on, Ctrl-C and SIGTERM cancel it, so a
    /// verb asks for passphrases before; a verb that never calls this ends at Ctrl-C at once.
    ///
    /// Must be called in the asynchronous runtime.
    pub(crate) fn context(&self) -> &Context {
        self.signals
            .get_or_init(|| signals::watch(self.context.clone(), self.output.clone()));
        &self.context
    }
}
