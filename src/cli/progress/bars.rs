//! Progress on a terminal: a bar for each phase, and lines for the largest items in flight.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::tally::{Tally, name};
use super::{Painter, line_for, printable};
use crate::progress::Event;

/// Time before the first drawing; most short commands end earlier.
const FIRST_DRAW: Duration = Duration::from_millis(250);

/// Time between two drawings.
const REDRAW: Duration = Duration::from_millis(100);

/// Maximum number of items that are shown, besides the phases.
const ITEMS: usize = 6;

/// Maximum length of a shown item name, in characters; then the rest fits 80 columns.
const NAME: usize = 16;

/// Draws progress bars.
pub(super) struct Bars {
    tally: Tally,
    multi: MultiProgress,
    bars: Vec<ProgressBar>,
    style: ProgressStyle,
    /// Time when the next drawing is due.
    next: Duration,
    closed: bool,
}

/// One line of the drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    name: String,
    permille: u64,
    status: String,
}

impl Bars {
    pub(super) fn on_stderr() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        // The template is a constant and valid; the default style only avoids a panic.
        let style = ProgressStyle::with_template("{prefix:18!} [{bar:16}] {wide_msg}");
        Self {
            tally: Tally::default(),
            multi: MultiProgress::with_draw_target(target),
            bars: Vec::new(),
            style: style
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> "),
            next: FIRST_DRAW,
            closed: false,
        }
    }

    fn line(&self, line: &str) {
        // A failed write is no reason to stop the command: the terminal may be gone.
        let _ = self.multi.println(line);
    }

    fn draw(&mut self, rows: &[Row]) {
        while self.bars.len() > rows.len() {
            if let Some(bar) = self.bars.pop() {
                self.multi.remove(&bar);
            }
        }
        while self.bars.len() < rows.len() {
            let bar = self.multi.add(ProgressBar::new(1000));
            bar.set_style(self.style.clone());
            self.bars.push(bar);
        }
        for (bar, row) in self.bars.iter().zip(rows) {
            bar.set_prefix(row.name.clone());
            bar.set_position(row.permille);
            bar.set_message(row.status.clone());
        }
    }
}

/// Returns the lines to draw: each phase, followed by its largest items.
fn rows(tally: &Tally, now: Duration) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut left = ITEMS;
    for phase in tally.phases() {
        rows.push(Row {
            name: name(phase.phase).to_owned(),
            permille: phase.permille(),
            status: phase.status(now),
        });
        for (name, item) in phase.largest().into_iter().take(left) {
            left = left.saturating_sub(1);
            rows.push(Row {
                name: format!("  {}", printable(&short(name))),
                permille: item.permille(),
                status: item.status(now),
            });
        }
    }
    rows
}

/// Shortens a name: long names differ at their ends, digests at their beginnings.
fn short(name: &str) -> String {
    let length = name.chars().count();
    if length <= NAME {
        return name.to_owned();
    }
    if let Some(hex) = name.strip_prefix("sha256:") {
        return hex.chars().take(12).collect();
    }
    let end: String = name.chars().skip(length + 3 - NAME).collect();
    format!("...{end}")
}

impl Painter for Bars {
    fn interval(&self) -> Duration {
        REDRAW
    }

    fn event(&mut self, event: Event, now: Duration) {
        let ended = self.tally.count(&event, now);
        if let Some(line) = line_for(&event) {
            self.line(&line);
        }
        // The bar of the phase disappears; its summary stays if the bar was drawn.
        if let Some(tally) = ended
            && now.saturating_sub(tally.began) >= FIRST_DRAW
        {
            self.line(&format!("{}: {}", name(tally.phase), tally.summary(now)));
        }
    }

    fn note(&mut self, line: &str, _now: Duration) {
        self.line(line);
    }

    fn tick(&mut self, now: Duration) {
        if self.closed || now < self.next {
            return;
        }
        self.next = now.saturating_add(REDRAW);
        self.tally.pass(now);
        let rows = rows(&self.tally, now);
        self.draw(&rows);
    }

    fn close(&mut self, _now: Duration) {
        self.closed = true;
        let _ = self.multi.clear();
        self.draw(&[]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MIB, Screen, advanced, phase_started, retrying, started};
    use super::*;
    use crate::progress::{Event, Phase};

    fn bars(screen: &Screen) -> Bars {
        Bars::on(ProgressDrawTarget::term_like(Box::new(screen.clone())))
    }

    #[test]
    fn the_largest_items_stand_below_their_phase() {
        let mut tally = Tally::default();
        tally.count(&phase_started(9, 900 * MIB), Duration::ZERO);
        for item in 1..=9 {
            tally.count(
                &started(&format!("blob-{item}"), item * 10 * MIB),
                Duration::ZERO,
            );
        }
        tally.count(&advanced("blob-9", 45 * MIB), Duration::from_secs(1));
        let rows = rows(&tally, Duration::from_secs(1));
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let expected: Vec<String> = (4..=9).rev().map(|i| format!("  blob-{i}")).collect();
        assert_eq!(names[0], "download");
        assert_eq!(names[1..], expected);
        assert_eq!((rows[0].permille, rows[1].permille), (50, 500));
        assert_eq!(rows[1].status, "45.0 MiB of 90.0 MiB, 45.0 MiB/s, 1 s left");
    }

    #[test]
    fn names_are_shortened_where_they_do_not_differ() {
        assert_eq!(short("000001.tar"), "000001.tar");
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(short(&digest), "0123456789ab");
        assert_eq!(
            short("quay.io/openshift/release-images:4.18.1"),
            "...images:4.18.1"
        );
    }

    #[test]
    fn nothing_is_drawn_before_its_time_or_after_the_end() {
        let screen = Screen::default();
        let mut bars = bars(&screen);
        let ms = Duration::from_millis;
        bars.event(phase_started(1, MIB), ms(0));
        bars.event(started("a", MIB), ms(0));
        bars.tick(ms(249));
        assert_eq!(screen.text(), "");
        bars.tick(ms(250));
        assert!(screen.text().contains("download"), "{}", screen.text());
        bars.event(retrying(), ms(300));
        assert!(screen.text().contains("retry: "), "{}", screen.text());
        bars.close(ms(400));
        let before = screen.text();
        bars.tick(ms(600));
        assert_eq!(screen.text(), before);
        bars.note("late", ms(700));
        assert!(screen.text().contains("late"));
    }

    #[test]
    fn phases_that_were_drawn_leave_a_line() {
        let screen = Screen::default();
        let mut bars = bars(&screen);
        let phase = Phase::Download;
        bars.event(phase_started(0, MIB), Duration::ZERO);
        bars.event(Event::PhaseFinished { phase }, Duration::from_millis(200));
        assert_eq!(screen.text(), "");
        bars.event(phase_started(0, MIB), Duration::ZERO);
        bars.event(advanced("a", MIB), Duration::from_secs(1));
        bars.event(Event::PhaseFinished { phase }, Duration::from_secs(2));
        let text = screen.text();
        assert!(
            text.contains("download: 1.0 MiB of 1.0 MiB in 2 s"),
            "{text}"
        );
    }
}
