//! The context of an operation: progress and cancellation.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::progress::{Event, Progress};

/// Progress sink and cancellation of an operation.
#[derive(Clone)]
pub struct Context {
    /// Receives events.
    pub progress: Arc<dyn Progress>,
    /// Cancelled when the operator interrupts: the operation then stops in a resumable state.
    pub cancel: CancellationToken,
}

impl Context {
    /// Makes a context that is not cancelled.
    pub fn new(progress: Arc<dyn Progress>) -> Self {
        Self {
            progress,
            cancel: CancellationToken::new(),
        }
    }

    /// Sends an event to the progress sink.
    pub fn emit(&self, event: Event) {
        self.progress.emit(event);
    }

    /// Sends a warning to the progress sink.
    pub fn warn(&self, message: impl Into<String>) {
        self.emit(Event::Warning {
            message: message.into(),
        });
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("cancelled", &self.cancel.is_cancelled())
            .finish()
    }
}
