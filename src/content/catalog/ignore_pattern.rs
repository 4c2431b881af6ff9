//! One line of an ignore file, written as the crate `ignore` reads it.
//!
//! The crate takes `{a,b}` for alternatives, reads classes in another way, and drops every kind of
//! space at the end of a line. For Git a brace is a brace, and so on; a catalog's files must not
//! disappear because of such a difference. So a line is taken apart by Git's rules (gitignore(5)
//! and Git's `wildmatch.c`) and written anew with nothing in it that the crate reads differently.

use std::iter::Peekable;
use std::str::Chars;

/// Longest pattern in bytes. A path is not longer.
const MAX: usize = 4096;

/// Why a line can match nothing.
pub(super) type Bad = &'static str;

/// The line for the crate; nothing for a line that is empty, a comment, or cannot match any path.
///
/// # Errors
///
/// When the line is a mistake, so that it matches nothing.
pub(super) fn for_crate(line: &str) -> Result<Option<String>, Bad> {
    if line.starts_with('#') {
        return Ok(None);
    }
    let line = without_trailing_spaces(line);
    if line.len() > MAX {
        return Err("it is longer than 4096 bytes");
    }
    let (not, line) = match line.strip_prefix('!') {
        Some(rest) => ("!", rest),
        None => ("", line),
    };
    let (pattern, only_directories) = match line.strip_suffix('/') {
        Some(rest) => (rest, "/"),
        None => (line, ""),
    };
    let anchored = pattern.contains('/');
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
    let start = if anchored { "/" } else { "**/" };
    let glob = glob(pattern, anchored)?;
    Ok(glob.map(|glob| format!("{not}{start}{glob}{only_directories}")))
}

/// Removes the spaces at the end, but none that follows a backslash. Other white space stays.
fn without_trailing_spaces(line: &str) -> &str {
    let mut end = 0;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if c != ' ' || escaped {
            end = at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    line.get(..end).unwrap_or(line)
}

/// The pattern as a glob of the crate; nothing when it has an empty component.
fn glob(pattern: &str, anchored: bool) -> Result<Option<String>, Bad> {
    let mut glob = String::new();
    let mut chars = pattern.chars().peekable();
    let mut after_slash = true;
    while let Some(c) = chars.next() {
        let literal = match c {
            '\\' => chars.next().ok_or("nothing follows its last backslash")?,
            '*' => {
                stars(&mut chars, anchored && after_slash, &mut glob);
                after_slash = false;
                continue;
            }
            '?' | '[' => {
                let class = match c {
                    '?' => Some("?".to_owned()),
                    _ => class(&mut chars)?,
                };
                let Some(class) = class else {
                    return Ok(None);
                };
                glob.push_str(&class);
                after_slash = false;
                continue;
            }
            literal => literal,
        };
        if literal == '/' && after_slash {
            return Ok(None);
        }
        after_slash = literal == '/';
        put_literal(literal, &mut glob);
    }
    Ok(Some(glob).filter(|_| !after_slash))
}

/// Two stars and more mean directories where they are a whole component, and one star elsewhere.
fn stars(chars: &mut Peekable<Chars<'_>>, may_be_component: bool, glob: &mut String) {
    let mut count = 1;
    while chars.next_if_eq(&'*').is_some() {
        count += 1;
    }
    let mut rest = chars.clone();
    let next = match rest.next() {
        Some('\\') => rest.next(),
        next => next,
    };
    let directories = count > 1 && may_be_component && matches!(next, None | Some('/'));
    glob.push_str(if directories { "**" } else { "*" });
}

/// Writes a character that means itself. The crate would drop white space at the end of a line.
fn put_literal(c: char, glob: &mut String) {
    if c.is_whitespace() && !c.is_ascii() {
        // In a class the crate would take each of its bytes for a character.
        glob.extend(['{', c, '}']);
    } else if matches!(c, '{' | '}' | '[' | '*' | '?' | '\\') || c.is_whitespace() {
        glob.extend(['[', c, ']']);
    } else {
        glob.push(c);
    }
}

/// Reads a class behind its bracket, by Git's rules. Nothing when no character is in it.
fn class(chars: &mut Peekable<Chars<'_>>) -> Result<Option<String>, Bad> {
    const OPEN: Bad = "a bracket is not closed";
    let negated = chars.next_if(|c| matches!(c, '!' | '^')).is_some();
    let mut ranges: Vec<(char, char)> = Vec::new();
    // The character before, with which a range may begin.
    let mut before: Option<char> = None;
    let mut first = true;
    loop {
        let c = chars.next().ok_or(OPEN)?;
        if c == ']' && !first {
            break;
        }
        first = false;
        let next = chars.peek().copied();
        match (c, before) {
            ('-', Some(start)) if !matches!(next, None | Some(']')) => {
                let end = match chars.next().ok_or(OPEN)? {
                    '\\' => chars.next().ok_or(OPEN)?,
                    end => end,
                };
                // The beginning is there already; it stays when the range has nothing else.
                if start < end {
                    ranges.pop();
                    ranges.push((start, end));
                }
                before = None;
            }
            ('[', _) if next == Some(':') => match named(chars)? {
                Some(named) => {
                    ranges.extend(named);
                    before = None;
                }
                None => {
                    ranges.push(('[', '['));
                    before = Some('[');
                }
            },
            _ => {
                let c = match c {
                    '\\' => chars.next().ok_or(OPEN)?,
                    c => c,
                };
                ranges.push((c, c));
                before = Some(c);
            }
        }
    }
    Ok(written(negated, &ranges))
}

/// A class by name, behind `[`; nothing, and nothing is consumed, when no `:]` ends the name.
fn named(chars: &mut Peekable<Chars<'_>>) -> Result<Option<&'static [(char, char)]>, Bad> {
    let rest = chars.clone();
    let text: String = rest.skip(1).take_while(|c| *c != ']').collect();
    let Some(name) = text.strip_suffix(':') else {
        return Ok(None);
    };
    let ranges: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "blank" => &[(' ', ' '), ('\t', '\t')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return Err("a class of characters has an unknown name"),
    };
    for _ in 0..name.chars().count() + 3 {
        chars.next();
    }
    Ok(Some(ranges))
}

/// Characters that mean something to the crate inside a class, and the slash, which none matches.
const SPECIAL: [char; 6] = ['!', '-', '/', '[', ']', '^'];

/// Writes a class so that the crate reads these ranges: what is special stands alone, and where
/// it means itself.
fn written(negated: bool, ranges: &[(char, char)]) -> Option<String> {
    let has = |c: char| {
        ranges
            .iter()
            .any(|(start, end)| (*start..=*end).contains(&c))
    };
    let mut plain = String::new();
    for (start, end) in ranges {
        let mut from = *start;
        for special in SPECIAL.into_iter().filter(|c| (start..=end).contains(&c)) {
            put_range(from, char_before(special), &mut plain);
            from = char_after(special);
        }
        put_range(from, *end, &mut plain);
    }
    let marks: String = ['[', '^', '!'].into_iter().filter(|c| has(*c)).collect();
    let bracket = if has(']') { "]" } else { "" };
    let dash = if has('-') { "-" } else { "" };
    if negated {
        let members = format!("{bracket}{plain}{marks}/{dash}");
        return Some(format!("[!{members}]"));
    }
    // A mark that would come first would negate the class.
    match (format!("{bracket}{plain}"), marks.as_str()) {
        (first, "") if first.is_empty() && dash.is_empty() => None,
        (first, "^!") if first.is_empty() && dash.is_empty() => Some("{^,!}".to_owned()),
        (first, "^" | "!") if first.is_empty() && dash.is_empty() => Some(marks),
        (first, _) if first.is_empty() => Some(match marks.starts_with('[') {
            true => format!("[{marks}{dash}]"),
            false => format!("[{dash}{marks}]"),
        }),
        (first, _) => Some(format!("[{first}{marks}{dash}]")),
    }
}

fn put_range(start: char, end: char, class: &mut String) {
    if start == end {
        class.push(start);
    } else if start < end {
        class.extend([start, '-', end]);
    }
}

/// The character before one of [`SPECIAL`].
fn char_before(c: char) -> char {
    char::from_u32(u32::from(c).saturating_sub(1)).unwrap_or(c)
}

/// The character behind one of [`SPECIAL`].
fn char_after(c: char) -> char {
    char::from_u32(u32::from(c).saturating_add(1)).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_for_the_crate() {
        for (line, expected) in [
            ("", None),
            ("# x", None),
            ("!", None),
            ("/", None),
            ("//", None),
            ("!//", None),
            ("//x", None),
            ("x//", None),
            ("x//y", None),
            ("a[/]b", None),
            ("a[/]", None),
            ("*.md", Some("**/*.md")),
            ("\\#x", Some("**/#x")),
            ("\\!x", Some("**/!x")),
            ("!/x/", Some("!/x/")),
            ("x/y", Some("/x/y")),
            ("*.{json,yaml}", Some("**/*.[{]json,yaml[}]")),
            ("\\{a,b\\}", Some("**/[{]a,b[}]")),
            ("x\\\\", Some("**/x[\\]")),
            ("x\\\\/", Some("**/x[\\]/")),
            ("x  ", Some("**/x")),
            ("x\\  ", Some("**/x[ ]")),
            ("x\\\\ ", Some("**/x[\\]")),
            ("x\t", Some("**/x[\t]")),
            ("**", Some("**/*")),
            ("a/**/b", Some("/a/**/b")),
            ("a/***", Some("/a/**")),
            ("a/b**", Some("/a/b*")),
            ("[a-c]", Some("**/[a-c]")),
            ("[z-a]", Some("**/[z]")),
            ("x\u{a0}", Some("**/x{\u{a0}}")),
            ("[!a]", Some("**/[!a/]")),
            ("[^a]", Some("**/[!a/]")),
            ("[]a]", Some("**/[]a]")),
            ("[a{b]", Some("**/[a{b]")),
            ("[\\]x]", Some("**/[]x]")),
            ("[a\\-z]", Some("**/[az-]")),
            ("[[:digit:]x]", Some("**/[0-9x]")),
            ("[[:x]", Some("**/[:x[]")),
            ("[x!]", Some("**/[x!]")),
            ("[\\!]", Some("**/!")),
            ("[\\^!]", Some("**/{^,!}")),
            ("[\\!-]", Some("**/[-!]")),
            ("[+-0]", Some("**/[+-,.0-]")),
        ] {
            assert_eq!(for_crate(line).unwrap().as_deref(), expected, "{line:?}");
        }
        for bad in [
            "\\", "x\\", "x\\/", "[", "[]", "[!]", "[a\\", "[a-", "[[:x:]]",
        ] {
            assert!(for_crate(bad).is_err(), "{bad:?}");
        }
        assert!(for_crate(&"a".repeat(MAX + 1)).is_err());
    }
}
