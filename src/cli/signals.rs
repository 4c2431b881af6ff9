//! Ctrl-C and SIGTERM: the first asks the operation to stop, the second ends the process.

use tokio::runtime::Handle;

use super::Output;
use crate::error::Class;
use crate::ops::Context;
use crate::serve::Signals;

/// Handles signals in the background from now on.
pub(super) fn watch(context: Context, output: Output) {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            // Not fatal: the process can still be killed, and the next run continues where it was.
            output.note(&format!("warning: Cannot listen for signals: {error}"));
            return;
        }
    };
    Handle::current().spawn(async move {
        signals.received().await;
        context.cancel.cancel();
        output.note("stopping; run the same command again to continue");
        signals.received().await;
        abort();
    });
}

#[expect(
    clippy::exit,
    reason = "whoever asks twice wants the process gone, whatever still runs"
)]
fn abort() -> ! {
    std::process::exit(i32::from(Class::Interrupted.exit_code()))
}
