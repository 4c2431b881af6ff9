//! `.indexignore`: which files of a catalog's directory are not part of it.
//!
//! Its syntax is that of `.gitignore` (docs/oc-compatibility.md, section 7.2), read by the crate
//! that ripgrep uses for those.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::CatalogLimits;

/// Why an ignore file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IgnoreFileError {
    /// It is too long.
    #[error("It is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// It is not text.
    #[error("It is not UTF-8 text")]
    NotText,
    /// A line is no pattern.
    #[error("Its line {line} is no pattern")]
    Pattern {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: ignore::Error,
    },
}

/// The patterns of the ignore files of a directory and those above it.
#[derive(Debug, Default)]
pub struct IgnoreFile {
    /// Directory of each file and its patterns, in order of reading.
    files: Vec<(String, Gitignore)>,
}

impl IgnoreFile {
    /// The name of such files.
    pub const NAME: &'static str = ".indexignore";

    /// Adds the ignore file of a directory; `directory` is a path below the catalog's
    /// directory, empty for itself. Its patterns hold there and below.
    pub fn add(&mut self, directory: &str, bytes: &[u8]) -> Result<(), IgnoreFileError> {
        let limit = CatalogLimits::IGNORE_FILE;
        if bytes.len() > limit {
            return Err(IgnoreFileError::TooLong { limit });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| IgnoreFileError::NotText)?;
        let mut builder = GitignoreBuilder::new("");
        for (number, line) in (1..).zip(text.lines()) {
            let refused = |source| IgnoreFileError::Pattern {
                line: number,
                source,
            };
            builder.add_line(None, line).map_err(refused)?;
        }
        let patterns = builder.build().map_err(|source| IgnoreFileError::Pattern {
            line: text.lines().count(),
            source,
        })?;
        self.files.push((directory.to_owned(), patterns));
        // Patterns of deeper directories are asked last and decide.
        self.files.sort_by_key(|a| a.0.len());
        Ok(())
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
            match patterns.matched_path_or_any_parents(below, false) {
                Match::None => {}
                Match::Ignore(_) => ignored = true,
                Match::Whitelist(_) => ignored = false,
            }
        }
        ignored
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
    fn what_is_no_ignore_file_is_refused() {
        let mut ignore = IgnoreFile::default();
        let long = vec![b'a'; CatalogLimits::IGNORE_FILE + 1];
        assert!(matches!(
            ignore.add("", &long),
            Err(IgnoreFileError::TooLong { .. })
        ));
        assert!(matches!(
            ignore.add("", b"\xff"),
            Err(IgnoreFileError::NotText)
        ));
        let error = ignore.add("", b"a\n{b,\n").unwrap_err();
        assert!(
            matches!(error, IgnoreFileError::Pattern { line: 2, .. }),
            "{error:?}"
        );
    }
}
