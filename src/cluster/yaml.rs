//! Writes YAML the way `sigs.k8s.io/yaml` does: block style, keys in alphabetical order, list
//! items not indented below their key, quotes only where a reader would need them.
//!
//! Independent of cluster objects. The same tree gives the same bytes.

use std::collections::BTreeMap;

use crate::model::is_deceptive;

/// A YAML value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// A string, quoted if it would read as another type.
    Text(String),
    /// A number.
    Number(u32),
    /// Keys in alphabetical order.
    Map(BTreeMap<&'static str, Node>),
    /// Strings by keys that are data: labels, annotations.
    Strings(BTreeMap<String, String>),
    /// Items in the given order.
    List(Vec<Node>),
}

impl Node {
    /// A string.
    pub(super) fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    /// A map with the given keys.
    pub(super) fn map<const N: usize>(entries: [(&'static str, Self); N]) -> Self {
        Self::Map(BTreeMap::from(entries))
    }

    /// The value as a document, with a final newline.
    pub(super) fn to_yaml(&self) -> String {
        let mut out = String::new();
        match self.inline() {
            Some(text) => {
                out.push_str(&text);
                out.push('\n');
            }
            None => self.write_block(&mut out, 0),
        }
        out
    }

    /// The value on one line; `None` for a map or list with entries.
    fn inline(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(scalar(text)),
            Self::Number(number) => Some(number.to_string()),
            Self::Map(entries) if entries.is_empty() => Some("{}".to_owned()),
            Self::Strings(entries) if entries.is_empty() => Some("{}".to_owned()),
            Self::List(items) if items.is_empty() => Some("[]".to_owned()),
            Self::Map(_) | Self::Strings(_) | Self::List(_) => None,
        }
    }

    /// Writes a map or list that is not empty. The first line is not indented if the output already
    /// ends with `- `.
    fn write_block(&self, out: &mut String, indent: usize) {
        match self {
            Self::Text(_) | Self::Number(_) => {}
            Self::Map(entries) => {
                for (key, value) in entries {
                    start_line(out, indent);
                    write_entry(out, key, value, indent);
                }
            }
            Self::Strings(entries) => {
                for (key, value) in entries {
                    start_line(out, indent);
                    out.push_str(&format!("{}: {}\n", scalar(key), scalar(value)));
                }
            }
            Self::List(items) => {
                for item in items {
                    start_line(out, indent);
                    out.push_str("- ");
                    match item.inline() {
                        Some(text) => {
                            out.push_str(&text);
                            out.push('\n');
                        }
                        None => item.write_block(out, indent + 2),
                    }
                }
            }
        }
    }
}

/// Indents a line, unless it has text already.
fn start_line(out: &mut String, indent: usize) {
    if out.is_empty() || out.ends_with('\n') {
        out.extend(std::iter::repeat_n(' ', indent));
    }
}

fn write_entry(out: &mut String, key: &str, value: &Node, indent: usize) {
    out.push_str(&scalar(key));
    out.push(':');
    match value.inline() {
        Some(text) => {
            out.push(' ');
            out.push_str(&text);
            out.push('\n');
        }
        None => {
            out.push('\n');
            let deeper = match value {
                Node::List(_) => indent,
                _ => indent + 2,
            };
            value.write_block(out, deeper);
        }
    }
}

/// Returns a scalar that every YAML reader takes for this string.
fn scalar(text: &str) -> String {
    if text.chars().any(must_escape) {
        double_quoted(text)
    } else if text.is_empty() || is_other_type(text) {
        format!("\"{text}\"")
    } else if is_plain(text) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// True if a character must be escaped: not printable in YAML (1.2.2, section 5.1), a line break in
/// YAML 1.1, or able to change how the line is displayed.
fn must_escape(c: char) -> bool {
    is_deceptive(c)
        || matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{fffe}' | '\u{ffff}' | '\u{10000}'..)
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if must_escape(c) => {
                let code = u32::from(c);
                match code {
                    0..=0xff => out.push_str(&format!("\\x{code:02X}")),
                    0x100..=0xffff => out.push_str(&format!("\\u{code:04X}")),
                    _ => out.push_str(&format!("\\U{code:08X}")),
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// True if the text needs no quotes in block style (YAML 1.2.2, section 7.3.3).
fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let first_ok = match chars.next() {
        None => false,
        Some('-' | '?' | ':') => chars.next().is_some_and(|c| c != ' '),
        Some(c) => !",[]{}#&*!|>'\"%@` ".contains(c),
    };
    first_ok
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("---")
        && !text.starts_with("...")
}

/// True if a reader of YAML 1.1 or 1.2 would not take the unquoted text for a string, but for null,
/// a boolean, a number, a time or a merge key.
fn is_other_type(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "y", "yes", "on", "n", "no", "off", "true", "false", "null", "~", "<<", "=",
    ];
    let lower = text.to_ascii_lowercase();
    if WORDS.contains(&lower.as_str()) {
        return true;
    }
    let unsigned = lower.strip_prefix(['+', '-']).unwrap_or(&lower);
    matches!(unsigned, ".inf" | ".nan") || is_number(unsigned) || is_time(&lower)
}

/// True if a text without sign is an integer or float of YAML 1.1 or 1.2, including sexagesimal
/// ones.
fn is_number(unsigned: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let radix_digits = |part: &str| part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'_');
    if let Some(rest) = unsigned.strip_prefix('0')
        && rest.starts_with(['x', 'b', 'o'])
    {
        return rest.get(1..).is_some_and(radix_digits);
    }
    let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
    mantissa.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && mantissa.contains(|c: char| c.is_ascii_digit())
        && mantissa.split(':').all(|part| {
            let (whole, fraction) = part.split_once('.').unwrap_or((part, ""));
            digits(whole) && digits(fraction)
        })
        && digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))
}

/// True if a text begins like a date and has only characters of YAML 1.1 timestamps.
fn is_time(lower: &str) -> bool {
    let year = |text: &str| text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit());
    lower.split_once('-').is_some_and(|(first, rest)| {
        year(first)
            && rest.contains('-')
            && rest
                .chars()
                .all(|c| c.is_ascii_digit() || "-:.+tz ".contains(c))
    })
}

#[cfg(test)]
mod tests;
