//! What an export leaves out on purpose: operator bundles, packages, images (`--leave-out`).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::model::{MalformedImage, NeededBy, Reference, is_deceptive};

/// Upper limit of near names that an error lists.
const NEAR: usize = 5;

/// Upper limit of the text, in bytes: the inventory records it.
const LONGEST: usize = MalformedImage::TEXT;

/// Something to leave out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaveOut {
    /// The images that only operator bundles of this name need.
    Bundle(String),
    /// The images that only bundles and documents of this package need.
    Package(String),
    /// Images whose reference matches this pattern; `*` stands for any characters.
    Image(String),
}

/// The error for a text that names nothing to leave out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` names nothing to leave out: write bundle:NAME, package:NAME or image:PATTERN", .0.escape_debug())]
pub struct LeaveOutError(String);

impl FromStr for LeaveOut {
    type Err = LeaveOutError;

    fn from_str(text: &str) -> Result<Self, LeaveOutError> {
        let parsed = text.split_once(':').and_then(|(kind, name)| {
            let name = name.to_owned();
            match kind {
                _ if name.is_empty() || text.len() > LONGEST || text.contains(is_deceptive) => None,
                "bundle" => Some(Self::Bundle(name)),
                "package" => Some(Self::Package(name)),
                "image" => Some(Self::Image(name)),
                _ => None,
            }
        });
        parsed.ok_or_else(|| LeaveOutError(text.chars().take(100).collect()))
    }
}

impl fmt::Display for LeaveOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(name) => write!(f, "bundle:{name}"),
            Self::Package(name) => write!(f, "package:{name}"),
            Self::Image(pattern) => write!(f, "image:{pattern}"),
        }
    }
}

impl LeaveOut {
    /// True if it leaves out the images that an operator bundle alone needs.
    pub fn is_bundle(&self, bundle: &str, package: &str) -> bool {
        match self {
            Self::Bundle(name) => name == bundle,
            Self::Package(name) => name == package,
            Self::Image(_) => false,
        }
    }

    /// True if it leaves out the images that another document of a package alone names.
    pub fn is_package(&self, package: Option<&str>) -> bool {
        matches!(self, Self::Package(name) if package == Some(name))
    }

    /// True if one of the rows that need an image is left out.
    pub fn is_needed_by(&self, needed_by: &[NeededBy]) -> bool {
        let package = |needed: &NeededBy| needed.package.clone().unwrap_or_default();
        let mut rows = needed_by.iter();
        rows.any(|needed| self.is_bundle(&needed.name, &package(needed)))
    }

    /// True if it leaves out an image, as written in a catalog or on a command line.
    pub fn is_image(&self, written: &str) -> bool {
        let Self::Image(pattern) = self else {
            return false;
        };
        let parsed = written.parse::<Reference>().map(|image| image.to_string());
        matches(pattern, written) || parsed.is_ok_and(|image| matches(pattern, &image))
    }
}

/// True if a text matches a pattern in which `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Returns the known names that resemble a name that is not known, the nearest first.
pub fn near<'a>(name: &str, known: &'a BTreeSet<String>) -> Vec<&'a str> {
    let stem = |text: &str| {
        text.split(['.', '-', ':'])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .map(|other| (distance(name, other), other.as_str()))
        .filter(|(distance, other)| *distance <= 3 || stem(other) == stem(name))
        .collect();
    near.sort_unstable();
    near.into_iter()
        .take(NEAR)
        .map(|(_, other)| other)
        .collect()
}

/// The number of characters to insert, delete or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(200).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(200).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, up) in b.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != *y)).min(left + 1).min(up + 1);
            diagonal = *up;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_kinds_are_read_and_nothing_else() {
        for text in [
            "bundle:a.v1",
            "package:a",
            "image:q.io/a/*",
            "image:q.io/a:1",
        ] {
            assert_eq!(text.parse::<LeaveOut>().unwrap().to_string(), text);
        }
        for bad in ["", "a", "bundle:", "operator:a", "bundle", "image:\n"] {
            assert!(bad.parse::<LeaveOut>().is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_match_whole_references() {
        for (pattern, text, expected) in [
            ("q.io/a:1", "q.io/a:1", true),
            ("q.io/a", "q.io/a:1", false),
            ("q.io/*", "q.io/a:1", true),
            ("*/a:*", "q.io/a:1", true),
            ("*a*a*", "a", false),
            ("*a*a*", "aba", true),
            ("a*a", "a", false),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        let hub: LeaveOut = "image:docker.io/library/*".parse().unwrap();
        assert!(hub.is_image("busybox:1"));
    }

    #[test]
    fn near_names_are_few_and_sorted() {
        let known = ["etcd.v1.0.0", "etcd.v1.1.0", "argocd.v1", "x"].map(str::to_owned);
        let known = BTreeSet::from(known);
        assert_eq!(near("etcd.v1.0.1", &known), ["etcd.v1.0.0", "etcd.v1.1.0"]);
        assert!(near("prometheus", &known).is_empty());
    }
}
