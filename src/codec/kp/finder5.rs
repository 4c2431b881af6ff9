//! The match finder of level 5 (docs/encoders.md, section 5.1).

use super::REACH;
use super::tables::{Tables, near, usable, word};
use crate::codec::token::{MAX_MATCH, Token};
use crate::codec::window::{Window, common};

/// Number of bytes at the end of a chunk in which no search starts.
pub(super) const MARGIN: usize = 11;
/// Shortest chunk that is searched. Shorter ones only enter the history.
pub(super) const SHORTEST_CHUNK: usize = 13;

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
    while let Some(found) = search(bytes, tables, start, emitted, limit) {
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
        if len < 30 && s + len < limit {
            let behind = tables.long(word(bytes, s + len)).0;
            if near(s + len, behind) && behind + 2 >= window.base() + len {
                let (from, to) = (s + 2, behind + 2 - len);
                let longer = if from > to {
                    common(bytes, from, to, end)
                } else {
                    0
                };
                if longer > len {
                    (s, t, len) = (from, to, longer);
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
        s += len;
        emitted = s;
        if next >= s {
            s = next + 1;
        }
        if s >= limit {
            break;
        }
        fill_in(bytes, tables, s - len, s);
        start = s;
    }
    if !tokens.is_empty() {
        tokens.extend(bytes[emitted..].iter().map(|byte| Token::literal(*byte)));
    }
}

/// Searches for the next match from `start` on (rule 1).
#[inline]
fn search(
    bytes: &[u8],
    tables: &mut Tables,
    start: usize,
    emitted: usize,
    limit: usize,
) -> Option<Found> {
    let end = bytes.len();
    let mut next = start;
    loop {
        let s = next;
        next = s + 1 + (s - emitted) / 64;
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
            let len = 4 + common(bytes, s + 4, candidate + 4, end.min(s + MAX_MATCH));
            let mut found = Found {
                s,
                t: candidate,
                len: Some(len),
                next,
            };
            // A match from the long table at the next position is preferred if it is longer.
            let there = word(bytes, next);
            let (newest, older) = tables.put_long(there, next);
            tables.put_short(there, next);
            if near(next, newest) {
                let until = end.min(next + MAX_MATCH);
                for t in [newest, older] {
                    if usable(bytes, there, next, t) {
                        let ahead = 4 + common(bytes, next + 4, t + 4, until);
                        if ahead > len {
                            found.s = next;
                            found.t = t;
                            found.len = Some(ahead);
                            break;
                        }
                    }
                }
            }
            return Some(found);
        }
    }
}

/// Enters positions inside a match into the tables (rules 8 and 9).
#[inline]
fn fill_in(bytes: &[u8], tables: &mut Tables, start: usize, s: usize) {
    let first = start + 1;
    if first < s - 1 {
        let here = word(bytes, first);
        tables.put_short(here, first);
        tables.put_long(here, first);
        tables.put_long(word(bytes, first + 1), first + 1);
        tables.put_short(word(bytes, first + 2), first + 2);
        for at in (first + 4..s - 1).step_by(3) {
            tables.put_long(word(bytes, at), at);
            tables.put_short(word(bytes, at + 1), at + 1);
        }
    }
    let here = word(bytes, s - 1);
    tables.put_short(here, s - 1);
    tables.put_long(here, s - 1);
}

/// Appends a match of 4 bytes or more, split so that no piece is shorter than 4 (rule 7).
pub(super) fn push_match(tokens: &mut Vec<Token>, mut len: usize, distance: usize) {
    while len > 0 {
        let piece = match len {
            0..=MAX_MATCH => len,
            259..=261 => 255,
            _ => MAX_MATCH,
        };
        tokens.push(Token::matched(piece, distance));
        len -= piece;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::token::Kind;

    #[test]
    fn long_matches_are_cut_without_short_rests() {
        let pieces = |len| {
            let mut tokens = Vec::new();
            push_match(&mut tokens, len, 1);
            tokens
        };
        for (len, expected) in [
            (258, vec![258]),
            (259, vec![255, 4]),
            (261, vec![255, 6]),
            (262, vec![258, 4]),
            (520, vec![258, 258, 4]),
            (519, vec![258, 255, 6]),
        ] {
            let expected: Vec<Token> = expected.iter().map(|n| Token::matched(*n, 1)).collect();
            assert_eq!(pieces(len), expected, "length {len}");
        }
    }

    #[test]
    fn a_period_of_five_becomes_the_tokens_of_the_specification() {
        let mut window = Window::new();
        window.fill(&b"\x90\x11\x42\xe3\x07".repeat(600));
        let mut tokens = Vec::new();
        find(&window, &mut Tables::new(), &mut tokens);
        assert_eq!(tokens.len(), 17);
        let literals = |token: &Token| matches!(token.kind(), Kind::Literal(_));
        assert!(tokens[..5].iter().all(literals));
        assert!(
            tokens[5..16]
                .iter()
                .all(|token| *token == Token::matched(258, 5))
        );
        assert_eq!(tokens[16], Token::matched(157, 5));
    }
}
