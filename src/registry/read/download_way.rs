//! Decides how a download continues after a failure. Pure: no requests, no clock.
//!
//! The rest of a blob is requested with a range. Some registries and proxies cannot do ranges,
//! answer them wrongly, or never answer them, but have the blob: then the whole blob is
//! requested, and the bytes before the position are skipped. Each such step is taken once, so
//! that no download repeats a failed request for ever.

use crate::registry::error::Error;

/// Parts that may fail in a row before the rest of a blob comes as one stream.
const MOST_FAILED_PARTS: u32 = 2;

/// The bytes that the next request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The bytes that are missing.
    Rest,
    /// The whole blob, although its beginning was received.
    All,
}

/// Result of requests for the rest since the last bytes arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ranges {
    Untried,
    /// Requested; each request got an answer, or no connection.
    Tried,
    /// One request for the rest was not answered.
    Unanswered,
    /// All attempts are used, and the whole blob was requested as a last try.
    LastTried,
}

/// Permission to fetch the rest in parts from this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Division {
    Allowed {
        /// Parts that failed since the last one arrived.
        failed: u32,
    },
    /// The registry cannot do parts, or they are not wanted.
    Off,
}

impl Division {
    /// Parts may be tried; none has failed.
    pub(super) const ALLOWED: Self = Self::Allowed { failed: 0 };
}

/// Kinds of failures, as far as this decision depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DownloadFailure {
    /// The blob has another size at this place.
    WrongSize,
    /// The answer begins at another offset than requested.
    WrongOffset,
    /// No answer, or no further bytes of one, within the timeout.
    TimedOut,
    /// No connection could be made.
    Unconnected,
    /// Another failure that may pass.
    Passing,
    /// The registry refuses the request, now and later.
    Refused,
}

impl DownloadFailure {
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

    /// True if a server was reached, so that a request without a range may succeed.
    fn may_be_the_range(self) -> bool {
        matches!(self, Self::WrongOffset | Self::TimedOut | Self::Passing)
    }
}

/// An event of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DownloadEvent {
    /// A request for the rest is about to be sent.
    RestRequested,
    /// An answer has the requested bytes.
    Opened,
    /// The registry answers that it cannot do this range, although the blob has the right size.
    NoRange,
    /// Bytes of the blob arrived.
    Received,
    /// A request failed, or a stream broke off. `ranged`: the request asked for the rest.
    Failed {
        failure: DownloadFailure,
        ranged: bool,
    },
    /// No attempts are left after this failure.
    Exhausted(DownloadFailure),
    /// A part arrived.
    PartCame,
    /// A part failed. `beside`: a stream is still open; `lasting`: the next part would fail too.
    PartFailed { beside: bool, lasting: bool },
    /// Parts ended before the blob: they do not help. `beside`: a stream is still open.
    PartsEnded { beside: bool },
}

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Continue with what is open, or request the bytes that are wanted.
    Continue,
    /// Drop what is open, and send a request at once.
    RequestAgain,
    /// Drop what is open, and send a request after a pause if attempts are left.
    Pause,
    /// Ask another place.
    OtherPlace,
}

/// State of a download that decides its next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DownloadWay {
    wanted: Wanted,
    ranges: Ranges,
    division: Division,
    /// True after one wrong length was retried; a second is an error.
    wrong_size_retried: bool,
}

impl DownloadWay {
    pub(super) fn new(division: Division) -> Self {
        Self {
            wanted: Wanted::Rest,
            ranges: Ranges::Untried,
            division,
            wrong_size_retried: false,
        }
    }

    /// Returns the state for the same download at another place. A wrong length is not retried
    /// again.
    pub(super) fn at_other_place(self, division: Division) -> Self {
        Self {
            wrong_size_retried: self.wrong_size_retried,
            ..Self::new(division)
        }
    }

    /// True if the next request has a range.
    pub(super) fn is_ranged(&self, position: u64) -> bool {
        position > 0 && self.wanted == Wanted::Rest
    }

    /// True if the rest may come in parts.
    pub(super) fn may_divide(&self) -> bool {
        self.division != Division::Off
    }

    /// Records an event, and decides the next step.
    pub(super) fn after(&mut self, event: DownloadEvent) -> Next {
        match event {
            DownloadEvent::RestRequested => {
                if self.ranges == Ranges::Untried {
                    self.ranges = Ranges::Tried;
                }
            }
            DownloadEvent::Opened => self.wanted = Wanted::Rest,
            DownloadEvent::NoRange => self.wanted = Wanted::All,
            DownloadEvent::Received => self.ranges = Ranges::Untried,
            DownloadEvent::Failed { failure, ranged } => return self.failed(failure, ranged),
            DownloadEvent::Exhausted(failure) => return self.exhausted(failure),
            DownloadEvent::PartCame => {
                if let Division::Allowed { failed } = &mut self.division {
                    *failed = 0;
                }
            }
            DownloadEvent::PartFailed { beside, lasting } => self.part_failed(beside || lasting),
            DownloadEvent::PartsEnded { beside: true } => self.division = Division::Off,
            DownloadEvent::PartsEnded { beside: false } => {}
        }
        Next::Continue
    }

    fn failed(&mut self, failure: DownloadFailure, ranged: bool) -> Next {
        match failure {
            // A truncating cache can cause one wrong length; a registry whose blob has that
            // length will answer the same again.
            DownloadFailure::WrongSize if !self.wrong_size_retried => {
                self.wrong_size_retried = true;
                self.wanted = Wanted::All;
                return Next::RequestAgain;
            }
            // The registry may deliver the whole blob although it refuses the range.
            DownloadFailure::Refused if ranged => {
                self.wanted = Wanted::All;
                return Next::Continue;
            }
            // A registry that answers one range wrongly will do so again.
            DownloadFailure::WrongOffset => self.wanted = Wanted::All,
            // A timeout may only mean a stale pooled connection, so switch only after the second.
            DownloadFailure::TimedOut if ranged => match self.ranges {
                Ranges::Untried | Ranges::Tried => self.ranges = Ranges::Unanswered,
                Ranges::Unanswered => self.wanted = Wanted::All,
                Ranges::LastTried => {}
            },
            _ => {}
        }
        Next::Pause
    }

    /// Before a place is given up, requests the whole blob once: ranges may be the reason for all
    /// failures.
    fn exhausted(&mut self, failure: DownloadFailure) -> Next {
        let was_ranged = matches!(self.ranges, Ranges::Tried | Ranges::Unanswered);
        if was_ranged && failure.may_be_the_range() {
            self.ranges = Ranges::LastTried;
            self.wanted = Wanted::All;
            return Next::Continue;
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

    /// Returns the events of a failing request for the rest.
    fn rest(failure: DownloadFailure) -> [DownloadEvent; 2] {
        let failed = DownloadEvent::Failed {
            failure,
            ranged: true,
        };
        [DownloadEvent::RestRequested, failed]
    }

    fn broken(failure: DownloadFailure) -> DownloadEvent {
        DownloadEvent::Failed {
            failure,
            ranged: false,
        }
    }

    /// Applies events; returns the last decision, and whether the next request has a range.
    fn run(events: &[DownloadEvent]) -> (Next, bool) {
        let mut way = DownloadWay::new(Division::ALLOWED);
        let decided = events.iter().map(|event| way.after(*event)).last();
        (decided.unwrap(), way.is_ranged(1))
    }

    #[test]
    fn one_failure_leads_to_one_decision() {
        use DownloadFailure::{Passing, Refused, TimedOut, Unconnected, WrongOffset, WrongSize};
        for (failure, ranged, other) in [
            (
                WrongSize,
                (Next::RequestAgain, false),
                (Next::RequestAgain, false),
            ),
            (WrongOffset, (Next::Pause, false), (Next::Pause, false)),
            (TimedOut, (Next::Pause, true), (Next::Pause, true)),
            (Unconnected, (Next::Pause, true), (Next::Pause, true)),
            (Passing, (Next::Pause, true), (Next::Pause, true)),
            (Refused, (Next::Continue, false), (Next::Pause, true)),
        ] {
            assert_eq!(run(&rest(failure)), ranged, "{failure:?}");
            assert_eq!(run(&[broken(failure)]), other, "{failure:?}");
        }
        assert_eq!(
            run(&[DownloadEvent::RestRequested, DownloadEvent::NoRange]),
            (Next::Continue, false)
        );
    }

    #[test]
    fn what_happened_before_counts() {
        use DownloadFailure::{Passing, Refused, TimedOut, Unconnected, WrongSize};
        let after =
            |before: &[DownloadEvent], last: DownloadEvent| run(&[before, &[last]].concat());
        let timed_out = rest(TimedOut);
        // A second request for the rest that is not answered, as opposed to a stream that stalls.
        let [_, last] = timed_out;
        assert_eq!(after(&timed_out, last), (Next::Pause, false));
        assert_eq!(after(&timed_out, broken(TimedOut)), (Next::Pause, true));
        let between = [
            timed_out[0],
            timed_out[1],
            DownloadEvent::Opened,
            DownloadEvent::Received,
        ];
        assert_eq!(after(&between, last), (Next::Pause, true));
        // A wrong size is retried once, and not again at another place.
        let wrong = broken(WrongSize);
        assert_eq!(after(&[wrong], wrong), (Next::Pause, false));
        let mut way = DownloadWay::new(Division::Off);
        way.after(wrong);
        let mut way = way.at_other_place(Division::Off);
        assert!(way.is_ranged(1));
        assert_eq!(way.after(wrong), Next::Pause);
        // A stream that was opened is continued with a range after it breaks off.
        assert_eq!(
            after(&[wrong], DownloadEvent::Opened),
            (Next::Continue, true)
        );
        // Before a place is given up the whole blob is requested once, if ranges were requested
        // and a server answered.
        let exhausted = DownloadEvent::Exhausted(Passing);
        let last_time = after(&rest(Passing), exhausted);
        assert_eq!(last_time, (Next::Continue, false));
        let twice = [&rest(Passing)[..], &[exhausted]].concat();
        assert_eq!(after(&twice, exhausted).0, Next::OtherPlace);
        let received = [&twice[..], &[DownloadEvent::Received], &rest(Passing)].concat();
        assert_eq!(after(&received, exhausted), (Next::Continue, false));
        assert_eq!(run(&[exhausted]).0, Next::OtherPlace);
        for failure in [Unconnected, Refused, WrongSize] {
            let given_up = after(&rest(Passing), DownloadEvent::Exhausted(failure));
            assert_eq!(given_up.0, Next::OtherPlace, "{failure:?}");
        }
        // At the beginning of a blob there is nothing to skip.
        assert!(!DownloadWay::new(Division::ALLOWED).is_ranged(0));
    }

    #[test]
    fn parts_are_left_for_now_or_for_good() {
        let passing = DownloadEvent::PartFailed {
            beside: false,
            lasting: false,
        };
        let beside = DownloadEvent::PartFailed {
            beside: true,
            lasting: false,
        };
        let lasting = DownloadEvent::PartFailed {
            beside: false,
            lasting: true,
        };
        let came = DownloadEvent::PartCame;
        for (events, may_divide) in [
            (&[came][..], true),
            (&[passing], true),
            (&[passing, passing], false),
            (&[passing, came, passing], true),
            (&[beside], false),
            (&[lasting], false),
            (&[lasting, came], false),
            (&[DownloadEvent::PartsEnded { beside: false }], true),
            (&[DownloadEvent::PartsEnded { beside: true }], false),
        ] {
            let mut way = DownloadWay::new(Division::ALLOWED);
            for event in events {
                assert_eq!(way.after(*event), Next::Continue);
            }
            assert_eq!(way.may_divide(), may_divide, "{events:?}");
        }
        let mut way = DownloadWay::new(Division::Off);
        way.after(came);
        assert!(!way.may_divide());
    }
}
