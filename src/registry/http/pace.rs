//! Decides how many requests may run at a registry at the same time.
//!
//! Starts with a few and tries more while that increases throughput. A registry that refuses
//! because of load (429, 503) or does not answer in time gets half as many (additive increase,
//! multiplicative decrease, as in RFC 5681). Pure: the caller supplies the time.

use std::time::Duration;

/// Limit at the start.
const FIRST: usize = 6;

/// Highest limit, unless the caller allows more.
const MOST: usize = 32;

/// Period over which throughput is measured before the limit is judged.
const WINDOW: Duration = Duration::from_millis(100);

/// Bytes for which a finished request counts in addition to its body: about the cost of a small
/// request.
const REQUEST: u64 = 32 << 10;

/// Keep a higher limit only if throughput reaches this percentage of the previous rate.
const GAIN: u64 = 105;

/// Windows until the next trial after one without gain: about two seconds.
const WINDOWS_BETWEEN_TRIALS: u32 = 20;

/// The limit on concurrent requests at one registry.
#[derive(Debug)]
pub(super) struct Pace {
    limit: usize,
    most: usize,
    /// Start of the current window.
    window_start: Duration,
    /// Work done in the current window: bytes, with each finished request counted as bytes.
    work: u64,
    /// True if a request had to wait during the window.
    wanted_more: bool,
    /// The trial that is running: the previous limit, and the rate under it.
    trial: Option<(usize, u64)>,
    /// Windows left until the next trial.
    windows_until_trial: u32,
    /// Time of the last halving.
    halved: Option<Duration>,
}

impl Pace {
    /// `fixed`: limit chosen by the caller, which is both the start value and the maximum.
    pub(super) fn new(fixed: Option<usize>) -> Self {
        let most = fixed.unwrap_or(MOST).max(1);
        Self {
            limit: fixed.unwrap_or(FIRST).clamp(1, most),
            most,
            window_start: Duration::ZERO,
            work: 0,
            wanted_more: false,
            trial: None,
            windows_until_trial: 0,
            halved: None,
        }
    }

    /// Returns the number of requests that may run at the same time; at least 1.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Records that a request has to wait.
    pub(super) fn waits(&mut self) {
        self.wanted_more = true;
    }

    /// Records bytes that were sent or received.
    pub(super) fn moved(&mut self, now: Duration, bytes: u64) {
        self.work = self.work.saturating_add(bytes);
        self.judge_window(now);
    }

    /// Records the end of a request.
    pub(super) fn finished(&mut self, now: Duration) {
        self.moved(now, REQUEST);
    }

    /// Records that the registry is overloaded. Refusals within half a second count once, because
    /// those requests ran together.
    pub(super) fn refused(&mut self, now: Duration) {
        let recently = |halved: Duration| now.saturating_sub(halved) < WINDOW.saturating_mul(5);
        if self.halved.is_some_and(recently) {
            return;
        }
        self.limit = (self.limit / 2).max(1);
        self.halved = Some(now);
        self.trial = None;
        self.windows_until_trial = WINDOWS_BETWEEN_TRIALS;
        self.start_window(now);
    }

    fn start_window(&mut self, now: Duration) {
        self.window_start = now;
        self.work = 0;
        self.wanted_more = false;
    }

    /// Judges the window if it is over.
    fn judge_window(&mut self, now: Duration) {
        let length = now.saturating_sub(self.window_start);
        if length < WINDOW {
            return;
        }
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX).max(1);
        let rate = self.work.saturating_mul(1000) / micros.div_ceil(1000).max(1);
        let wanted_more = self.wanted_more;
        self.start_window(now);
        match self.trial.take() {
            Some((_, before)) if rate >= before.saturating_mul(GAIN) / 100 => self.try_more(rate),
            Some((limit, _)) => {
                self.limit = limit;
                self.windows_until_trial = WINDOWS_BETWEEN_TRIALS;
            }
            None if self.windows_until_trial > 0 => self.windows_until_trial -= 1,
            None if wanted_more => self.try_more(rate),
            None => {}
        }
    }

    /// Starts a trial with a limit that is higher by half.
    fn try_more(&mut self, rate: u64) {
        let more = (self.limit + (self.limit / 2).max(1)).min(self.most);
        if more > self.limit {
            self.trial = Some((self.limit, rate));
            self.limit = more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates a registry whose throughput does not grow beyond `capacity` concurrent requests,
    /// for `windows` windows, with requests always waiting.
    fn run(pace: &mut Pace, now: &mut Duration, capacity: u64, windows: u32) {
        for _ in 0..windows {
            pace.waits();
            *now += WINDOW;
            let at_once = u64::try_from(pace.limit()).unwrap().min(capacity);
            pace.moved(*now, at_once * 1_000_000);
        }
    }

    #[test]
    fn it_grows_while_more_gets_done_and_stays_there() {
        for capacity in [6, 9, 20, 32] {
            let (mut pace, mut now) = (Pace::new(None), Duration::ZERO);
            assert_eq!(pace.limit(), FIRST);
            run(&mut pace, &mut now, capacity, 500);
            let limit = u64::try_from(pace.limit()).unwrap();
            // A trial exceeds the best value by at most half.
            assert!(limit >= capacity, "{capacity}: {limit}");
            assert!(limit <= capacity * 9 / 4, "{capacity}: {limit}");
        }
    }

    #[test]
    fn nobody_waiting_is_no_reason_to_grow() {
        let mut pace = Pace::new(None);
        for window in 1..100 {
            pace.moved(WINDOW * window, u64::from(window) << 20);
        }
        assert_eq!(pace.limit(), FIRST);
    }

    #[test]
    fn refusals_halve_it_once_for_all_that_ran_together() {
        let (mut pace, mut now) = (Pace::new(None), Duration::ZERO);
        run(&mut pace, &mut now, 32, 20);
        let before = pace.limit();
        for _ in 0..30 {
            pace.refused(now);
        }
        assert_eq!(pace.limit(), before / 2);
        for _ in 0..10 {
            now += Duration::from_secs(1);
            pace.refused(now);
        }
        assert_eq!(pace.limit(), 1);
        // The limit grows again once the registry has capacity.
        run(&mut pace, &mut now, 32, 200);
        assert!(pace.limit() >= 32, "{}", pace.limit());
    }

    #[test]
    fn a_given_number_is_the_most_and_the_first() {
        let (mut pace, mut now) = (Pace::new(Some(7)), Duration::ZERO);
        assert_eq!(pace.limit(), 7);
        run(&mut pace, &mut now, 64, 50);
        assert_eq!(pace.limit(), 7);
        pace.refused(now);
        assert_eq!(pace.limit(), 3);
        assert_eq!(Pace::new(Some(0)).limit(), 1);
    }
}
