//! What every operation is given besides its request.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::progress::{Event, Progress};

/// Who watches, and who may stop it.
#[derive(Clone)]
pub struct Context {
    /// Receives events.
    pub progress: Arc<dyn Progress>,
    /// Cancelled when the person wants to stop: the operation then leaves everything resumable.
    pub cancel: CancellationToken,
}

impl Context {
    /// A context that nobody has cancelled.
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
