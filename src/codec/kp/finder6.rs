//! The match finder of level 6 (docs/encoders.md, section 5.2): that of level 5 with more
//! attempts.

use super::REACH;
use super::finder5::{MARGIN, SHORTEST_CHUNK, push_match};
use super::tables::{Tables, near, usable, word};
use crate::codec::token::{MAX_MATCH, Token};
use crate::codec::window::{Window, common};

/// The result of the inner loop's search: a match at `s` with the earlier position `t`.
struct Found {
    s: usize,
    t: usize,
    /// Length of the match, if the search had to measure it; at most 258.
    len: Option<usize>,
    /// The next position to search. It is already in the tables.
    next: usize,
}

/// Finds the matches of the window's chunk and appends its tokens. Appends none if there is no
/// match.
pub(super) fn find(window: &Window<REACH>, tables: &mut Tables, tokens: &mut Vec<Token>) {
    let bytes = window.bytes();
    let begin = window.chunk();
    let end = bytes.len();
    if end - begin < SHORTEST_CHUNK {
        return;
    }
    let limit = end - MARGIN;
    let mut emitted = begin;
    let mut start = begin;
    let mut repeat = 1;
    while let Some(found) = search(bytes, tables, start, emitted, limit, repeat) {
        let Found {
            mut s,
            mut t,
            len,
            next,
        } = found;
        let mut len = match len {
            None => 4 + common(bytes, s + 4, t + 4, end),
            Some(MAX_MATCH) => MAX_MATCH + common(bytes, s + MAX_MATCH, t + MAX_MATCH, end),
            Some(len) => len,
        };

        // The bytes after the match may belong to a longer match that covers this one too.
        if s + len < limit {
            let at = s + len;
            let (newest, older) = tables.long(word(bytes, at));
            // The newest entry may lie ahead, entered by the search; then only the older one is
            // tried.
            if newest > at || near(at, newest) {
                let from = s + 2;
                for behind in [newest, older] {
                    // The start of such a match follows from the current length, which the loop
                    // may change.
                    if behind == 0 || behind + 2 < window.base() + len {
                        continue;
                    }
                    let to = behind + 2 - len;
                    if to < from && near(from, to) {
                        let longer = common(bytes, from, to, end);
                        if longer > len {
                            (s, t, len) = (from, to, longer);
                        }
                    }
                }
            }
        }
        while t > window.base() && s > emitted && bytes[t - 1] == bytes[s - 1] {
            s -= 1;
            t -= 1;
            len += 1;
        }

        tokens.extend(bytes[emitted..s].iter().map(|byte| Token::literal(*byte)));
        push_match(tokens, len, s - t);
        repeat = s - t;
        s += len;
        emitted = s;
        let inserted = next;
        if next >= s {
            s = next + 1;
        }
        if s >= limit {
            for at in (inserted + 1..end - 8).step_by(2) {
                let here = word(bytes, at);
                tables.put_short(here, at);
                tables.put_long(here, at);
            }
            break;
        }
        for at in (inserted + 1..s - 1).step_by(2) {
            let here = word(bytes, at);
            tables.put_short(here, at);
            tables.put_long(here, at);
            tables.put_long(word(bytes, at + 1), at + 1);
        }
        start = s;
    }
    if !tokens.is_empty() {
        tokens.extend(bytes[emitted..].iter().map(|byte| Token::literal(*byte)));
    }
}

/// Searches for the next match from `start` on. `repeat` is the distance of the previous match.
#[inline]
fn search(
    bytes: &[u8],
    tables: &mut Tables,
    start: usize,
    emitted: usize,
    limit: usize,
    repeat: usize,
) -> Option<Found> {
    let end = bytes.len();
    let mut next = start;
    loop {
        let s = next;
        next = s + 1 + (s - emitted) / 128;
        if next > limit {
            return None;
        }
        let here = word(bytes, s);
        let candidate = tables.put_short(here, s);
        let (newest, older) = tables.put_long(here, s);
        if near(s, newest) {
            let older_usable = || usable(bytes, here, s, older);
            if usable(bytes, here, s, newest) {
                let there = word(bytes, next);
                tables.put_short(there, next);
                tables.put_long(there, next);
                let mut found = Found {
                    s,
                    t: newest,
                    len: None,
                    next,
                };
                if older_usable() {
                    let until = end.min(s + MAX_MATCH);
                    let len = 4 + common(bytes, s + 4, newest + 4, until);
                    let older_len = 4 + common(bytes, s + 4, older + 4, until);
                    found.len = Some(len);
                    if older_len > len {
                        found.t = older;
                        found.len = Some(older_len);
                    }
                }
                return Some(found);
            }
            if older_usable() {
                let there = word(bytes, next);
                tables.put_short(there, next);
                tables.put_long(there, next);
                return Some(Found {
                    s,
                    t: older,
                    len: None,
                    next,
                });
            }
        }
        if usable(bytes, here, s, candidate) {
            let mut len = 4 + common(bytes, s + 4, candidate + 4, end.min(s + MAX_MATCH));
            let mut found = Found {
                s,
                t: candidate,
                len: Some(len),
                next,
            };
            let there = word(bytes, next);
            let (newest, older) = tables.put_long(there, next);
            tables.put_short(there, next);

            // Tries the distance of the previous match, one byte further.
            let (at, u) = (s + 1, s + 1 - repeat);
            if word(bytes, at) as u32 == word(bytes, u) as u32 {
                let again = 4 + common(bytes, at + 4, u + 4, end.min(at + MAX_MATCH));
                if again > len {
                    return Some(Found {
                        s: at,
                        t: u,
                        len: Some(again),
                        next,
                    });
                }
            }
            if near(next, newest) {
                let until = end.min(next + MAX_MATCH);
                for t in [newest, older] {
                    if usable(bytes, there, next, t) {
                        let ahead = 4 + common(bytes, next + 4, t + 4, until);
                        if ahead > len {
                            len = ahead;
                            found = Found {
                                s: next,
                                t,
                                len: Some(ahead),
                                next,
                            };
                        }
                    }
                }
            }
            return Some(found);
        }
    }
}
