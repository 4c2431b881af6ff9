//! Hosts to which no connection came about, remembered for as long as the client lives.
//!
//! A catalog may name hundreds of images on a host that is down. Each of them would be tried
//! with all attempts, and would tell of each of them. Here the first to fail tells for all, and
//! when somebody has used all attempts, the others have one each: that is how it shows that the
//! host is back. A host that has answered is worth more patience, since its network may come back:
//! there it takes many who have used all attempts, with no answer to anybody in between.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::registry::locks::lock;

/// What is known of hosts, by `host[:port]`.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    hosts: Mutex<HashMap<String, State>>,
}

/// What is known of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has answered, with whatever.
    Answered {
        /// How many have used all attempts since.
        given_up: u32,
    },
    /// No connection came about so far.
    Silent {
        /// The most failures in a row that somebody told of.
        told: u32,
        /// Whether somebody has used all attempts.
        given_up: bool,
    },
}

/// So many use all attempts on a host that has answered before the others have one each: about
/// half a minute of a long export.
const PATIENCE: u32 = 64;

/// What to do after a connection did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice {
    /// Try again, and tell.
    Tell,
    /// Try again; somebody else has told.
    Wait,
    /// There is no use in trying again.
    GiveUp,
}

impl Outages {
    /// Notes that a host answered.
    pub(super) fn answered(&self, host: &str) {
        let mut hosts = lock(&self.hosts);
        let answered = State::Answered { given_up: 0 };
        match hosts.get_mut(host) {
            Some(state) => *state = answered,
            None => {
                hosts.insert(host.to_owned(), answered);
            }
        }
    }

    /// Notes that no connection to a host came about, for the `failures`-th time in a row (from
    /// 1) for one object, and says what to do.
    pub(super) fn failed(&self, host: &str, failures: u32) -> Advice {
        let mut hosts = lock(&self.hosts);
        let first = State::Silent {
            told: 0,
            given_up: false,
        };
        match hosts.entry(host.to_owned()).or_insert(first) {
            State::Answered { given_up } if *given_up < PATIENCE => Advice::Tell,
            State::Answered { .. } | State::Silent { given_up: true, .. } => Advice::GiveUp,
            State::Silent { told, .. } if *told >= failures => Advice::Wait,
            State::Silent { told, .. } => {
                *told = failures;
                Advice::Tell
            }
        }
    }

    /// Notes that all attempts to reach a host were in vain.
    pub(super) fn gave_up(&self, host: &str) {
        match lock(&self.hosts).get_mut(host) {
            Some(State::Silent { given_up, .. }) => *given_up = true,
            Some(State::Answered { given_up }) => *given_up = given_up.saturating_add(1),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tells_for_all_and_nobody_waits_after_all_attempts() {
        let outages = Outages::default();
        assert_eq!(outages.failed("a.lan", 1), Advice::Tell);
        assert_eq!(outages.failed("a.lan", 1), Advice::Wait);
        assert_eq!(outages.failed("a.lan", 2), Advice::Tell);
        assert_eq!(outages.failed("b.lan", 1), Advice::Tell);
        outages.gave_up("a.lan");
        assert_eq!(outages.failed("a.lan", 1), Advice::GiveUp);
        assert_eq!(outages.failed("b.lan", 1), Advice::Wait);
    }

    #[test]
    fn a_host_that_has_answered_is_worth_all_attempts() {
        let outages = Outages::default();
        assert_eq!(outages.failed("a.lan", 1), Advice::Tell);
        outages.gave_up("a.lan");
        outages.answered("a.lan");
        for failures in 1..4 {
            assert_eq!(outages.failed("a.lan", failures), Advice::Tell);
            outages.gave_up("a.lan");
        }
    }

    #[test]
    fn patience_with_a_host_that_has_answered_ends_and_begins_anew_with_its_next_answer() {
        let outages = Outages::default();
        for _ in 0..3 {
            outages.answered("a.lan");
            for _ in 0..PATIENCE {
                assert_eq!(outages.failed("a.lan", 1), Advice::Tell);
                outages.gave_up("a.lan");
            }
            assert_eq!(outages.failed("a.lan", 1), Advice::GiveUp);
        }
    }
}
