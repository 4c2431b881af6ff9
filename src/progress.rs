//! Progress events of a running command: one trait with one method.
//!
//! The library neither prints nor draws. Receivers (bars, lines, JSON) are in `cli`; tests record
//! the events.

use std::sync::Arc;

use serde::Serialize;

/// A step of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Resolving references at registries.
    Resolve,
    /// Reading back what an interrupted run wrote.
    Resume,
    /// Downloading blobs onto the medium.
    Download,
    /// Writing inventory, manifest and statements.
    Seal,
    /// Reading the medium back and hashing it.
    Verify,
    /// Asking the target which content it has.
    Probe,
    /// Sending blobs and manifests to the target.
    Upload,
    /// Reading back from the target what this run sent.
    ReadBack,
    /// Writing files for people or for the cluster.
    Write,
}

/// An event. Byte counts are of content, not of bytes on the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A phase begins. Totals are zero where they are not known.
    PhaseStarted {
        /// The phase.
        phase: Phase,
        /// Number of items in it.
        items: u64,
        /// Number of bytes in it.
        bytes: u64,
    },
    /// Work on one item (a blob, a chunk, an image) begins.
    ItemStarted {
        /// Phase of the item.
        phase: Phase,
        /// Id of the item, the same in all events of the phase.
        item: Arc<str>,
        /// Size in bytes.
        bytes: u64,
        /// Number of these bytes that an earlier run wrote or that the target already has.
        bytes_cached: u64,
    },
    /// More bytes of an item are done.
    ItemAdvanced {
        /// Phase of the item.
        phase: Phase,
        /// Id of the item.
        item: Arc<str>,
        /// Bytes done since the last event.
        bytes: u64,
    },
    /// An item is complete, or was given up.
    ItemFinished {
        /// Phase of the item.
        phase: Phase,
        /// Id of the item.
        item: Arc<str>,
        /// True if the item is whole.
        ok: bool,
    },
    /// A step failed and will be tried again.
    Retrying {
        /// The step that is tried again.
        what: String,
        /// Number of the next attempt; the first retry is 2.
        attempt: u32,
        /// Pause before the next attempt, in milliseconds.
        after_ms: u64,
        /// The error that made the retry necessary.
        cause: String,
    },
    /// A message that the operator should read, and that does not stop the command.
    Warning {
        /// The message, one sentence.
        message: String,
    },
    /// A phase ended.
    PhaseFinished {
        /// The phase.
        phase: Phase,
    },
}

/// A receiver of events, called from several threads at once. It must not block and cannot fail.
pub trait Progress: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

/// A receiver that ignores all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn emit(&self, _event: Event) {}
}
