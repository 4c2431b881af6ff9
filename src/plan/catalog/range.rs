//! Ranges of versions: those that a person requests, and those that bundles require.

use std::fmt;
use std::str::FromStr;

use semver::Version;

/// Versions between two bounds, both included. Without bounds, no particular versions are
/// requested.
///
/// A pre-release lies between bounds only if one of them is a pre-release itself, as in
/// oc-mirror: `1.2.0` to `1.4.0` means releases, and not `1.3.0-rc.1`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionBounds {
    min: Option<Version>,
    max: Option<Version>,
}

/// The error for bounds with no version between them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The minimum version {min} is higher than the maximum version {max}")]
pub struct VersionBoundsError {
    min: Version,
    max: Version,
}

impl VersionBounds {
    /// Creates the bounds from `min` to `max`.
    ///
    /// # Errors
    ///
    /// When `min` is greater than `max`.
    pub fn new(min: Option<Version>, max: Option<Version>) -> Result<Self, VersionBoundsError> {
        match (min, max) {
            (Some(min), Some(max)) if min.cmp_precedence(&max).is_gt() => {
                Err(VersionBoundsError { min, max })
            }
            (min, max) => Ok(Self { min, max }),
        }
    }

    /// True if there is no bound.
    pub fn is_unbounded(&self) -> bool {
        self.min.is_none() && self.max.is_none()
    }

    /// Returns the version if both bounds are the same version.
    pub fn exact(&self) -> Option<&Version> {
        let (min, max) = (self.min.as_ref()?, self.max.as_ref()?);
        min.cmp_precedence(max).is_eq().then_some(min)
    }

    /// True if a version lies between the bounds.
    pub fn contains(&self, version: &Version) -> bool {
        let bounds = [&self.min, &self.max];
        let mut given = bounds.into_iter().flatten();
        let releases_only = given.all(|bound| bound.pre.is_empty());
        let allowed = version.pre.is_empty() || !releases_only || self.is_unbounded();
        allowed && self.spans(version)
    }

    /// True if a version lies between the bounds, pre-releases included.
    pub fn spans(&self, version: &Version) -> bool {
        let above = |min: &Version| version.cmp_precedence(min).is_ge();
        let below = |max: &Version| version.cmp_precedence(max).is_le();
        self.min.as_ref().is_none_or(above) && self.max.as_ref().is_none_or(below)
    }
}

impl fmt::Display for VersionBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(version) = self.exact() {
            return write!(f, "{version}");
        }
        match (&self.min, &self.max) {
            (Some(min), Some(max)) => write!(f, "{min}..{max}"),
            (Some(min), None) => write!(f, "{min}.."),
            (None, Some(max)) => write!(f, "..{max}"),
            (None, None) => f.write_str("any version"),
        }
    }
}

/// A range as `olm.package.required` writes it (blang/semver): alternatives joined by `||`, of
/// which one must hold; each consists of comparisons joined by spaces, which must all hold.
/// `>=1.0.0 <2.0.0 || >=3.0.0 !3.0.1`.
///
/// Pre-releases count like every other version: `2.0.0-rc.1` is `<2.0.0`. Build metadata does
/// not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange(Vec<Vec<Comparison>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Comparison {
    Greater(Version),
    AtLeast(Version),
    Less(Version),
    AtMost(Version),
    Equal(Version),
    Not(Version),
    /// Below the first version, or at least the second: `!1.x`.
    Outside(Version, Version),
}

/// The error for a text that is not a range of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a range of versions", text.chars().take(80).collect::<String>().escape_debug())]
pub struct VersionRangeError {
    text: String,
}

impl VersionRange {
    /// True if a version lies in the range.
    pub fn contains(&self, version: &Version) -> bool {
        let all = |comparisons: &Vec<Comparison>| comparisons.iter().all(|c| c.holds(version));
        self.0.iter().any(all)
    }
}

impl Comparison {
    fn holds(&self, version: &Version) -> bool {
        match self {
            Self::Greater(bound) => version.cmp_precedence(bound).is_gt(),
            Self::AtLeast(bound) => version.cmp_precedence(bound).is_ge(),
            Self::Less(bound) => version.cmp_precedence(bound).is_lt(),
            Self::AtMost(bound) => version.cmp_precedence(bound).is_le(),
            Self::Equal(bound) => version.cmp_precedence(bound).is_eq(),
            Self::Not(bound) => version.cmp_precedence(bound).is_ne(),
            Self::Outside(from, to) => {
                version.cmp_precedence(from).is_lt() || version.cmp_precedence(to).is_ge()
            }
        }
    }
}

/// The comparison operator in front of a version.
#[derive(Clone, Copy)]
enum Operator {
    Greater,
    AtLeast,
    Less,
    AtMost,
    Equal,
    Not,
}

/// Splits the operator off the start of a text; without one it is [`Operator::Equal`].
fn operator(text: &str) -> (Operator, &str) {
    // Longer operators come first, because `>=` begins with `>`.
    const OPERATORS: [(&str, Operator); 8] = [
        (">=", Operator::AtLeast),
        ("<=", Operator::AtMost),
        ("==", Operator::Equal),
        ("!=", Operator::Not),
        (">", Operator::Greater),
        ("<", Operator::Less),
        ("=", Operator::Equal),
        ("!", Operator::Not),
    ];
    let found = OPERATORS
        .into_iter()
        .find_map(|(written, operator)| Some((operator, text.strip_prefix(written)?)));
    found.unwrap_or((Operator::Equal, text))
}

impl FromStr for VersionRange {
    type Err = VersionRangeError;

    fn from_str(text: &str) -> Result<Self, VersionRangeError> {
        let refused = || VersionRangeError {
            text: text.to_owned(),
        };
        let mut alternatives = Vec::new();
        for alternative in text.split("||") {
            let mut comparisons = Vec::new();
            let mut words = alternative.split_ascii_whitespace();
            while let Some(word) = words.next() {
                let (operator, mut version) = operator(word);
                if version.is_empty() {
                    // Accepts a space after the operator: `>= 1.0.0`.
                    version = words.next().ok_or_else(refused)?;
                }
                comparisons.extend(comparison(operator, version).ok_or_else(refused)?);
            }
            if comparisons.is_empty() {
                return Err(refused());
            }
            alternatives.push(comparisons);
        }
        Ok(Self(alternatives))
    }
}

/// Returns the comparisons that an operator and a version, or a wildcard for versions, stand for.
fn comparison(operator: Operator, text: &str) -> Option<Vec<Comparison>> {
    if let Some((first, behind)) = wildcard(text)? {
        return Some(match operator {
            Operator::Greater => vec![Comparison::AtLeast(behind)],
            Operator::AtLeast => vec![Comparison::AtLeast(first)],
            Operator::Less => vec![Comparison::Less(first)],
            Operator::AtMost => vec![Comparison::Less(behind)],
            Operator::Equal => vec![Comparison::AtLeast(first), Comparison::Less(behind)],
            Operator::Not => vec![Comparison::Outside(first, behind)],
        });
    }
    let version: Version = text.parse().ok()?;
    Some(vec![match operator {
        Operator::Greater => Comparison::Greater(version),
        Operator::AtLeast => Comparison::AtLeast(version),
        Operator::Less => Comparison::Less(version),
        Operator::AtMost => Comparison::AtMost(version),
        Operator::Equal => Comparison::Equal(version),
        Operator::Not => Comparison::Not(version),
    }])
}

/// Returns the first version that `1.x`, `1.x.x` or `1.2.x` stands for, and the first one after
/// them. `Some(None)` if the text is not a wildcard, `None` if it is an invalid wildcard.
fn wildcard(text: &str) -> Option<Option<(Version, Version)>> {
    let numbers: Vec<&str> = text.split('.').collect();
    match numbers.as_slice() {
        [major, "x"] | [major, "x", "x"] => {
            let major: u64 = major.parse().ok()?;
            let behind = Version::new(major.checked_add(1)?, 0, 0);
            Some(Some((Version::new(major, 0, 0), behind)))
        }
        [major, minor, "x"] => {
            let (major, minor): (u64, u64) = (major.parse().ok()?, minor.parse().ok()?);
            let behind = Version::new(major, minor.checked_add(1)?, 0);
            Some(Some((Version::new(major, minor, 0), behind)))
        }
        _ => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_are_read_as_blang_writes_them() {
        for (range, inside, outside) in [
            (
                ">=1.0.0 <2.0.0",
                "1.0.0 1.9.9 2.0.0-rc.1",
                "0.9.9 1.0.0-rc.1 2.0.0",
            ),
            (">= 1.0.0  < 2.0.0", "1.5.0", "2.0.0"),
            (
                "<1.0.0 || >=3.0.0 !3.0.1",
                "0.1.0 3.0.0 3.0.2",
                "1.0.0 2.9.9 3.0.1",
            ),
            ("1.2.3", "1.2.3 1.2.3+build", "1.2.4 1.2.3-a"),
            ("==1.2.3", "1.2.3", "1.2.4"),
            ("!=1.2.3", "1.2.4", "1.2.3"),
            ("1.2.x", "1.2.0 1.2.9", "1.3.0 1.1.9"),
            ("1.x", "1.0.0 1.99.0", "2.0.0 0.9.0"),
            (">1.x", "2.0.0", "1.99.0"),
            ("<=1.2.x", "1.2.99 0.1.0", "1.3.0"),
            ("!1.x", "0.9.0 2.0.0", "1.0.0 1.5.0"),
        ] {
            let parsed: VersionRange = range.parse().unwrap();
            for text in inside.split(' ') {
                assert!(parsed.contains(&version(text)), "{range}: {text}");
            }
            for text in outside.split(' ') {
                assert!(!parsed.contains(&version(text)), "{range}: {text}");
            }
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in [
            "",
            "||",
            ">=1.0.0 ||",
            ">=",
            "1.0",
            "x",
            "~1.2.3",
            "^1.0.0",
            "1.2.3,1.2.4",
            "1.x.3",
            "18446744073709551615.x",
            ">=latest",
        ] {
            assert!(bad.parse::<VersionRange>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bounds_take_prereleases_only_where_they_name_one() {
        let bounds = |min: Option<&str>, max: Option<&str>| {
            VersionBounds::new(min.map(version), max.map(version)).unwrap()
        };
        let releases = bounds(Some("1.2.0"), Some("1.4.0"));
        assert!(releases.contains(&version("1.4.0+build")));
        assert!(!releases.contains(&version("1.3.0-rc.1")));
        assert!(releases.spans(&version("1.3.0-rc.1")));
        assert!(bounds(Some("1.2.0-0"), Some("1.4.0")).contains(&version("1.3.0-rc.1")));
        assert!(bounds(None, Some("1.4.0")).contains(&version("0.0.1")));
        assert!(bounds(None, None).contains(&version("1.3.0-rc.1")));
        assert!(!bounds(Some("1.2.0"), None).contains(&version("1.1.9")));
        assert_eq!(
            bounds(Some("1.2.0"), Some("1.2.0+a")).exact(),
            Some(&version("1.2.0"))
        );
        assert!(VersionBounds::new(Some(version("2.0.0")), Some(version("1.0.0"))).is_err());
        let shown = [
            (Some("1.2.0"), Some("1.4.0"), "1.2.0..1.4.0"),
            (Some("1.2.0"), Some("1.2.0"), "1.2.0"),
            (Some("1.2.0"), None, "1.2.0.."),
            (None, Some("1.4.0"), "..1.4.0"),
            (None, None, "any version"),
        ];
        for (min, max, text) in shown {
            assert_eq!(bounds(min, max).to_string(), text);
        }
    }
}
