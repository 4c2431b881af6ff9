//! What a running command tells whoever watches: one trait with one method.
//!
//! The library never prints and never draws. Sinks (bars, lines, JSON) live in `cli`; tests
//! record the events.

use serde::Serialize;

/// A step of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Asking registries what references mean.
    Resolve,
    /// Reading back what an interrupted run left.
    Resume,
    /// Downloading blobs onto the medium.
    Download,
    /// Writing inventory, manifest and statements.
    Seal,
    /// Reading the medium back and hashing it.
    Verify,
    /// Asking the target what it has.
    Probe,
    /// Sending blobs and manifests to the target.
    Upload,
    /// Reading back from the target what was sent.
    ReadBack,
    /// Writing files for people or for the cluster.
    Write,
}

/// Something that happened. Byte counts are of content, not of the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A phase begins; totals are zero where they cannot be known.
    PhaseStarted {
        /// Which one.
        phase: Phase,
        /// Number of items that it will handle.
        items: u64,
        /// Number of bytes that it will handle.
        bytes: u64,
    },
    /// Work on one item (a blob, a chunk, an image) begins.
    ItemStarted {
        /// Which phase it belongs to.
        phase: Phase,
        /// Stable id within the phase.
        item: String,
        /// Size in bytes.
        bytes: u64,
        /// How many of them an earlier run, or the target, already has.
        bytes_cached: u64,
    },
    /// More bytes of an item are done.
    ItemAdvanced {
        /// Which phase it belongs to.
        phase: Phase,
        /// The item.
        item: String,
        /// Bytes done since the last event.
        bytes: u64,
    },
    /// An item is done, or given up.
    ItemFinished {
        /// Which phase it belongs to.
        phase: Phase,
        /// The item.
        item: String,
        /// Whether it is whole.
        ok: bool,
    },
    /// Something failed and will be tried again.
    Retrying {
        /// What is tried again.
        what: String,
        /// The attempt that comes next, from 2.
        attempt: u32,
        /// Pause before it, in milliseconds.
        after_ms: u64,
        /// What went wrong.
        cause: String,
    },
    /// Something that a person should know, and that does not stop the command.
    Warning {
        /// One sentence.
        message: String,
    },
    /// A phase ended.
    PhaseFinished {
        /// Which one.
        phase: Phase,
    },
}

/// Receives events, from several threads at once. Must not block and cannot fail.
pub trait Progress: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn emit(&self, _event: Event) {}
}
