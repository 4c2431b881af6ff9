//! Progress for programs: one JSON object per line.
//!
//! The first line carries the version of the format. New kinds of events and new fields may be
//! added without a new version.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Painter;
use crate::progress::{Event, Phase};

/// Version of the format.
const VERSION: u32 = 1;

/// Minimum time between two advances of one item.
const EVERY: Duration = Duration::from_millis(200);

/// Writes events as JSON lines.
#[derive(Debug)]
pub(super) struct JsonLines<W> {
    writer: W,
    begun: bool,
    /// True after a failed write: the reader is gone.
    broken: bool,
    items: HashMap<(Phase, Arc<str>), Pending>,
}

/// Bytes of an item that were not reported yet.
#[derive(Debug, Default)]
struct Pending {
    bytes: u64,
    /// Time of the last report.
    told: Option<Duration>,
}

impl Pending {
    /// Takes the bytes if there are any and the last report is at least [`EVERY`] ago.
    fn due(&mut self, now: Duration) -> Option<u64> {
        let early = |told| now.saturating_sub(told) < EVERY;
        if self.bytes == 0 || self.told.is_some_and(early) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.bytes))
    }
}

/// Lines that are not events of an operation.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Frame<'a> {
    Start {
        version: u32,
        airferry: &'static str,
    },
    Note {
        message: &'a str,
    },
}

impl<W: Write> JsonLines<W> {
    pub(super) fn new(writer: W) -> Self {
        Self {
            writer,
            begun: false,
            broken: false,
            items: HashMap::new(),
        }
    }

    fn line(&mut self, value: &impl Serialize) {
        if !self.begun {
            self.begun = true;
            self.line(&Frame::Start {
                version: VERSION,
                airferry: env!("CARGO_PKG_VERSION"),
            });
        }
        if self.broken {
            return;
        }
        let Ok(mut text) = serde_json::to_vec(value) else {
            return;
        };
        text.push(b'\n');
        // Written in one call: other threads may write to the same stream.
        let written = self.writer.write_all(&text);
        self.broken = written.and_then(|()| self.writer.flush()).is_err();
    }

    fn advanced(&mut self, phase: Phase, item: Arc<str>, bytes: u64) {
        self.line(&Event::ItemAdvanced { phase, item, bytes });
    }

    /// Reports the pending bytes of an item that begins or ends.
    fn settle(&mut self, phase: Phase, item: &Arc<str>) {
        if let Some((key, pending)) = self.items.remove_entry(&(phase, Arc::clone(item)))
            && pending.bytes > 0
        {
            self.advanced(phase, key.1, pending.bytes);
        }
    }
}

impl<W: Write + Send> Painter for JsonLines<W> {
    fn interval(&self) -> Duration {
        EVERY
    }

    fn event(&mut self, event: Event, now: Duration) {
        match event {
            Event::ItemAdvanced { phase, item, bytes } => {
                let pending = self.items.entry((phase, item.clone())).or_default();
                pending.bytes = pending.bytes.saturating_add(bytes);
                if let Some(bytes) = pending.due(now) {
                    self.advanced(phase, item, bytes);
                }
            }
            event => {
                if let Event::ItemStarted { phase, item, .. }
                | Event::ItemFinished { phase, item, .. } = &event
                {
                    self.settle(*phase, item);
                }
                self.line(&event);
            }
        }
    }

    fn note(&mut self, line: &str, _now: Duration) {
        self.line(&Frame::Note { message: line });
    }

    fn tick(&mut self, now: Duration) {
        let due = self
            .items
            .iter_mut()
            .filter_map(|((phase, item), pending)| {
                let bytes = pending.due(now)?;
                Some((*phase, item.clone(), bytes))
            });
        let mut due: Vec<_> = due.collect();
        due.sort_by(|a, b| a.1.cmp(&b.1));
        for (phase, item, bytes) in due {
            self.advanced(phase, item, bytes);
        }
    }

    fn close(&mut self, now: Duration) {
        for pending in self.items.values_mut() {
            pending.told = None;
        }
        self.tick(now);
    }
}
