//! Decides how an upload continues after a failure. Pure: no requests, no clock.
//!
//! A `Range` from a registry is only a hint: registries give one byte too many (Quay's status
//! request), always the same range (ECR), or none. What counts is a 2xx answer to a PATCH, and in
//! the end the digest of the finished blob. When a registry refuses a request, the upload goes
//! back to the bytes that PATCHes acknowledged, then to a new session, then to the next way of
//! sending. Each step can be taken only a few times, so no upload repeats a refused request for
//! ever.

use crate::registry::client::UploadWay;

impl UploadWay {
    fn next(self) -> Option<Self> {
        match self {
            Self::RangedPieces => Some(Self::OneRequest),
            Self::OneRequest => Some(Self::PlainPieces),
            Self::PlainPieces => None,
        }
    }

    /// True if a session in which a request failed can be continued.
    pub(super) fn continues(self) -> bool {
        self == Self::RangedPieces
    }
}

/// Kinds of failures of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UploadFailure {
    /// No answer, or one that means "not now": 408, 425, 429, 503.
    Passing,
    /// The registry does not know the session (404).
    Lost,
    /// A PATCH was refused (400, 416 and others), and no other offset is left to try.
    PieceRefused,
    /// A PATCH failed on the registry's side (5xx).
    PieceFailed,
    /// The PUT that finishes the blob was refused (4xx).
    FinishRefused,
    /// The PUT that finishes the blob failed on the registry's side (5xx).
    FinishFailed,
}

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask for the bytes that the session has, and continue there.
    AskSession,
    /// Send the same request again.
    Again,
    /// Open a new session.
    NewSession,
    /// Open a new session, in the way that is now current.
    OtherWay,
    /// No other way is left: open a new session only while attempts are left.
    LastWay,
}

/// Maximum new sessions in one way, after the registry lost or refused the previous one.
const MOST_RESTARTS: u32 = 2;

/// PATCHes in a row that may fail on the registry's side before a new session is opened. If one
/// more fails before the new session makes progress, the next way is tried.
const MOST_PIECE_FAILURES: u32 = 3;

/// Number of failures of the last PUT on the registry's side, or of broken single requests with a
/// large blob, after which the next way is tried.
const MOST_FINISH_FAILURES: u32 = 2;

/// Maximum offsets of one session that may be refused.
const MOST_REFUSED_OFFSETS: usize = 4;

/// Position of an upload in the order of ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UploadStrategy {
    way: UploadWay,
    /// New sessions opened in this way.
    restarts: u32,
    /// Failures in a row.
    failures: u32,
    /// True if an earlier way was refused, so that the present one is worth remembering for other
    /// blobs.
    refused: bool,
}

impl UploadStrategy {
    pub(super) fn new(way: UploadWay) -> Self {
        Self {
            way,
            restarts: 0,
            failures: 0,
            refused: false,
        }
    }

    pub(super) fn way(&self) -> UploadWay {
        self.way
    }

    /// Returns the way that the registry accepts, if it refused another one.
    pub(super) fn learned(&self) -> Option<UploadWay> {
        self.refused.then_some(self.way)
    }

    /// Switches to another way, without a refusal.
    pub(super) fn set_way(&mut self, way: UploadWay) {
        self.way = way;
    }

    /// Records that a PATCH was acknowledged beyond all bytes that any session had. Bytes that a
    /// new session accepts again are no progress: a registry may accept each first piece and no
    /// second one.
    pub(super) fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Decides the next step. `guessed`: the session has bytes that no PATCH of this run
    /// acknowledged, which may be the reason for the refusal of its end.
    pub(super) fn after(&mut self, failure: UploadFailure, guessed: bool) -> Next {
        match failure {
            UploadFailure::Passing if self.way.continues() => Next::AskSession,
            UploadFailure::Passing => Next::NewSession,
            UploadFailure::Lost => self.restart(false),
            UploadFailure::PieceRefused => self.restart(true),
            UploadFailure::PieceFailed => {
                self.failures += 1;
                if self.failures > MOST_PIECE_FAILURES {
                    self.next_way(true)
                } else if self.failures == MOST_PIECE_FAILURES {
                    let failures = self.failures;
                    let next = self.restart(true);
                    if next == Next::NewSession {
                        self.failures = failures;
                    }
                    next
                } else if self.way.continues() {
                    Next::AskSession
                } else {
                    Next::NewSession
                }
            }
            UploadFailure::FinishRefused if guessed => self.restart(true),
            UploadFailure::FinishRefused => self.next_way(true),
            UploadFailure::FinishFailed => {
                self.failures += 1;
                match self.way {
                    _ if self.failures >= MOST_FINISH_FAILURES => self.next_way(true),
                    UploadWay::OneRequest => Next::NewSession,
                    UploadWay::RangedPieces | UploadWay::PlainPieces => Next::Again,
                }
            }
        }
    }

    /// Records that a single request with a large blob broke off: pieces may succeed instead.
    pub(super) fn large_request_broke(&mut self) -> Next {
        self.failures += 1;
        if self.way == UploadWay::OneRequest && self.failures >= MOST_FINISH_FAILURES {
            self.next_way(false)
        } else {
            Next::NewSession
        }
    }

    /// Goes to the next way at once.
    pub(super) fn next_way(&mut self, refused: bool) -> Next {
        self.refused |= refused;
        self.restarts = 0;
        self.failures = 0;
        match self.way.next() {
            Some(way) => {
                self.way = way;
                Next::OtherWay
            }
            None => Next::LastWay,
        }
    }

    fn restart(&mut self, refused: bool) -> Next {
        self.failures = 0;
        self.restarts += 1;
        if self.restarts > MOST_RESTARTS {
            self.next_way(refused)
        } else {
            Next::NewSession
        }
    }
}

/// Returns the offset for the next PATCH of a session; `None` if a new session is better.
///
/// `acked`: bytes that PATCHes acknowledged. `hint`: number of bytes in the registry's `Range`.
/// `refused`: offsets that the registry refused. A hint beyond `acked` saves time, because the
/// registry may have stored a part of a piece that broke off; it may be too high by one. A hint
/// below `acked` usually comes from a registry whose `Range` never changes, so it is tried last.
pub(super) fn next_offset(
    acked: u64,
    hint: Option<u64>,
    refused: &[u64],
    size: u64,
) -> Option<u64> {
    if refused.len() >= MOST_REFUSED_OFFSETS {
        return None;
    }
    // `0-0` may mean one byte or none.
    let hint = hint.filter(|hint| *hint > 1);
    let less = hint.and_then(|hint| hint.checked_sub(1));
    let ahead = [hint, less].map(|offset| offset.filter(|offset| *offset > acked));
    let behind = [hint, less].map(|offset| offset.filter(|offset| *offset < acked));
    let candidates = ahead.into_iter().chain([Some(acked)]).chain(behind);
    let mut usable = candidates
        .flatten()
        .filter(|offset| *offset <= size && !refused.contains(offset));
    // A session that is not known to have any bytes is not worth continuing.
    usable.next().filter(|offset| *offset > 0)
}

/// Returns the number of bytes in `Range: 0-last` (distribution-spec, "Pushing a blob in
/// chunks").
pub(super) fn range_end(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_prefix("bytes=").unwrap_or(text);
    let last: u64 = text.strip_prefix("0-")?.parse().ok()?;
    last.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_sessions() {
        for (text, expected) in [
            ("0-0", Some(1)),
            ("0-41", Some(42)),
            ("bytes=0-41", Some(42)),
            ("1-41", None),
            ("41-0", None),
            ("0--1", None),
            ("bytes=0--1", None),
            ("0-18446744073709551615", None),
            ("", None),
        ] {
            assert_eq!(range_end(text), expected, "{text}");
        }
    }

    #[test]
    fn offsets_that_are_tried_in_turn() {
        const SIZE: u64 = 1000;
        // Acknowledged bytes, the hint, and the offsets in the order in which they are tried if
        // the registry refuses each.
        let cases: [(u64, Option<u64>, &[u64]); 11] = [
            (300, None, &[300]),
            (300, Some(300), &[300, 299]),
            // A part of the next piece was stored; or the hint is too high by one.
            (300, Some(451), &[451, 450, 300]),
            (300, Some(301), &[301, 300]),
            // A hint that never changes.
            (300, Some(100), &[300, 100, 99]),
            // A hint that may mean one byte or none.
            (300, Some(1), &[300]),
            (0, Some(1), &[]),
            (0, None, &[]),
            (0, Some(451), &[451, 450]),
            // Beyond the blob.
            (300, Some(5000), &[300]),
            (1000, Some(1001), &[1000]),
        ];
        for (acked, hint, expected) in cases {
            let mut refused = Vec::new();
            while let Some(offset) = next_offset(acked, hint, &refused, SIZE) {
                refused.push(offset);
            }
            assert_eq!(refused, expected, "{acked} {hint:?}");
        }
        assert_eq!(next_offset(5, Some(9), &[1, 2, 3, 4], SIZE), None);
    }

    /// Every kind of failure, repeated, comes to an end.
    #[test]
    fn the_same_failure_leads_through_all_ways_to_the_end() {
        use Next::{Again, AskSession, LastWay, NewSession, OtherWay};
        use UploadWay::{OneRequest, PlainPieces, RangedPieces};

        let lost = [
            NewSession, NewSession, OtherWay, NewSession, NewSession, OtherWay, NewSession,
            NewSession, LastWay,
        ];
        let failed = [
            // Three failures cost a session, and the next one the way.
            AskSession, AskSession, NewSession, OtherWay, NewSession, NewSession, NewSession,
            OtherWay, NewSession, NewSession, NewSession, LastWay,
        ];
        let cases: [(UploadWay, UploadFailure, bool, &[Next]); 7] = [
            (RangedPieces, UploadFailure::Lost, false, &lost),
            (RangedPieces, UploadFailure::PieceRefused, false, &lost),
            (RangedPieces, UploadFailure::PieceFailed, false, &failed),
            (
                RangedPieces,
                UploadFailure::FinishRefused,
                false,
                &[OtherWay, OtherWay, LastWay, LastWay],
            ),
            (
                RangedPieces,
                UploadFailure::FinishRefused,
                true,
                &[NewSession, NewSession, OtherWay],
            ),
            (
                RangedPieces,
                UploadFailure::FinishFailed,
                false,
                &[Again, OtherWay, NewSession, OtherWay, Again, LastWay],
            ),
            (
                OneRequest,
                UploadFailure::FinishRefused,
                false,
                &[OtherWay, LastWay],
            ),
        ];
        for (way, failure, guessed, expected) in cases {
            let mut strategy = UploadStrategy::new(way);
            let taken = expected.iter().map(|_| strategy.after(failure, guessed));
            assert_eq!(taken.collect::<Vec<_>>(), expected, "{failure:?} {guessed}");
        }
        for (way, next) in [
            (RangedPieces, AskSession),
            (OneRequest, NewSession),
            (PlainPieces, NewSession),
        ] {
            let mut strategy = UploadStrategy::new(way);
            for _ in 0..50 {
                assert_eq!(strategy.after(UploadFailure::Passing, false), next);
            }
            assert_eq!(
                strategy,
                UploadStrategy::new(way),
                "what passes changes nothing"
            );
        }
    }

    #[test]
    fn only_what_was_refused_is_remembered() {
        let mut lost = UploadStrategy::new(UploadWay::RangedPieces);
        for _ in 0..3 {
            lost.after(UploadFailure::Lost, false);
        }
        assert_eq!(lost.way(), UploadWay::OneRequest);
        assert_eq!(lost.learned(), None);
        let mut refused = UploadStrategy::new(UploadWay::RangedPieces);
        refused.after(UploadFailure::FinishRefused, false);
        assert_eq!(refused.learned(), Some(UploadWay::OneRequest));
        let mut broken = UploadStrategy::new(UploadWay::OneRequest);
        assert_eq!(broken.large_request_broke(), Next::NewSession);
        assert_eq!(broken.large_request_broke(), Next::OtherWay);
        assert_eq!(broken.learned(), None);
    }
}
