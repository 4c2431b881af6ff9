//! Events, writers and terminals for the tests of sinks.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::TermLike;

use super::Painter;
use crate::progress::{Event, Phase};

pub(super) const MIB: u64 = 1 << 20;

const PHASE: Phase = Phase::Download;

pub(super) fn phase_started(items: u64, bytes: u64) -> Event {
    Event::PhaseStarted {
        phase: PHASE,
        items,
        bytes,
    }
}

pub(super) fn started_from(item: &str, bytes: u64, bytes_cached: u64) -> Event {
    Event::ItemStarted {
        phase: PHASE,
        item: item.into(),
        bytes,
        bytes_cached,
    }
}

pub(super) fn started(item: &str, bytes: u64) -> Event {
    started_from(item, bytes, 0)
}

pub(super) fn advanced(item: &str, bytes: u64) -> Event {
    Event::ItemAdvanced {
        phase: PHASE,
        item: item.into(),
        bytes,
    }
}

pub(super) fn finished(item: &str, ok: bool) -> Event {
    Event::ItemFinished {
        phase: PHASE,
        item: item.into(),
        ok,
    }
}

pub(super) fn retrying() -> Event {
    Event::Retrying {
        what: "GET https://r.example/v2/".to_owned(),
        attempt: 2,
        after_ms: 1250,
        cause: "connection\nreset".to_owned(),
    }
}

/// Calls that a [`Recorder`] received.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) advanced: u64,
    pub(super) log: Vec<String>,
}

pub(super) type Recorded = Arc<Mutex<Log>>;

/// A painter that records its calls.
#[derive(Debug)]
pub(super) struct Recorder(pub(super) Recorded);

impl Painter for Recorder {
    fn interval(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn event(&mut self, event: Event, _now: Duration) {
        if let Event::ItemAdvanced { bytes, .. } = event {
            self.0.lock().unwrap().advanced += bytes;
        }
    }

    fn note(&mut self, line: &str, _now: Duration) {
        self.0.lock().unwrap().log.push(line.to_owned());
    }

    fn tick(&mut self, _now: Duration) {}

    fn close(&mut self, _now: Duration) {
        self.0.lock().unwrap().log.push("closed".to_owned());
    }
}

/// A writer that is also a terminal whose cursor does not move.
#[derive(Debug, Clone, Default)]
pub(super) struct Screen {
    text: Arc<Mutex<Vec<u8>>>,
    /// True if writing fails, as to a closed pipe.
    broken: bool,
}

impl Screen {
    pub(super) fn broken() -> Self {
        Self {
            broken: true,
            ..Self::default()
        }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.text.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        100
    }

    fn move_cursor_up(&self, _n: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _n: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _n: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _n: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        writeln!(self.clone(), "{line}")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.clone().write_all(text.as_bytes())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
