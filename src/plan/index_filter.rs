//! Selects the platform of which a catalog's image is read: `--index-filter-by-os`.
//!
//! The images of all platforms of a catalog contain the same catalog, so one is read
//! (docs/oc-compatibility.md, section 4.1).

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use crate::model::{Descriptor, Platform};

/// The platform that `oc` reads by default.
const DEFAULT: &str = "linux/amd64";

/// A regular expression for `os/arch[/variant]`, not anchored, as in `oc`.
#[derive(Debug, Clone, Default)]
pub struct IndexFilter {
    /// The expression; [`DEFAULT`] if absent.
    pattern: Option<Regex>,
}

/// The error for a text that is not a filter.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{}` is not a regular expression for os/arch", text.escape_debug())]
pub struct IndexFilterError {
    text: String,
    #[source]
    source: regex::Error,
}

/// The error for a filter that does not select exactly one image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "The filter `{filter}` must select exactly one image of the index, but selects {} of: {}",
    Count(*selected),
    Platforms(platforms)
)]
pub struct NotExactlyOne {
    /// The filter as text.
    pub filter: String,
    /// Number of images that it selects.
    pub selected: usize,
    /// Platforms of all images, in the order of the index.
    pub platforms: Vec<Option<Platform>>,
}

struct Count(usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("none"),
            number => write!(f, "{number}"),
        }
    }
}

struct Platforms<'a>(&'a [Option<Platform>]);

impl fmt::Display for Platforms<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no images");
        }
        for (index, platform) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            match platform {
                Some(platform) => write!(f, "{platform}")?,
                None => f.write_str("one without a platform")?,
            }
        }
        Ok(())
    }
}

impl IndexFilter {
    /// Selects the one image that is read. Without an expression, an image that is the only one
    /// is selected whatever its platform.
    ///
    /// # Errors
    ///
    /// When it selects no image or several.
    pub fn select<'a>(&self, children: &'a [Descriptor]) -> Result<&'a Descriptor, NotExactlyOne> {
        if let ([only], None) = (children, &self.pattern) {
            return Ok(only);
        }
        let matches = |child: &&Descriptor| {
            let platform = child.platform.as_ref();
            let platform = platform.map(Platform::to_string).unwrap_or_default();
            match &self.pattern {
                Some(pattern) => pattern.is_match(&platform),
                None => platform.contains(DEFAULT),
            }
        };
        let selected: Vec<&Descriptor> = children.iter().filter(matches).collect();
        match selected.as_slice() {
            [one] => Ok(one),
            others => Err(NotExactlyOne {
                filter: self.to_string(),
                selected: others.len(),
                platforms: children
                    .iter()
                    .map(|child| child.platform.clone())
                    .collect(),
            }),
        }
    }
}

impl fmt::Display for IndexFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pattern.as_ref().map_or(DEFAULT, Regex::as_str))
    }
}

impl FromStr for IndexFilter {
    type Err = IndexFilterError;

    fn from_str(text: &str) -> Result<Self, IndexFilterError> {
        let pattern = Regex::new(text).map_err(|source| IndexFilterError {
            text: text.chars().take(100).collect(),
            source,
        })?;
        Ok(Self {
            pattern: Some(pattern),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, MediaType};

    fn children(platforms: &[&str]) -> Vec<Descriptor> {
        let child = |(number, platform): (u8, &&str)| Descriptor {
            digest: Digest::from_bytes([number; 32]),
            size: 1,
            media_type: MediaType::new("application/vnd.oci.image.manifest.v1+json"),
            platform: platform.parse().ok(),
            urls: Vec::new(),
            describes: None,
        };
        (0..).zip(platforms).map(child).collect()
    }

    #[test]
    fn exactly_one_is_selected() {
        let all = children(&[
            "linux/amd64",
            "linux/arm64/v8",
            "linux/s390x",
            "unknown/unknown",
        ]);
        let select = |filter: &str| filter.parse::<IndexFilter>().unwrap().select(&all).cloned();
        assert_eq!(IndexFilter::default().select(&all), Ok(&all[0]));
        assert_eq!(select("arm64").unwrap(), all[1]);
        assert_eq!(select("^linux/s.*x$").unwrap(), all[2]);
        let error = select("linux/.*").unwrap_err();
        assert_eq!(error.selected, 3);
        assert_eq!(
            error.to_string(),
            "The filter `linux/.*` must select exactly one image of the index, but selects 3 of: \
             linux/amd64, linux/arm64/v8, linux/s390x, unknown/unknown"
        );
        assert!(
            select("windows")
                .unwrap_err()
                .to_string()
                .contains("selects none")
        );
        assert!("(".parse::<IndexFilter>().is_err());
    }

    #[test]
    fn the_default_takes_the_only_image() {
        let one = children(&["linux/arm64"]);
        assert_eq!(IndexFilter::default().select(&one), Ok(&one[0]));
        assert!(
            "linux/amd64"
                .parse::<IndexFilter>()
                .unwrap()
                .select(&one)
                .is_err()
        );
        assert!(IndexFilter::default().select(&[]).is_err());
        assert!(
            IndexFilter::default()
                .select(&children(&["", "linux/arm64"]))
                .is_err()
        );
    }
}
