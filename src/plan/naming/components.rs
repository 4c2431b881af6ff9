//! Upper limit of a repository path's components, and the flattening of longer paths.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// The error for a text that is not a limit for `--max-components`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a number of path components: write 0 for any depth, or 2 and more", .0.escape_debug())]
pub struct MaxComponentsError(String);

/// Upper limit of components in a repository path below the host, the namespace included.
///
/// A limit of one is refused, as `oc` does (docs/oc-compatibility.md, section 4.2): all images
/// would be at the level of the namespace, and nothing could be below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxComponents(Option<NonZeroUsize>);

impl MaxComponents {
    /// No limit.
    pub const UNLIMITED: Self = Self(None);

    /// The default of `oc adm catalog mirror`: two.
    pub const OC_DEFAULT: Self = Self(NonZeroUsize::new(2));

    /// Joins components to a path. As many as the limit allows are joined with slashes; the
    /// others are appended to the last one with hyphens.
    pub fn join<'a>(self, components: impl Iterator<Item = &'a str>) -> String {
        let mut path = String::new();
        for (index, component) in components.enumerate() {
            let deep = self.0.is_some_and(|limit| index >= limit.get());
            if index > 0 {
                path.push(if deep { '-' } else { '/' });
            }
            path.push_str(component);
        }
        path
    }

    /// Returns a number for comparing limits: the stricter the limit, the smaller the number.
    pub(super) fn rank(self) -> usize {
        self.0.map_or(usize::MAX, NonZeroUsize::get)
    }

    /// True if there is no limit.
    pub fn is_unlimited(self) -> bool {
        self.0.is_none()
    }
}

impl FromStr for MaxComponents {
    type Err = MaxComponentsError;

    fn from_str(text: &str) -> Result<Self, MaxComponentsError> {
        match text.parse::<usize>() {
            Ok(number) if number != 1 => Ok(Self(NonZeroUsize::new(number))),
            _ => Err(MaxComponentsError(text.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for MaxComponents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.map_or(0, NonZeroUsize::get))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_what_is_too_deep() {
        for (limit, path, expected) in [
            ("0", "org/my/image", "org/my/image"),
            ("2", "org/my/image", "org/my-image"),
            ("2", "my/image", "my/image"),
            ("2", "image", "image"),
            ("3", "a/b/c/d/e", "a/b/c-d-e"),
            ("9", "a/b/c", "a/b/c"),
        ] {
            let limit: MaxComponents = limit.parse().unwrap();
            assert_eq!(limit.join(path.split('/')), expected);
        }
    }

    #[test]
    fn one_component_is_refused() {
        for bad in ["1", "", "-2", "two", "99999999999999999999999"] {
            assert!(bad.parse::<MaxComponents>().is_err(), "{bad}");
        }
        assert_eq!("0".parse(), Ok(MaxComponents::UNLIMITED));
        assert_eq!("2".parse(), Ok(MaxComponents::OC_DEFAULT));
    }
}
