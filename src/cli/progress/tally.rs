//! Adds up events: the amount done, the rate, and the time left.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{ByteSize, Count};
use crate::progress::{Event, Phase};

/// Length of the time window over which rates are measured.
const WINDOW: Duration = Duration::from_secs(15);

/// Minimum time between two samples.
const SAMPLE: Duration = Duration::from_millis(250);

/// The running phases.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// In the order in which they began.
    phases: Vec<PhaseTally>,
}

/// Progress of a phase.
#[derive(Debug)]
pub(super) struct PhaseTally {
    pub(super) phase: Phase,
    pub(super) began: Duration,
    items: u64,
    items_done: u64,
    /// Bytes of all items.
    bytes: u64,
    /// Bytes done of all items, including those present before.
    done: u64,
    rate: Rate,
    running: BTreeMap<Arc<str>, ItemTally>,
    /// Bytes in `done` of items that failed; dropped from it if the item begins again.
    failed: BTreeMap<Arc<str>, u64>,
}

/// Progress of an item.
#[derive(Debug)]
pub(super) struct ItemTally {
    bytes: u64,
    done: u64,
    rate: Rate,
}

impl Tally {
    /// Returns the running phases, in the order in which they began.
    pub(super) fn phases(&self) -> &[PhaseTally] {
        &self.phases
    }

    pub(super) fn phase(&self, phase: Phase) -> Option<&PhaseTally> {
        self.phases.iter().find(|tally| tally.phase == phase)
    }

    /// Counts an event. Returns the phase that it ends, if any.
    pub(super) fn count(&mut self, event: &Event, now: Duration) -> Option<PhaseTally> {
        match event {
            Event::PhaseStarted {
                phase,
                items,
                bytes,
            } => {
                self.end(*phase);
                self.phases
                    .push(PhaseTally::new(*phase, *items, *bytes, now));
            }
            Event::ItemStarted {
                phase,
                item,
                bytes,
                bytes_cached,
            } => self.of(*phase, now).start(item, *bytes, *bytes_cached, now),
            Event::ItemAdvanced { phase, item, bytes } => {
                self.of(*phase, now).advance(item, *bytes, now);
            }
            Event::ItemFinished { phase, item, ok } => self.of(*phase, now).finish(item, *ok),
            Event::PhaseFinished { phase } => return self.end(*phase),
            Event::Retrying { .. } | Event::Warning { .. } => {}
        }
        None
    }

    /// Updates the rates, which fall while no bytes are moved.
    pub(super) fn pass(&mut self, now: Duration) {
        for phase in &mut self.phases {
            phase.rate.add(0, now);
            for item in phase.running.values_mut() {
                item.rate.add(0, now);
            }
        }
    }

    fn end(&mut self, phase: Phase) -> Option<PhaseTally> {
        let at = self.phases.iter().position(|tally| tally.phase == phase)?;
        Some(self.phases.remove(at))
    }

    /// Returns the phase's tally; a phase that was never announced begins now.
    fn of(&mut self, phase: Phase, now: Duration) -> &mut PhaseTally {
        let at = self.phases.iter().position(|tally| tally.phase == phase);
        let at = at.unwrap_or_else(|| {
            self.phases.push(PhaseTally::new(phase, 0, 0, now));
            self.phases.len().saturating_sub(1)
        });
        &mut self.phases[at]
    }
}

impl PhaseTally {
    fn new(phase: Phase, items: u64, bytes: u64, now: Duration) -> Self {
        Self {
            phase,
            began: now,
            items,
            items_done: 0,
            bytes,
            done: 0,
            rate: Rate::new(now),
            running: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    fn start(&mut self, item: &Arc<str>, bytes: u64, cached: u64, now: Duration) {
        if let Some(again) = self.running.remove(item) {
            self.done = self.done.saturating_sub(again.done);
        }
        if let Some(done) = self.failed.remove(item) {
            self.done = self.done.saturating_sub(done);
            self.items_done = self.items_done.saturating_sub(1);
        }
        self.done = self.done.saturating_add(cached);
        let tally = ItemTally {
            bytes,
            done: cached,
            rate: Rate::new(now),
        };
        self.running.insert(Arc::clone(item), tally);
    }

    fn advance(&mut self, item: &str, bytes: u64, now: Duration) {
        self.done = self.done.saturating_add(bytes);
        self.rate.add(bytes, now);
        if let Some(item) = self.running.get_mut(item) {
            item.done = item.done.saturating_add(bytes);
            item.rate.add(bytes, now);
        }
    }

    fn finish(&mut self, item: &Arc<str>, ok: bool) {
        self.items_done = self.items_done.saturating_add(1);
        let Some(tally) = self.running.remove(item) else {
            return;
        };
        if ok {
            // Bytes that needed no transfer: the blob was present already, or was mounted.
            let rest = tally.bytes.saturating_sub(tally.done);
            self.done = self.done.saturating_add(rest);
        } else {
            self.failed.insert(Arc::clone(item), tally.done);
        }
    }

    /// Returns the items in flight with their names, the largest first.
    pub(super) fn largest(&self) -> Vec<(&str, &ItemTally)> {
        let mut items: Vec<_> = self.running.iter().collect();
        // Stable: items of one size stay sorted by name.
        items.sort_by_key(|(_, item)| std::cmp::Reverse(item.bytes));
        let items = items.into_iter();
        items.map(|(name, item)| (&**name, item)).collect()
    }

    /// Returns the share that is done, in thousandths.
    pub(super) fn permille(&self) -> u64 {
        match self.bytes {
            0 => permille(self.items_done, self.items),
            bytes => permille(self.done, bytes),
        }
    }

    /// Describes the progress in words.
    pub(super) fn status(&self, now: Duration) -> String {
        let mut parts = Vec::new();
        if self.bytes > 0 || self.done > 0 {
            parts.push(amount(self.done, self.bytes));
            parts.extend(speed(&self.rate, self.done, self.bytes, now));
        }
        if self.items > 0 {
            parts.push(format!("{} of {}", self.items_done, self.all_items()));
        }
        parts.join(", ")
    }

    fn all_items(&self) -> Count {
        Count::of(self.items, "item")
    }

    /// Describes the total of the phase in words.
    pub(super) fn size(&self) -> String {
        match (self.items, self.bytes) {
            (0, 0) => "started".to_owned(),
            (_, 0) => self.all_items().to_string(),
            (0, bytes) => ByteSize(bytes).to_string(),
            (_, bytes) => format!("{}, {}", self.all_items(), ByteSize(bytes)),
        }
    }

    /// Describes what the phase has done, in words.
    pub(super) fn summary(&self, now: Duration) -> String {
        let what = match (self.items, self.done) {
            (0, 0) => "ended".to_owned(),
            (_, 0) => format!("{} of {}", self.items_done, self.all_items()),
            (_, done) if self.bytes == 0 => ByteSize(done).to_string(),
            (_, done) => format!("{} of {}", ByteSize(done), ByteSize(self.bytes)),
        };
        format!("{what} in {}", span(now.saturating_sub(self.began)))
    }
}

impl ItemTally {
    /// Returns the share that is done, in thousandths.
    pub(super) fn permille(&self) -> u64 {
        permille(self.done, self.bytes)
    }

    /// Describes the progress in words.
    pub(super) fn status(&self, now: Duration) -> String {
        let mut parts = vec![amount(self.done, self.bytes)];
        parts.extend(speed(&self.rate, self.done, self.bytes, now));
        parts.join(", ")
    }
}

fn permille(done: u64, all: u64) -> u64 {
    let thousandths = u128::from(done) * 1000;
    let share = thousandths.checked_div(u128::from(all)).unwrap_or(0);
    u64::try_from(share).unwrap_or(u64::MAX).min(1000)
}

fn amount(done: u64, all: u64) -> String {
    match all {
        0 => ByteSize(done).to_string(),
        _ => format!("{} of {}", ByteSize(done), ByteSize(all)),
    }
}

/// Returns the rate, and the time left at that rate.
fn speed(rate: &Rate, done: u64, all: u64, now: Duration) -> Vec<String> {
    let Some(per_second) = rate.per_second(now) else {
        return Vec::new();
    };
    let mut parts = vec![format!("{}/s", ByteSize(per_second))];
    let rest = all.saturating_sub(done);
    if rest > 0
        && let Some(seconds) = rest.checked_div(per_second)
    {
        parts.push(format!("{} left", span(Duration::from_secs(seconds))));
    }
    parts
}

/// Formats a time span for people.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {:02} s", seconds % 60),
        3600..86_400 => format!("{hours} h {minutes:02} min"),
        _ => format!("{days} d {hours:02} h"),
    }
}

/// Bytes per second in the last [`WINDOW`].
#[derive(Debug)]
struct Rate {
    /// Times, and the total of bytes moved until then. Never empty; the first is the start of the
    /// window.
    samples: VecDeque<(Duration, u64)>,
    moved: u64,
}

impl Rate {
    fn new(now: Duration) -> Self {
        Self {
            samples: VecDeque::from([(now, 0)]),
            moved: 0,
        }
    }

    fn add(&mut self, bytes: u64, now: Duration) {
        self.moved = self.moved.saturating_add(bytes);
        let last = self.samples.back().map_or(now, |(time, _)| *time);
        if now.saturating_sub(last) >= SAMPLE {
            self.samples.push_back((now, self.moved));
        }
        // Drop the first sample if the second is old enough to be the start of the window.
        while let Some((time, _)) = self.samples.get(1)
            && now.saturating_sub(*time) >= WINDOW
        {
            self.samples.pop_front();
        }
    }

    /// Returns the rate; `None` while too little time has passed to measure it.
    fn per_second(&self, now: Duration) -> Option<u64> {
        let (time, before) = *self.samples.front()?;
        let elapsed = now.saturating_sub(time);
        if elapsed < SAMPLE {
            return None;
        }
        let moved = u128::from(self.moved.saturating_sub(before));
        let per_second = (moved * 1000).checked_div(elapsed.as_millis())?;
        u64::try_from(per_second).ok()
    }
}

/// Returns a phase's name for people.
pub(super) fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Resolve => "resolve",
        Phase::Resume => "resume",
        Phase::Download => "download",
        Phase::Seal => "seal",
        Phase::Verify => "verify",
        Phase::Probe => "probe",
        Phase::Upload => "upload",
        Phase::ReadBack => "read back",
        Phase::Write => "write",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MIB, advanced, finished, phase_started, started, started_from};
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn status(tally: &Tally, now: Duration) -> String {
        tally.phase(Phase::Download).unwrap().status(now)
    }

    #[test]
    fn cached_bytes_are_done_but_not_fast() {
        let mut tally = Tally::default();
        tally.count(&phase_started(2, 100 * MIB), seconds(0));
        tally.count(&started_from("a", 60 * MIB, 40 * MIB), seconds(0));
        tally.count(&advanced("a", 10 * MIB), seconds(1));
        assert_eq!(
            status(&tally, seconds(1)),
            "50.0 MiB of 100 MiB, 10.0 MiB/s, 5 s left, 0 of 2 items"
        );
        // A blob that turned out to be present already.
        tally.count(&finished("a", true), seconds(1));
        assert_eq!(
            status(&tally, seconds(1)),
            "60.0 MiB of 100 MiB, 10.0 MiB/s, 4 s left, 1 of 2 items"
        );
    }

    #[test]
    fn an_item_that_begins_again_is_counted_once() {
        let mut tally = Tally::default();
        tally.count(&phase_started(1, 10 * MIB), seconds(0));
        for _ in 0..3 {
            tally.count(&started("a", 10 * MIB), seconds(0));
            tally.count(&advanced("a", 5 * MIB), seconds(0));
        }
        assert_eq!(
            status(&tally, seconds(0)),
            "5.0 MiB of 10.0 MiB, 0 of 1 item"
        );
    }

    #[test]
    fn an_item_that_failed_and_begins_again_is_counted_once() {
        let mut tally = Tally::default();
        tally.count(&phase_started(1, 10 * MIB), seconds(0));
        for ok in [false, false, true] {
            tally.count(&started("a", 10 * MIB), seconds(0));
            tally.count(&advanced("a", 6 * MIB), seconds(0));
            tally.count(&finished("a", ok), seconds(0));
        }
        assert_eq!(
            status(&tally, seconds(0)),
            "10.0 MiB of 10.0 MiB, 1 of 1 item"
        );
    }

    #[test]
    fn rates_are_of_the_last_seconds() {
        let mut tally = Tally::default();
        tally.count(&phase_started(1, 10_000 * MIB), seconds(0));
        for second in 1..=60 {
            tally.count(&advanced("a", 10 * MIB), seconds(second));
        }
        assert!(status(&tally, seconds(60)).contains(" 10.0 MiB/s"));
        for second in 61..=100 {
            tally.count(&advanced("a", MIB), seconds(second));
        }
        let text = status(&tally, seconds(100));
        assert!(text.contains(" 1.0 MiB/s"), "{text}");
        for second in 101..=130 {
            tally.pass(seconds(second));
        }
        let text = status(&tally, seconds(130));
        assert!(text.contains(" 0 B/s,"), "{text}");
    }

    #[test]
    fn the_largest_items_come_first() {
        let mut tally = Tally::default();
        for (item, bytes) in [("b", 5), ("a", 5), ("c", 9)] {
            tally.count(&started(item, bytes), seconds(0));
        }
        let phase = tally.phase(Phase::Download).unwrap();
        let names: Vec<&str> = phase.largest().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["c", "a", "b"]);
    }

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 01 s"),
            (3661, "1 h 01 min"),
            (90_000, "1 d 01 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
