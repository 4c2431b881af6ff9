//! How many requests a registry gets at the same time, and why not more.
//!
//! It begins with a few and tries more as long as more gets more done; a registry that refuses
//! for want of room (429, 503) or does not answer in time gets half of them (additive increase,
//! multiplicative decrease, as in RFC 5681). Pure: the caller says what time it is.

use std::time::Duration;

/// Requests at the beginning.
const FIRST: usize = 6;

/// Requests that are never exceeded unless the caller allows more.
const MOST: usize = 32;

/// How long something is looked at before it is judged.
const WINDOW: Duration = Duration::from_millis(100);

/// What a finished request counts beside its bytes: a question costs about as much as this.
const REQUEST: u64 = 32 << 10;

/// A try is worth it when so many percent of what was done before get done.
const GAIN: u64 = 105;

/// Windows until the next try after one that was not worth it: about two seconds.
const REST: u32 = 20;

/// The number of requests that may run at the same time.
#[derive(Debug)]
pub(super) struct Pace {
    limit: usize,
    most: usize,
    /// When the window began.
    began: Duration,
    /// What was done in the window: bytes, and requests as bytes.
    work: u64,
    /// Whether somebody had to wait in the window.
    wanted_more: bool,
    /// What is being tried: the limit and the rate before.
    trial: Option<(usize, u64)>,
    /// Windows without a try.
    rest: u32,
    /// When the limit was halved last.
    halved: Option<Duration>,
}

impl Pace {
    /// `fixed`: the caller knows how many are good.
    pub(super) fn new(fixed: Option<usize>) -> Self {
        let most = fixed.unwrap_or(MOST).max(1);
        Self {
            limit: fixed.unwrap_or(FIRST).clamp(1, most),
            most,
            began: Duration::ZERO,
            work: 0,
            wanted_more: false,
            trial: None,
            rest: 0,
            halved: None,
        }
    }

    /// Requests that may run at the same time; at least one.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Somebody has to wait.
    pub(super) fn waits(&mut self) {
        self.wanted_more = true;
    }

    /// Bytes went one way or the other.
    pub(super) fn moved(&mut self, now: Duration, bytes: u64) {
        self.work = self.work.saturating_add(bytes);
        self.look(now);
    }

    /// A request ended.
    pub(super) fn finished(&mut self, now: Duration) {
        self.moved(now, REQUEST);
    }

    /// The registry has too much to do. Refusals of requests that ran together count once.
    pub(super) fn refused(&mut self, now: Duration) {
        let recently = |halved: Duration| now.saturating_sub(halved) < WINDOW.saturating_mul(5);
        if self.halved.is_some_and(recently) {
            return;
        }
        self.limit = (self.limit / 2).max(1);
        self.halved = Some(now);
        self.trial = None;
        self.rest = REST;
        self.begin(now);
    }

    fn begin(&mut self, now: Duration) {
        self.began = now;
        self.work = 0;
        self.wanted_more = false;
    }

    /// Judges the window when it is over.
    fn look(&mut self, now: Duration) {
        let length = now.saturating_sub(self.began);
        if length < WINDOW {
            return;
        }
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX).max(1);
        let rate = self.work.saturating_mul(1000) / micros.div_ceil(1000).max(1);
        let wanted_more = self.wanted_more;
        self.begin(now);
        match self.trial.take() {
            Some((_, before)) if rate >= before.saturating_mul(GAIN) / 100 => self.try_more(rate),
            Some((limit, _)) => {
                self.limit = limit;
                self.rest = REST;
            }
            None if self.rest > 0 => self.rest -= 1,
            None if wanted_more => self.try_more(rate),
            None => {}
        }
    }

    /// Half as many again, to see whether more gets done.
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

    /// A registry that does `capacity` requests at a time, and no more than that however many
    /// there are, for `windows` windows with as many requests waiting as are let in.
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
            // What is tried goes half beyond, at most.
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
        // And back when there is room again.
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
