//! Hosts to which no connection could be made, remembered for as long as the client lives.
//!
//! A catalog may name hundreds of images on a host that is down. Without this module each of them
//! would use all attempts, and report each attempt. Here the first failing request reports for
//! all. Once one request has used all attempts, every other gets a single one, which shows
//! whether the host is back. A host that once answered is given up only after 64 requests in a
//! row exhaust their retries, since its network may come back.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::registry::locks::lock;

/// What is known about the reachability of hosts, by `host[:port]`.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    hosts: Mutex<HashMap<String, State>>,
}

/// State of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has answered, with success or a refusal.
    Answered {
        /// Requests that have used all attempts since then.
        given_up: u32,
    },
    /// No connection could be made so far.
    Silent {
        /// The largest number of failures in a row that was reported.
        reported: u32,
        /// True once a request has used all attempts.
        given_up: bool,
    },
}

/// Requests that may use all attempts on a host that once answered, before each other request gets
/// a single one: about half a minute of a long export.
const PATIENCE: u32 = 64;

/// Advice to a request whose connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice {
    /// Try again, and report it.
    Report,
    /// Try again; another request has reported it.
    RetrySilently,
    /// Do not try again.
    GiveUp,
}

impl Outages {
    /// Records that a host answered.
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

    /// Records that no connection to a host could be made, for the `failures`-th time in a row
    /// (from 1) for one object. Returns what to do.
    pub(super) fn failed(&self, host: &str, failures: u32) -> Advice {
        let mut hosts = lock(&self.hosts);
        let first = State::Silent {
            reported: 0,
            given_up: false,
        };
        match hosts.entry(host.to_owned()).or_insert(first) {
            State::Answered { given_up } if *given_up < PATIENCE => Advice::Report,
            State::Answered { .. } | State::Silent { given_up: true, .. } => Advice::GiveUp,
            State::Silent { reported, .. } if *reported >= failures => Advice::RetrySilently,
            State::Silent { reported, .. } => {
                *reported = failures;
                Advice::Report
            }
        }
    }

    /// Records that a request used all attempts without reaching the host.
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
        assert_eq!(outages.failed("a.lan", 1), Advice::Report);
        assert_eq!(outages.failed("a.lan", 1), Advice::RetrySilently);
        assert_eq!(outages.failed("a.lan", 2), Advice::Report);
        assert_eq!(outages.failed("b.lan", 1), Advice::Report);
        outages.gave_up("a.lan");
        assert_eq!(outages.failed("a.lan", 1), Advice::GiveUp);
        assert_eq!(outages.failed("b.lan", 1), Advice::RetrySilently);
    }

    #[test]
    fn a_host_that_has_answered_is_worth_all_attempts() {
        let outages = Outages::default();
        assert_eq!(outages.failed("a.lan", 1), Advice::Report);
        outages.gave_up("a.lan");
        outages.answered("a.lan");
        for failures in 1..4 {
            assert_eq!(outages.failed("a.lan", failures), Advice::Report);
            outages.gave_up("a.lan");
        }
    }

    #[test]
    fn patience_with_a_host_that_has_answered_ends_and_begins_anew_with_its_next_answer() {
        let outages = Outages::default();
        for _ in 0..3 {
            outages.answered("a.lan");
            for _ in 0..PATIENCE {
                assert_eq!(outages.failed("a.lan", 1), Advice::Report);
                outages.gave_up("a.lan");
            }
            assert_eq!(outages.failed("a.lan", 1), Advice::GiveUp);
        }
    }
}
