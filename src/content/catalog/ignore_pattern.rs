//! One line of an ignore file, with the rules of go-git 5 (`plumbing/format/gitignore`) and of Go's
//! `filepath.Match`, by which every released `opm` reads it.
//!
//! They differ from Git's: a pattern without a slash is compared with every component of a path, so
//! that `!a` also includes the files in the directory `a`; `[!x]` is a class of two characters; and
//! `**` is special only as a whole component of a pattern with a slash.

/// Maximum length of a pattern in bytes: that of a path.
const MAX: usize = 4096;

/// The reason why a line is invalid, as a clause.
pub(super) type FaultClause = &'static str;

/// The pattern of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// True if matching files are part of the catalog, in spite of earlier lines.
    pub(super) includes: bool,
    /// True if the last component that it matches must be a directory.
    only_directories: bool,
    parts: Parts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Parts {
    /// Matches any single component of a path.
    Name(Glob),
    /// Matches the components from the first one on.
    Path(Vec<Part>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Nothing between two slashes.
    Empty,
    /// `**`
    Directories,
    Name(Glob),
}

impl Pattern {
    /// Parses a line; `None` for one that is empty or a comment.
    ///
    /// # Errors
    ///
    /// When the line is invalid, so that it can match nothing.
    pub(super) fn parse(line: &str) -> Result<Option<Self>, FaultClause> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        if line.len() > MAX {
            return Err("it is longer than 4096 bytes");
        }
        let (includes, line) = match line.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (text, only_directories) = match line.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        let parts = match text.contains('/') {
            false => Parts::Name(Glob::parse(text)?),
            true => Parts::Path(text.split('/').map(Part::parse).collect::<Result<_, _>>()?),
        };
        Ok(Some(Self {
            includes,
            only_directories,
            parts,
        }))
    }

    /// True if the pattern matches a file; `path` has the components of its path below the ignore
    /// file's directory.
    pub(super) fn matches(&self, path: &[&str]) -> bool {
        match &self.parts {
            Parts::Name(glob) => match path.iter().position(|name| glob.matches(name)) {
                Some(at) => !self.only_directories || at.saturating_add(1) < path.len(),
                None => false,
            },
            Parts::Path(parts) => match rest_after(parts, path) {
                Some(rest) => !self.only_directories || !rest.is_empty(),
                None => false,
            },
        }
    }
}

impl Part {
    fn parse(text: &str) -> Result<Self, FaultClause> {
        match text {
            "" => Ok(Self::Empty),
            "**" => Ok(Self::Directories),
            text if text.contains("**") => Err("opm supports `**` only as a whole path component"),
            text => Glob::parse(text).map(Self::Name),
        }
    }
}

/// Returns the components after those that the parts match, if they match. As in go-git, a part
/// after `**` takes the first component that it matches, and tries no other.
fn rest_after<'a, 'p>(parts: &[Part], mut path: &'a [&'p str]) -> Option<&'a [&'p str]> {
    let (mut matched, mut anywhere) = (false, false);
    for (at, part) in parts.iter().enumerate() {
        let glob = match part {
            Part::Empty => {
                anywhere = false;
                continue;
            }
            Part::Directories if at.saturating_add(1) == parts.len() => break,
            Part::Directories => {
                anywhere = true;
                continue;
            }
            Part::Name(glob) => glob,
        };
        let (first, after) = path.split_first()?;
        if std::mem::take(&mut anywhere) {
            match path.iter().position(|name| glob.matches(name)) {
                Some(found) => {
                    matched = true;
                    path = path.get(found.saturating_add(1)..).unwrap_or_default();
                }
                None => (matched, path) = (false, &[]),
            }
        } else if glob.matches(first) {
            (matched, path) = (true, after);
        } else {
            return None;
        }
    }
    matched.then_some(path)
}

/// A pattern of Go's `filepath.Match`, split before its stars.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Glob(Vec<Chunk>);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Chunk {
    /// True if any characters may precede it.
    star: bool,
    items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    One(char),
    Any,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Item {
    fn matches(&self, c: char) -> bool {
        match self {
            Self::One(one) => *one == c,
            Self::Any => true,
            Self::Class { negated, ranges } => {
                let is_in = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                is_in != *negated
            }
        }
    }
}

impl Glob {
    fn parse(text: &str) -> Result<Self, FaultClause> {
        let mut chunks = vec![Chunk::default()];
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let item = match c {
                '*' => {
                    let star = true;
                    let items = Vec::new();
                    // Several stars in a row count as one.
                    match chunks.last_mut() {
                        Some(last) if last.items.is_empty() => last.star = star,
                        _ => chunks.push(Chunk { star, items }),
                    }
                    continue;
                }
                '?' => Item::Any,
                '[' => class(&mut chars)?,
                '\\' => Item::One(chars.next().ok_or("it ends with a backslash")?),
                c => Item::One(c),
            };
            if let Some(last) = chunks.last_mut() {
                last.items.push(item);
            }
        }
        Ok(Self(chunks))
    }

    /// True if the pattern matches the whole name. Each chunk takes the first position where it
    /// fits; the last one must reach the end.
    fn matches(&self, name: &str) -> bool {
        let Self(chunks) = self;
        let mut rest = name;
        for (at, chunk) in chunks.iter().enumerate() {
            let is_last = at.saturating_add(1) == chunks.len();
            if chunk.star && chunk.items.is_empty() {
                return true;
            }
            let fits = |begin: &str| {
                let mut chars = begin.chars();
                let mut items = chunk.items.iter();
                let fits = items.all(|item| chars.next().is_some_and(|c| item.matches(c)));
                (fits && (!is_last || chars.as_str().is_empty())).then_some(chars.as_str().len())
            };
            let places = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            let places = places.take(if chunk.star { usize::MAX } else { 1 });
            let found = places.filter_map(|at| fits(rest.get(at..)?)).next();
            let Some(left) = found else {
                return false;
            };
            rest = rest
                .get(rest.len().saturating_sub(left)..)
                .unwrap_or_default();
        }
        true
    }
}

/// Parses a class after its opening bracket. A bracket or hyphen in it needs a backslash.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Item, FaultClause> {
    const OPEN: FaultClause = "a bracket is not closed";
    let one = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| match chars.next() {
        None => Err(OPEN),
        Some('-' | ']') => Err("a `-` or `]` is misplaced in a character class"),
        Some('\\') => chars.next().ok_or(OPEN),
        Some(c) => Ok(c),
    };
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
        let low = one(chars)?;
        let high = match chars.next_if_eq(&'-') {
            Some(_) => one(chars)?,
            None => low,
        };
        ranges.push((low, high));
    }
    Ok(Item::Class { negated, ranges })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of Go's documentation and test of `filepath.Match`, without its separator.
    #[test]
    fn names_match_as_in_go() {
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "abc", true),
            ("a*b*c*d*e*", "axbxcxdxe", true),
            ("a*b*c*d*e*", "axbxcxdxexxx", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^b-d]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("ab[!x]", "ab!", true),
            ("ab[!x]", "aby", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a\u{263a}b", true),
            ("a[^a]b", "a\u{263a}b", true),
            ("a???b", "a\u{263a}b", false),
            ("[a-\u{3b6}]*", "\u{3b1}", true),
            ("*[a-\u{3b6}]", "A", false),
            ("[\\]a]", "]", true),
            ("[\\-x]", "-", true),
            ("[x\\-]", "z", false),
            ("*x", "xxx", true),
            ("**", "x", true),
            ("**x", "yx", true),
            ("{a,b}", "{a,b}", true),
            ("{a,b}", "a", false),
            ("[[:x:]]", ":]", true),
            ("", "a", false),
        ] {
            let glob = Glob::parse(pattern).unwrap();
            assert_eq!(glob.matches(name), expected, "{pattern} {name}");
        }
        for bad in [
            "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "\\", "[a\\", "[]",
            "*[a-",
        ] {
            assert!(Glob::parse(bad).is_err(), "{bad}");
        }
    }

    /// Cases from go-git 5.16, with `*` for a file and `/` for a directory.
    #[test]
    fn paths_match_as_in_go_git() {
        for (line, path, expected) in [
            ("value", "value", true),
            ("value", "head/value/tail", true),
            ("value", "head/other/tail", false),
            ("value/", "value", false),
            ("value/", "value/tail", true),
            ("*lue/vol?ano", "value/volcano", true),
            ("*lue/vol?ano", "head/value/volcano", false),
            ("*lue/vol?ano", "value/volcano/tail", true),
            ("/*lue/", "value", false),
            ("/*lue/", "value/x", true),
            ("/", "value", false),
            ("//", "value", false),
            ("x//y", "x/y", true),
            ("x//", "x/y", true),
            ("./x", "x", false),
            ("**/*lue/vol?ano", "head/value/volcano", true),
            ("**/*lue/vol?ano", "value/volcano", true),
            // The second part is searched for after the first match of the first part only.
            ("**/a/b", "a/x/a/b", false),
            ("a/**/b", "a/x/y/b/c", true),
            ("a/**/b", "a/x/y", false),
            ("a/**", "a", true),
            ("a/**", "a/x", true),
            ("**/tests/**", "a/tests/b/c", true),
            ("*/", "a", false),
            ("*/", "a/b", true),
            ("**/", "a", false),
            ("**/", "a/b", true),
            ("a/b/c", "a/b", false),
            ("\\#x", "#x", true),
            ("\\!x", "!x", true),
            ("  x\t", "x", true),
            ("x\u{a0}", "x", true),
        ] {
            let pattern = Pattern::parse(line).unwrap().unwrap();
            let path: Vec<&str> = path.split('/').collect();
            assert_eq!(pattern.matches(&path), expected, "{line} {path:?}");
        }
        for line in ["", "  ", "# x", "\t# x", "\r"] {
            assert_eq!(Pattern::parse(line), Ok(None), "{line:?}");
        }
        let long = "a".repeat(MAX + 1);
        for bad in ["a/b**", "a**/b", "/**x", "x\\ ", "a/[", "[", &long] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Pattern::parse("!a").unwrap().unwrap().includes);
    }
}
