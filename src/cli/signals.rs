//! Ctrl-C and SIGTERM: the first asks the operation to stop, the second ends the process.

use tokio::runtime::Handle;

use super::Output;
use crate::ops::{Class, Context};
use crate::serve::terminated;

/// Watches for signals in the background from now on.
pub(super) fn watch(context: Context, output: Output) {
    Handle::current().spawn(async move {
        if let Err(error) = terminated().await {
            // The process can still be killed, and continues where it was.
            output.note(&format!("warning: Cannot listen for signals: {error}"));
            return;
        }
        context.cancel.cancel();
        output.note("stopping; run the same command again to continue");
        if terminated().await.is_ok() {
            abort();
        }
    });
}

#[expect(
    clippy::exit,
    reason = "whoever asks twice wants the process gone, whatever still runs"
)]
fn abort() -> ! {
    std::process::exit(i32::from(Class::Interrupted.exit_code()))
}
