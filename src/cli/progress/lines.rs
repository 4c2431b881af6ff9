//! Progress without a terminal: occasional lines, suitable for a log.

use std::io::Write;
use std::time::Duration;

use super::tally::{Tally, name};
use super::{Painter, line_for};
use crate::progress::{Event, Phase};

/// Time between two lines about a running phase.
const EVERY: Duration = Duration::from_secs(10);

/// Writes progress lines.
#[derive(Debug)]
pub(super) struct Lines<W> {
    writer: W,
    tally: Tally,
    /// Time of the last line, by phase.
    told: Vec<(Phase, Duration)>,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(writer: W) -> Self {
        Self {
            writer,
            tally: Tally::default(),
            told: Vec::new(),
        }
    }

    fn line(&mut self, line: &str) {
        // A failed write is no reason to stop the command: the reader may be gone.
        let _ = writeln!(self.writer, "{line}");
    }

    /// Records the time of the last line about a phase.
    fn tell(&mut self, phase: Phase, now: Duration) {
        self.told.retain(|(told, _)| *told != phase);
        self.told.push((phase, now));
    }
}

impl<W: Write + Send> Painter for Lines<W> {
    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn event(&mut self, event: Event, now: Duration) {
        let ended = self.tally.count(&event, now);
        if let Some(line) = line_for(&event) {
            self.line(&line);
        }
        if let Event::PhaseStarted { phase, .. } = event
            && let Some(tally) = self.tally.phase(phase)
        {
            let line = format!("{}: {}", name(phase), tally.size());
            self.line(&line);
            self.tell(phase, now);
        }
        if let Some(tally) = ended {
            let line = format!("{}: {}", name(tally.phase), tally.summary(now));
            self.line(&line);
        }
    }

    fn note(&mut self, line: &str, _now: Duration) {
        self.line(line);
    }

    fn tick(&mut self, now: Duration) {
        self.tally.pass(now);
        let mut due = Vec::new();
        for tally in self.tally.phases() {
            let told = self.told.iter().find(|(phase, _)| *phase == tally.phase);
            let last = told.map_or(tally.began, |(_, time)| *time);
            if now.saturating_sub(last) >= EVERY {
                let percent = tally.permille() / 10;
                let (name, status) = (name(tally.phase), tally.status(now));
                let line = format!("{name}: {percent} %, {status}");
                due.push((tally.phase, line));
            }
        }
        for (phase, line) in due {
            self.line(&line);
            self.tell(phase, now);
        }
    }

    fn close(&mut self, _now: Duration) {
        let _ = self.writer.flush();
    }
}
