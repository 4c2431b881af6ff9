//! `.indexignore` files: lists of files in a catalog's directory that are not part of the catalog.
//!
//! Read as every released `opm` reads it: lines as `joelanford/ignore`, patterns as go-git 5
//! (docs/oc-compatibility.md, section 7.2). An invalid line matches nothing, and only causes a
//! warning.

use super::CatalogLimits;
use super::ignore_pattern::{FaultClause, Pattern};

/// Error: the ignore files are too long together.
#[derive(Debug, thiserror::Error)]
#[error("With this file, the ignore files exceed {limit} bytes in total")]
pub struct IgnoreFileTooLong {
    /// The limit in bytes.
    limit: usize,
}

/// An invalid line, which matches nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadLine {
    /// Line number, from 1.
    pub(super) number: u64,
    /// The fault, as a clause.
    pub(super) why: FaultClause,
}

/// The patterns of all ignore files of a catalog.
#[derive(Debug, Default)]
pub struct IgnoreFile {
    /// The directory of each file and its patterns, in the order in which `opm` finds the files.
    files: Vec<(String, Vec<Pattern>)>,
    /// Length of all files together, in bytes.
    bytes: usize,
}

impl IgnoreFile {
    /// The name of ignore files.
    pub const NAME: &'static str = ".indexignore";

    /// Adds the ignore file of a directory; `directory` is a path below the catalog's directory,
    /// empty for the catalog's directory itself. The patterns apply to files in the directory and
    /// below. Returns the invalid lines.
    pub(super) fn add(
        &mut self,
        directory: &str,
        bytes: &[u8],
    ) -> Result<Vec<BadLine>, IgnoreFileTooLong> {
        let limit = CatalogLimits::IGNORE_FILES;
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > limit {
            return Err(IgnoreFileTooLong { limit });
        }
        let (mut patterns, mut bad) = (Vec::new(), Vec::new());
        for (number, line) in (1..).zip(bytes.split(|b| *b == b'\n')) {
            let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8");
            match text.and_then(Pattern::parse) {
                Ok(pattern) => patterns.extend(pattern),
                Err(why) => bad.push(BadLine { number, why }),
            }
            // Go's reader keeps the byte order mark as part of the name, so the line matches
            // another name.
            if line.starts_with(b"\xef\xbb\xbf") {
                let why = "it begins with a byte order mark, which opm reads as part of the name";
                bad.push(BadLine { number, why });
            }
        }
        self.files.push((directory.to_owned(), patterns));
        // Sort in walk order, because patterns of files that `opm` finds later win.
        self.files
            .sort_by(|(a, _), (b, _)| in_walk(a).cmp(in_walk(b)));
        Ok(bad)
    }

    /// True if a file is ignored; `path` is below the catalog's directory. Ignore files themselves
    /// are not part of a catalog.
    pub fn ignores(&self, path: &str) -> bool {
        let components: Vec<&str> = path.split('/').collect();
        if components.last() == Some(&Self::NAME) {
            return true;
        }
        let decides = self.files.iter().rev().find_map(|(directory, patterns)| {
            let below = below(directory, &components)?;
            patterns.iter().rev().find(|line| line.matches(below))
        });
        decides.is_some_and(|line| !line.includes)
    }

    /// Upper bound on the character comparisons for checking files whose paths have `paths` bytes
    /// together.
    pub(super) fn work(&self, paths: usize) -> usize {
        self.bytes.saturating_mul(paths)
    }
}

/// The components of a directory's ignore file, which compare in the order of Go's `fs.WalkDir`.
fn in_walk(directory: &str) -> impl Iterator<Item = &str> {
    let names = directory.split('/').filter(|name| !name.is_empty());
    names.chain([IgnoreFile::NAME])
}

/// The components of a path after those of a directory; `None` if it is not below it.
fn below<'a, 'p>(directory: &str, path: &'a [&'p str]) -> Option<&'a [&'p str]> {
    let mut rest = path;
    for name in directory.split('/').filter(|name| !name.is_empty()) {
        match rest.split_first() {
            Some((first, after)) if *first == name => rest = after,
            _ => return None,
        }
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_gitignore() {
        let mut ignore = IgnoreFile::default();
        let text = "# note\n*.md\n/root-only.yaml\nold/\n!old/keep\n**/tests/**\n*.json\n!a.json\n";
        ignore.add("", text.as_bytes()).unwrap();
        for (path, expected) in [
            ("README.md", true),
            ("a/b/README.md", true),
            ("root-only.yaml", true),
            ("a/root-only.yaml", false),
            ("old/x.yaml", true),
            ("a/old/x.yaml", true),
            ("older/x.yaml", false),
            ("a/tests/b/c.yaml", true),
            ("b.json", true),
            ("x/a.json", false),
            (".indexignore", true),
            ("a/.indexignore", true),
            ("catalog.yaml", false),
        ] {
            assert_eq!(ignore.ignores(path), expected, "{path}");
        }
    }

    #[test]
    fn files_of_deeper_directories_decide() {
        let mut ignore = IgnoreFile::default();
        ignore.add("a", b"!x.md\n/y.yaml\n").unwrap();
        ignore.add("", b"*.md\n").unwrap();
        for (path, expected) in [
            ("x.md", true),
            ("a/x.md", false),
            ("a/z.md", true),
            ("a/y.yaml", true),
            ("y.yaml", false),
            ("ab/y.yaml", false),
        ] {
            assert_eq!(ignore.ignores(path), expected, "{path}");
        }
    }

    #[test]
    fn lines_mean_what_they_mean_to_opm() {
        for (line, ignored, kept) in [
            ("*.{json,yaml}", "x.{json,yaml}", "x.json"),
            ("x/{c,d}.*", "x/{c,d}.json", "x/c.json"),
            ("a\\{b", "a{b", "ab"),
            ("c\\\\d", "c\\d", "cd"),
            (" \tc.json\t", "c.json", "c.json\t"),
            ("c.json\u{a0} ", "c.json", "c.json "),
            ("  *.md\r", "a.md", "a.md\r"),
            ("[!b]c", "!c", "ac"),
            ("[^b]c", "ac", "bc"),
            ("[\\]x]", "]", "\\"),
            ("x//c.json", "x/c.json", "c.json"),
            ("a/*", "a/x/y", "b/a/x"),
            ("*/", "a/b.yaml", "b.yaml"),
            ("**/", "a/b.yaml", "b.yaml"),
        ] {
            let mut ignore = IgnoreFile::default();
            assert_eq!(ignore.add("", line.as_bytes()).unwrap(), [], "{line}");
            assert!(ignore.ignores(ignored), "{line} ignores {ignored}");
            assert!(!ignore.ignores(kept), "{line} keeps {kept}");
        }
        for line in ["//", "//y", "./x", "!", "/", "X", "  # x"] {
            let mut ignore = IgnoreFile::default();
            assert_eq!(ignore.add("", line.as_bytes()).unwrap(), [], "{line}");
            assert!(!ignore.ignores("x"), "{line}");
        }
    }

    #[test]
    fn a_directory_is_brought_back_with_what_is_in_it() {
        for (text, ignored) in [
            ("*\n!a\n", vec!["README.md", "b/catalog.json"]),
            ("*\n!a/\n", vec!["README.md", "b/catalog.json"]),
            ("*.md\n*.yaml\n!a\n", vec!["README.md"]),
            (
                "*\n!/a/catalog.yaml\n",
                vec!["README.md", "a/old.yaml", "b/catalog.json"],
            ),
        ] {
            let mut ignore = IgnoreFile::default();
            ignore.add("", text.as_bytes()).unwrap();
            let files = [
                "README.md",
                "a/catalog.yaml",
                "a/old.yaml",
                "b/catalog.json",
            ];
            let found: Vec<&str> = files.into_iter().filter(|f| ignore.ignores(f)).collect();
            assert_eq!(found, ignored, "{text:?}");
        }
    }

    #[test]
    fn a_line_that_is_a_mistake_matches_nothing_and_is_told() {
        let mut ignore = IgnoreFile::default();
        let text = b"*.md\r\nx\xff\n[\nx\\\n[a-z-]\n[a-\n/y\r\na/**b\n";
        let bad = ignore.add("", text).unwrap();
        let lines: Vec<u64> = bad.iter().map(|bad| bad.number).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 8]);
        assert!(ignore.ignores("a.md"));
        assert!(ignore.ignores("y"));
        assert!(!ignore.ignores("x/c.json"));
        let mut marked = IgnoreFile::default();
        let bad = marked.add("", b"\xef\xbb\xbf*.md\n*.txt\n").unwrap();
        assert_eq!(bad.len(), 1, "{bad:?}");
        assert!(!marked.ignores("a.md") && marked.ignores("a.txt"));
    }

    #[test]
    fn long_files_are_read() {
        let mut ignore = IgnoreFile::default();
        let mut text = "foo*\n".repeat(20_000) + "!bar\n" + &"[a-z]".repeat(800) + "\n";
        text.push_str(&"a".repeat(100_000));
        text.push_str("\n*.md\n");
        let bad = ignore.add("", text.as_bytes()).unwrap();
        assert_eq!(bad.len(), 1, "{bad:?}");
        assert!(ignore.ignores("foo1"));
        assert!(ignore.ignores("x.md"));
        let long = vec![b'a'; CatalogLimits::IGNORE_FILES + 1];
        assert!(ignore.add("", &long).is_err());
    }
}
