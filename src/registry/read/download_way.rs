//! Decides how a download goes on after trouble. Pure: no requests, no clock.
//!
//! The rest of a blob is asked for with a range. Some registries and proxies cannot do ranges, do
//! them wrongly, or never answer them, and have the blob all the same: then all of it is asked for,
//! and what is known already is skipped. Each such step is taken once, so that no download repeats
//! for ever what failed.

use crate::registry::error::Error;

/// Parts that may fail, one after the other, before the rest of a blob comes whole.
const MOST_FAILED_PARTS: u32 = 2;

/// Which bytes the next request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Those that are missing.
    Rest,
    /// The whole blob, although its beginning is known.
    All,
}

/// What became of asking for the rest, since bytes came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ranges {
    Untried,
    /// Asked for, and each time an answer came, or no connection.
    Tried,
    /// One request for the rest was not answered.
    Unanswered,
    /// All attempts are used, and all of the blob was asked for once more.
    LastTried,
}

/// Whether the rest may come in parts from this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Division {
    Allowed {
        /// Parts that failed since one came.
        failed: u32,
    },
    /// The registry cannot do parts, or they are not wanted.
    Off,
}

impl Division {
    /// Parts may be tried.
    pub(super) const ALLOWED: Self = Self::Allowed { failed: 0 };
}

/// What went wrong, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The blob has another size there.
    WrongSize,
    /// The answer begins at another offset than was asked for.
    WrongOffset,
    /// No answer came, or nothing more of one.
    TimedOut,
    /// No connection came about.
    Unconnected,
    /// Something else that may pass.
    Passing,
    /// The registry does not want to, or cannot.
    Refused,
}

impl Trouble {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::SizeMismatch { .. } => Self::WrongSize,
            Error::WrongOffset { .. } => Self::WrongOffset,
            Error::TimedOut { .. } => Self::TimedOut,
            error if !error.is_transient() => Self::Refused,
            error if error.unconnected().is_some() => Self::Unconnected,
            _ => Self::Passing,
        }
    }

    /// Whether a server was reached and another request may go better.
    fn may_be_the_range(self) -> bool {
        matches!(self, Self::WrongOffset | Self::TimedOut | Self::Passing)
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A request for the rest goes out.
    RestAskedFor,
    /// An answer has the bytes that were asked for.
    Opened,
    /// The registry answers that it cannot do this range, of a blob of the right size.
    NoRange,
    /// Bytes of the blob came.
    Received,
    /// A request failed, or a stream broke off. `ranged`: it was a request for the rest.
    Failed { trouble: Trouble, ranged: bool },
    /// No attempts are left after this.
    Exhausted(Trouble),
    /// A part came.
    PartCame,
    /// A part failed. `beside`: a stream still goes on; `lasting`: the next one would fail as well.
    PartFailed { beside: bool, lasting: bool },
    /// Parts ended before the blob: they do not help. `beside`: a stream still goes on.
    PartsEnded { beside: bool },
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Go on with what is open, or ask for the bytes that are wanted.
    GoOn,
    /// Let go what is open, and ask at once.
    AskAnew,
    /// Let go what is open, and ask after a pause while attempts are left.
    Pause,
    /// Ask another place.
    OtherPlace,
}

/// How a download goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DownloadWay {
    wanted: Wanted,
    ranges: Ranges,
    division: Division,
    /// Whether one answer of the wrong size was not believed.
    has_doubted: bool,
}

impl DownloadWay {
    pub(super) fn new(division: Division) -> Self {
        Self {
            wanted: Wanted::Rest,
            ranges: Ranges::Untried,
            division,
            has_doubted: false,
        }
    }

    /// The same download at another place. What was doubted once is believed there.
    pub(super) fn at_other_place(self, division: Division) -> Self {
        Self {
            has_doubted: self.has_doubted,
            ..Self::new(division)
        }
    }

    /// Whether the next request has a range.
    pub(super) fn is_ranged(&self, position: u64) -> bool {
        position > 0 && self.wanted == Wanted::Rest
    }

    /// Whether the rest may come in parts.
    pub(super) fn may_divide(&self) -> bool {
        self.division != Division::Off
    }

    /// Takes note of what happened, and decides what to do.
    pub(super) fn after(&mut self, event: Event) -> Next {
        match event {
            Event::RestAskedFor => {
                if self.ranges == Ranges::Untried {
                    self.ranges = Ranges::Tried;
                }
            }
            Event::Opened => self.wanted = Wanted::Rest,
            Event::NoRange => self.wanted = Wanted::All,
            Event::Received => self.ranges = Ranges::Untried,
            Event::Failed { trouble, ranged } => return self.failed(trouble, ranged),
            Event::Exhausted(trouble) => return self.exhausted(trouble),
            Event::PartCame => {
                if let Division::Allowed { failed } = &mut self.division {
                    *failed = 0;
                }
            }
            Event::PartFailed { beside, lasting } => self.part_failed(beside || lasting),
            Event::PartsEnded { beside: true } => self.division = Division::Off,
            Event::PartsEnded { beside: false } => {}
        }
        Next::GoOn
    }

    fn failed(&mut self, trouble: Trouble, ranged: bool) -> Next {
        match trouble {
            // A truncating cache on the way gives one wrong length; a registry that means it says
            // the same again.
            Trouble::WrongSize if !self.has_doubted => {
                self.has_doubted = true;
                self.wanted = Wanted::All;
                return Next::AskAnew;
            }
            // All of it may be had where the rest of it is not.
            Trouble::Refused if ranged => {
                self.wanted = Wanted::All;
                return Next::GoOn;
            }
            // A registry that answers one range wrongly will do so again.
            Trouble::WrongOffset => self.wanted = Wanted::All,
            // A timeout may only mean a stale pooled connection, so switch only after the second.
            Trouble::TimedOut if ranged => match self.ranges {
                Ranges::Untried | Ranges::Tried => self.ranges = Ranges::Unanswered,
                Ranges::Unanswered => self.wanted = Wanted::All,
                Ranges::LastTried => {}
            },
            _ => {}
        }
        Next::Pause
    }

    /// Before a place is given up: ranges may be what fails, however often they are asked for.
    fn exhausted(&mut self, trouble: Trouble) -> Next {
        let was_ranged = matches!(self.ranges, Ranges::Tried | Ranges::Unanswered);
        if was_ranged && trouble.may_be_the_range() {
            self.ranges = Ranges::LastTried;
            self.wanted = Wanted::All;
            return Next::GoOn;
        }
        Next::OtherPlace
    }

    fn part_failed(&mut self, for_good: bool) {
        self.division = match self.division {
            Division::Allowed { failed } if !for_good && failed + 1 < MOST_FAILED_PARTS => {
                Division::Allowed { failed: failed + 1 }
            }
            _ => Division::Off,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request for the rest that fails.
    fn rest(trouble: Trouble) -> [Event; 2] {
        let failed = Event::Failed {
            trouble,
            ranged: true,
        };
        [Event::RestAskedFor, failed]
    }

    fn broken(trouble: Trouble) -> Event {
        Event::Failed {
            trouble,
            ranged: false,
        }
    }

    /// Goes through events; returns the last decision, and whether the next request has a range.
    fn run(events: &[Event]) -> (Next, bool) {
        let mut way = DownloadWay::new(Division::ALLOWED);
        let decided = events.iter().map(|event| way.after(*event)).last();
        (decided.unwrap(), way.is_ranged(1))
    }

    #[test]
    fn one_trouble_leads_to_one_decision() {
        use Trouble::{Passing, Refused, TimedOut, Unconnected, WrongOffset, WrongSize};
        for (trouble, ranged, other) in [
            (WrongSize, (Next::AskAnew, false), (Next::AskAnew, false)),
            (WrongOffset, (Next::Pause, false), (Next::Pause, false)),
            (TimedOut, (Next::Pause, true), (Next::Pause, true)),
            (Unconnected, (Next::Pause, true), (Next::Pause, true)),
            (Passing, (Next::Pause, true), (Next::Pause, true)),
            (Refused, (Next::GoOn, false), (Next::Pause, true)),
        ] {
            assert_eq!(run(&rest(trouble)), ranged, "{trouble:?}");
            assert_eq!(run(&[broken(trouble)]), other, "{trouble:?}");
        }
        assert_eq!(
            run(&[Event::RestAskedFor, Event::NoRange]),
            (Next::GoOn, false)
        );
    }

    #[test]
    fn what_happened_before_counts() {
        use Trouble::{Passing, Refused, TimedOut, Unconnected, WrongSize};
        let after = |before: &[Event], last: Event| run(&[before, &[last]].concat());
        let timed_out = rest(TimedOut);
        // The second request for the rest that is not answered, and a stream that is silent.
        let [_, last] = timed_out;
        assert_eq!(after(&timed_out, last), (Next::Pause, false));
        assert_eq!(after(&timed_out, broken(TimedOut)), (Next::Pause, true));
        let between = [timed_out[0], timed_out[1], Event::Opened, Event::Received];
        assert_eq!(after(&between, last), (Next::Pause, true));
        // A wrong size is doubted once, and at no other place.
        let wrong = broken(WrongSize);
        assert_eq!(after(&[wrong], wrong), (Next::Pause, false));
        let mut way = DownloadWay::new(Division::Off);
        way.after(wrong);
        let mut way = way.at_other_place(Division::Off);
        assert!(way.is_ranged(1));
        assert_eq!(way.after(wrong), Next::Pause);
        // What was opened is asked for with a range when it breaks off.
        assert_eq!(after(&[wrong], Event::Opened), (Next::GoOn, true));
        // All of it is asked for before a place is given up, once, where ranges were asked for and
        // a server answered.
        let exhausted = Event::Exhausted(Passing);
        let last_time = after(&rest(Passing), exhausted);
        assert_eq!(last_time, (Next::GoOn, false));
        let twice = [&rest(Passing)[..], &[exhausted]].concat();
        assert_eq!(after(&twice, exhausted).0, Next::OtherPlace);
        let received = [&twice[..], &[Event::Received], &rest(Passing)].concat();
        assert_eq!(after(&received, exhausted), (Next::GoOn, false));
        assert_eq!(run(&[exhausted]).0, Next::OtherPlace);
        for trouble in [Unconnected, Refused, WrongSize] {
            let given_up = after(&rest(Passing), Event::Exhausted(trouble));
            assert_eq!(given_up.0, Next::OtherPlace, "{trouble:?}");
        }
        // Nothing is known at the beginning of a blob.
        assert!(!DownloadWay::new(Division::ALLOWED).is_ranged(0));
    }

    #[test]
    fn parts_are_left_for_now_or_for_good() {
        let passing = Event::PartFailed {
            beside: false,
            lasting: false,
        };
        let beside = Event::PartFailed {
            beside: true,
            lasting: false,
        };
        let lasting = Event::PartFailed {
            beside: false,
            lasting: true,
        };
        let came = Event::PartCame;
        for (events, may_divide) in [
            (&[came][..], true),
            (&[passing], true),
            (&[passing, passing], false),
            (&[passing, came, passing], true),
            (&[beside], false),
            (&[lasting], false),
            (&[lasting, came], false),
            (&[Event::PartsEnded { beside: false }], true),
            (&[Event::PartsEnded { beside: true }], false),
        ] {
            let mut way = DownloadWay::new(Division::ALLOWED);
            for event in events {
                assert_eq!(way.after(*event), Next::GoOn);
            }
            assert_eq!(way.may_divide(), may_divide, "{events:?}");
        }
        let mut way = DownloadWay::new(Division::Off);
        way.after(came);
        assert!(!way.may_divide());
    }
}
