//! Progress events of a running command, and the trait that receives them.
//!
//! The library never prints and never draws. Sinks (bars, lines, JSON) live in `cli`; tests record
//! the events.

use serde::Serialize;

/// A step of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Asking registries for the manifests of references.
    Resolve,
    /// Reading back what an interrupted run has written.
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

/// Something that happened. Byte counts are of content, not of bytes on the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A phase begins; totals are zero where they cannot be known.
    PhaseStarted {
        /// The phase.
        phase: Phase,
        /// Number of items that it will handle.
        items: u64,
        /// Number of bytes that it will handle.
        bytes: u64,
    },
    /// Work on one item (a blob, a chunk, an image) begins.
    ItemStarted {
        /// The phase to which the item belongs.
        phase: Phase,
        /// Stable id within the phase.
        item: String,
        /// Size in bytes.
        bytes: u64,
        /// Number of these bytes that an earlier run, or the target, already has.
        bytes_cached: u64,
    },
    /// More bytes of an item are done.
    ItemAdvanced {
        /// The phase to which the item belongs.
        phase: Phase,
        /// Id of the item.
        item: String,
        /// Bytes done since the last event.
        bytes: u64,
    },
    /// An item is complete, or was given up.
    ItemFinished {
        /// The phase to which the item belongs.
        phase: Phase,
        /// Id of the item.
        item: String,
        /// True if the item is complete.
        ok: bool,
    },
    /// A step failed and will be tried again.
    Retrying {
        /// The step that is tried again.
        what: String,
        /// Number of the next attempt, from 2.
        attempt: u32,
        /// Pause before the next attempt, in milliseconds.
        after_ms: u64,
        /// Cause of the failure.
        cause: String,
    },
    /// A message to the operator about something that does not stop the command.
    Warning {
        /// One sentence.
        message: String,
    },
    /// A phase ended.
    PhaseFinished {
        /// The phase.
        phase: Phase,
    },
}

/// Receives events, from several threads at once. Must not block and cannot fail.
pub trait Progress: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

/// Ignores all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn emit(&self, _event: Event) {}
}
