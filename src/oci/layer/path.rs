//! Paths inside an image: relative, without `.`, `..` and empty components.

use std::fmt;
use std::str::FromStr;

/// Maximum length of a path in bytes, as in Linux (`PATH_MAX`).
pub const MAX_PATH: usize = 4096;

/// The path of a file in an image, for example `usr/bin/oc`. Never empty, never outside the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImagePath(String);

/// Error for a text that is not a path inside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The path has no components: it names the image's root.
    #[error("The path names no file")]
    Empty,
    /// The path has a component `..`.
    #[error("The path has a component `..`")]
    Upwards,
    /// The path is longer than [`MAX_PATH`].
    #[error("The path has more than {MAX_PATH} bytes")]
    TooLong,
    /// The path has a zero byte.
    #[error("The path holds a zero byte")]
    Zero,
}

impl ImagePath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&*self.0, |(_, name)| name)
    }

    /// The directory of the path; `None` if that is the image's root.
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.0.rsplit_once('/')?;
        Some(Self(parent.to_owned()))
    }

    /// The directories above the path, the outermost first.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        let ends = self.0.match_indices('/').map(|(end, _)| end);
        ends.filter_map(|end| self.0.get(..end))
    }

    /// The part of this path after `directory`; `None` if it does not lie below.
    pub fn below(&self, directory: &Self) -> Option<&str> {
        self.0.strip_prefix(directory.as_str())?.strip_prefix('/')
    }

    /// Appends `rest`, which comes from [`Self::below`].
    ///
    /// # Errors
    ///
    /// When the result is too long, or `rest` is not a relative path.
    pub fn join(&self, rest: &str) -> Result<Self, PathError> {
        format!("{}/{rest}", self.0).parse()
    }

    /// Another name in the same directory.
    pub(super) fn sibling(&self, name: &str) -> Result<Self, PathError> {
        match self.0.rsplit_once('/') {
            Some((parent, _)) => format!("{parent}/{name}").parse(),
            None => name.parse(),
        }
    }

    /// Resolves the target of a symbolic link at this path: relative to the link's directory, or
    /// from the image's root. `..` stops at the root, as in a container.
    ///
    /// # Errors
    ///
    /// When the target is the root itself, or the result is too long.
    pub fn follow(&self, target: &str) -> Result<Self, PathError> {
        let mut components: Vec<&str> = match target.starts_with('/') {
            true => Vec::new(),
            false => self.0.split('/').collect(),
        };
        components.pop();
        for component in target.split('/') {
            match component {
                "" | "." => {}
                ".." => drop(components.pop()),
                name => components.push(name),
            }
        }
        components.join("/").parse()
    }
}

impl FromStr for ImagePath {
    type Err = PathError;

    /// Parses a path as written in a tar: drops `./`, leading slashes and repeated slashes.
    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.len() > MAX_PATH {
            return Err(PathError::TooLong);
        }
        if text.contains('\0') {
            return Err(PathError::Zero);
        }
        let mut path = String::with_capacity(text.len());
        for component in text.split('/') {
            match component {
                "" | "." => continue,
                ".." => return Err(PathError::Upwards),
                name => {
                    if !path.is_empty() {
                        path.push('/');
                    }
                    path.push_str(name);
                }
            }
        }
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        Ok(Self(path))
    }
}

impl fmt::Display for ImagePath {
    /// Writes the path escaped: it comes from an image and is shown on a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        text.parse().unwrap()
    }

    #[test]
    fn paths_are_normalised() {
        for (text, expected) in [
            ("a", Ok("a")),
            ("./a/b", Ok("a/b")),
            ("/a//./b/", Ok("a/b")),
            ("...", Ok("...")),
            ("", Err(PathError::Empty)),
            ("./", Err(PathError::Empty)),
            ("../a", Err(PathError::Upwards)),
            ("a/../b", Err(PathError::Upwards)),
            ("a\0b", Err(PathError::Zero)),
        ] {
            let found: Result<ImagePath, _> = text.parse();
            let found = found.as_ref().map(ImagePath::as_str).map_err(|e| *e);
            assert_eq!(found, expected, "{text:?}");
        }
        let long = "x".repeat(MAX_PATH);
        assert!(long.parse::<ImagePath>().is_ok());
        assert_eq!(
            format!("{long}y").parse::<ImagePath>(),
            Err(PathError::TooLong)
        );
        assert_eq!(path("a\u{202e}b").to_string(), "a\\u{202e}b");
    }

    #[test]
    fn parts_of_paths() {
        let found = path("usr/bin/oc");
        assert_eq!(found.name(), "oc");
        assert_eq!(found.parent(), Some(path("usr/bin")));
        assert_eq!(path("usr").parent(), None);
        assert_eq!(found.ancestors().collect::<Vec<_>>(), ["usr", "usr/bin"]);
        assert_eq!(found.below(&path("usr")), Some("bin/oc"));
        assert_eq!(found.below(&found), None);
        assert_eq!(path("usrx/y").below(&path("usr")), None);
        assert_eq!(path("a").join("b/c"), Ok(path("a/b/c")));
    }

    #[test]
    fn links_stay_inside_the_image() {
        let link = path("usr/bin/oc");
        for (target, expected) in [
            ("oc.rhel9", Ok(path("usr/bin/oc.rhel9"))),
            ("../share/oc", Ok(path("usr/share/oc"))),
            ("/opt/oc", Ok(path("opt/oc"))),
            ("../../../../../etc/shadow", Ok(path("etc/shadow"))),
            ("..", Ok(path("usr"))),
            ("/", Err(PathError::Empty)),
            ("../..", Err(PathError::Empty)),
        ] {
            assert_eq!(link.follow(target), expected, "{target}");
        }
    }
}
