//! `.indexignore`: which files of a catalog's directory are not part of it.
//!
//! Its syntax is that of `.gitignore` (docs/oc-compatibility.md, section 7.2). A line that is a
//! mistake matches nothing, as for Git, and costs no more than a warning.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::CatalogLimits;
use super::ignore_pattern::{self, Bad};

/// Patterns that are compiled together (a count): the crate limits what they make together.
const TOGETHER: usize = 200;

/// An ignore file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("It makes the ignore files longer than {limit} bytes together")]
pub struct IgnoreFileTooLong {
    /// The limit in bytes.
    limit: usize,
}

/// A line that matches nothing because it is a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadLine {
    /// The line, from 1.
    pub(super) number: u64,
    /// What is wrong with it.
    pub(super) why: Bad,
}

/// The patterns of the ignore files of a directory and those above it.
#[derive(Debug, Default)]
pub struct IgnoreFile {
    /// Directory of each file and its patterns, in order of reading.
    files: Vec<(String, Vec<Gitignore>)>,
    /// How many bytes the files have together.
    bytes: usize,
}

impl IgnoreFile {
    /// The name of such files.
    pub const NAME: &'static str = ".indexignore";

    /// Adds the ignore file of a directory; `directory` is a path below the catalog's
    /// directory, empty for itself. Its patterns hold there and below. Gives the lines that are
    /// mistakes.
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
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let (mut lines, mut bad) = (Vec::new(), Vec::new());
        for (number, line) in (1..).zip(bytes.split(|b| *b == b'\n')) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8");
            match text.and_then(ignore_pattern::for_crate) {
                Ok(Some(line)) => lines.push((number, line)),
                Ok(None) => {}
                Err(why) => bad.push(BadLine { number, why }),
            }
        }
        let mut patterns = Vec::new();
        for lines in lines.chunks(TOGETHER) {
            compile(lines, &mut patterns, &mut bad);
        }
        self.files.push((directory.to_owned(), patterns));
        // Patterns of deeper directories are asked last and decide.
        self.files.sort_by_key(|a| a.0.len());
        Ok(bad)
    }

    /// Whether a file is ignored; `path` is below the catalog's directory. Ignore files are no
    /// part of a catalog themselves.
    pub fn ignores(&self, path: &str) -> bool {
        if path.rsplit('/').next() == Some(Self::NAME) {
            return true;
        }
        let mut ignored = false;
        for (directory, patterns) in &self.files {
            let below = match directory.as_str() {
                "" => Some(path),
                directory => path
                    .strip_prefix(directory)
                    .and_then(|rest| rest.strip_prefix('/')),
            };
            let Some(below) = below else { continue };
            for patterns in patterns {
                match patterns.matched_path_or_any_parents(below, false) {
                    Match::None => {}
                    Match::Ignore(_) => ignored = true,
                    Match::Whitelist(_) => ignored = false,
                }
            }
        }
        ignored
    }
}

/// Compiles lines for the crate, in halves where it refuses them together.
fn compile(lines: &[(u64, String)], patterns: &mut Vec<Gitignore>, bad: &mut Vec<BadLine>) {
    let mut builder = GitignoreBuilder::new("");
    let added = lines
        .iter()
        .try_for_each(|(_, line)| builder.add_line(None, line).map(|_| ()));
    match (added.and_then(|()| builder.build()), lines) {
        (Ok(compiled), _) => patterns.push(compiled),
        (Err(_), []) => {}
        (Err(_), [(number, _)]) => bad.push(BadLine {
            number: *number,
            why: "it cannot be compiled",
        }),
        (Err(_), lines) => {
            let (first, second) = lines.split_at(lines.len() / 2);
            compile(first, patterns, bad);
            compile(second, patterns, bad);
        }
    }
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
    fn what_git_reads_otherwise_than_the_crate_is_read_as_by_git() {
        for (line, ignored, kept) in [
            ("*.{json,yaml}", "x.{json,yaml}", "x.json"),
            ("x/{c,d}.*", "x/{c,d}.json", "x/c.json"),
            ("{x,y}/", "{x,y}/c.json", "x/c.json"),
            ("a\\{b", "a{b", "ab"),
            ("c\\\\d", "c\\d", "cd"),
            ("c.json\t", "c.json\t", "c.json"),
            ("c.json\u{a0}", "c.json\u{a0}", "c.json"),
            ("c.json\\ ", "c.json ", "c.json"),
            ("c.json  ", "c.json", "c.json "),
            ("[[:alpha:]].json", "c.json", "1.json"),
            ("[\\^!].json", "!.json", "c.json"),
            ("[!{]x", "ax", "{x"),
            ("a[!b]c", "axc", "a/c"),
            ("[\\]-]x", "]x", "\\x"),
            ("x\\\\/", "x\\/y", "x/y"),
            ("a/**b", "a/xb", "a/x/b"),
        ] {
            let mut ignore = IgnoreFile::default();
            assert_eq!(ignore.add("", line.as_bytes()).unwrap(), [], "{line}");
            assert!(ignore.ignores(ignored), "{line} ignores {ignored}");
            assert!(!ignore.ignores(kept), "{line} keeps {kept}");
        }
        for line in ["//", "x//", "x//c.json", "//x", "./x", "!", "/", "X"] {
            let mut ignore = IgnoreFile::default();
            assert_eq!(ignore.add("", line.as_bytes()).unwrap(), [], "{line}");
            assert!(!ignore.ignores("x/c.json"), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_a_mistake_matches_nothing_and_is_told() {
        let mut ignore = IgnoreFile::default();
        let text = b"\xef\xbb\xbf*.md\r\nx\xff\n[\nx\\\n[[:x:]]\n[a-\n/y\r\n";
        let bad = ignore.add("", text).unwrap();
        let lines: Vec<u64> = bad.iter().map(|bad| bad.number).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6]);
        assert!(ignore.ignores("a.md"));
        assert!(ignore.ignores("y"));
        assert!(!ignore.ignores("x/c.json"));
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
