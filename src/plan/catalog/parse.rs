//! Parses requests for parts of a catalog: `--operator` specifications, and stanzas of an
//! `ImageSetConfiguration`.

use std::str::FromStr;

use semver::Version;

use super::{CatalogFilter, PackageFilter, VersionBounds, VersionBoundsError};
use crate::content::image_set::{Operators, Package};

/// One `--operator`: `NAME[:CHANNEL][RANGE]`, with a range of `>=V`, `<=V`, both, or `=V`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorSpec {
    /// Name of the package.
    pub package: String,
    /// Name of the channel; all channels if absent.
    pub channel: Option<String>,
    /// The requested versions.
    pub versions: VersionBounds,
}

/// The error for a request that cannot be parsed or contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterParseError {
    /// A specification has no name, or an empty channel.
    #[error("`{}` is not NAME, NAME:CHANNEL or NAME:CHANNEL>=VERSION<=VERSION", .0.escape_debug())]
    Specification(String),
    /// A text is not a version.
    #[error("`{}` is not a version like 1.2.3", .0.escape_debug())]
    Version(String),
    /// A specification gives the same bound twice.
    #[error("`{}` gives the minimum or the maximum version twice", .0.escape_debug())]
    Twice(String),
    /// No version lies between the bounds.
    #[error(transparent)]
    Bounds(#[from] VersionBoundsError),
    /// A package, or a channel of it, is requested twice.
    #[error("`{}` is requested twice", .0.escape_debug())]
    Duplicate(String),
    /// Versions are given for the package and for its channels too.
    #[error(
        "The package `{}` has versions, and its channels have versions too: give one or the other",
        .0.escape_debug()
    )]
    Mixed(String),
    /// Versions are given together with `full`.
    #[error(
        "The package `{}` is requested in full and by version: give one or the other",
        .0.escape_debug()
    )]
    FullAndVersions(String),
    /// A default channel is given for a package that is not requested.
    #[error(
        "A default channel is given for the package `{}`, which is not requested: name it with --operator",
        .0.escape_debug()
    )]
    DefaultChannel(String),
}

fn version(text: &str) -> Result<Version, FilterParseError> {
    let refused = || FilterParseError::Version(text.chars().take(80).collect());
    text.trim().parse().map_err(|_| refused())
}

impl FromStr for OperatorSpec {
    type Err = FilterParseError;

    fn from_str(text: &str) -> Result<Self, FilterParseError> {
        let short = || text.chars().take(80).collect::<String>();
        let at = text.find(['<', '>', '=']).unwrap_or(text.len());
        let (name, mut range) = text.split_at(at);
        let (package, channel) = match name.split_once(':') {
            Some((package, channel)) => (package.trim(), Some(channel.trim())),
            None => (name.trim(), None),
        };
        let blank = |text: &str| text.is_empty() || text.contains(char::is_whitespace);
        if blank(package) || channel.is_some_and(blank) {
            return Err(FilterParseError::Specification(short()));
        }
        let (mut min, mut max) = (None, None);
        while !range.is_empty() {
            let (operator, rest) = match range {
                _ if range.starts_with(">=") || range.starts_with("<=") => range.split_at(2),
                _ if range.starts_with('=') => range.split_at(1),
                _ => return Err(FilterParseError::Specification(short())),
            };
            let end = rest.find(['<', '>', '=']).unwrap_or(rest.len());
            let (bound, behind) = rest.split_at(end);
            let bound = version(bound.trim_end_matches([' ', ',']))?;
            let twice = match operator {
                ">=" => min.replace(bound).is_some(),
                "<=" => max.replace(bound).is_some(),
                _ => min.replace(bound.clone()).is_some() | max.replace(bound).is_some(),
            };
            if twice {
                return Err(FilterParseError::Twice(short()));
            }
            range = behind;
        }
        Ok(Self {
            package: package.to_owned(),
            channel: channel.map(str::to_owned),
            versions: VersionBounds::new(min, max)?,
        })
    }
}

impl CatalogFilter {
    /// Combines specifications into a filter. `default_channels` are pairs of package and
    /// channel.
    ///
    /// # Errors
    ///
    /// When they contradict each other.
    pub fn of(
        specs: &[OperatorSpec],
        default_channels: &[(String, String)],
        full: bool,
    ) -> Result<Self, FilterParseError> {
        let mut filter = Self {
            full,
            ..Self::default()
        };
        for spec in specs {
            let known = filter.packages.contains_key(&spec.package);
            let package = filter.packages.entry(spec.package.clone()).or_default();
            match &spec.channel {
                Some(channel) => {
                    let name = format!("{}:{channel}", spec.package);
                    let before = package
                        .channels
                        .insert(channel.clone(), spec.versions.clone());
                    if before.is_some() || (known && package.channels.len() == 1) {
                        return Err(FilterParseError::Duplicate(name));
                    }
                }
                None if known => return Err(FilterParseError::Duplicate(spec.package.clone())),
                None => package.versions = spec.versions.clone(),
            }
        }
        for (package, channel) in default_channels {
            let known = filter.packages.get_mut(package);
            let known = known.ok_or_else(|| FilterParseError::DefaultChannel(package.clone()))?;
            if known.default_channel.replace(channel.clone()).is_some() {
                return Err(FilterParseError::Duplicate(package.clone()));
            }
        }
        filter.checked()
    }

    /// Converts a stanza of an `ImageSetConfiguration` (docs/oc-compatibility.md, section 5.1).
    ///
    /// # Errors
    ///
    /// When oc-mirror refuses the stanza too: duplicates, versions of a package and of its
    /// channels together, `full` together with versions, texts that are not versions.
    pub fn of_stanza(stanza: &Operators) -> Result<Self, FilterParseError> {
        let mut filter = Self {
            full: stanza.full,
            ..Self::default()
        };
        for package in &stanza.packages {
            let before = filter
                .packages
                .insert(package.name.clone(), package_filter(package)?);
            if before.is_some() {
                return Err(FilterParseError::Duplicate(package.name.clone()));
            }
        }
        filter.checked()
    }

    fn checked(self) -> Result<Self, FilterParseError> {
        for (name, package) in &self.packages {
            let mut ranges = package.channels.values();
            let in_channels = ranges.any(|range| !range.is_unbounded());
            let common = !package.versions.is_unbounded();
            if common && in_channels {
                return Err(FilterParseError::Mixed(name.clone()));
            }
            if (self.full || package.full) && (common || in_channels) {
                return Err(FilterParseError::FullAndVersions(name.clone()));
            }
        }
        Ok(self)
    }
}

fn bounds(min: Option<&String>, max: Option<&String>) -> Result<VersionBounds, FilterParseError> {
    let read = |text: Option<&String>| text.map(|text| version(text)).transpose();
    Ok(VersionBounds::new(read(min)?, read(max)?)?)
}

fn package_filter(package: &Package) -> Result<PackageFilter, FilterParseError> {
    let mut filter = PackageFilter {
        versions: bounds(package.min_version.as_ref(), package.max_version.as_ref())?,
        default_channel: package.default_channel.clone(),
        ..PackageFilter::default()
    };
    for channel in &package.channels {
        let versions = bounds(channel.min_version.as_ref(), channel.max_version.as_ref())?;
        let before = filter.channels.insert(channel.name.clone(), versions);
        if before.is_some() {
            let name = format!("{}:{}", package.name, channel.name);
            return Err(FilterParseError::Duplicate(name));
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::image_set::ImageSet;

    fn of(specs: &[&str], full: bool) -> Result<String, FilterParseError> {
        let specs = specs.iter().map(|text| text.parse());
        let specs = specs.collect::<Result<Vec<OperatorSpec>, _>>()?;
        CatalogFilter::of(&specs, &[], full).map(|filter| filter.to_string())
    }

    #[test]
    fn specifications_are_put_together() {
        for (specs, full, expected) in [
            (vec!["a"], false, "a"),
            (vec!["a:stable", "a:fast", "b"], false, "a fast, stable; b"),
            (
                vec!["a:stable>=1.2.0<=1.4.0"],
                false,
                "a stable 1.2.0..1.4.0",
            ),
            (
                vec!["a:stable >=1.2.0, <=1.4.0"],
                false,
                "a stable 1.2.0..1.4.0",
            ),
            (vec!["a>=1.2.0"], false, "a 1.2.0.."),
            (vec!["a:s-1.x=1.2.0"], false, "a s-1.x 1.2.0"),
            (vec!["a"], true, "a; whole channels"),
        ] {
            assert_eq!(of(&specs, full).as_deref(), Ok(expected), "{specs:?}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        use FilterParseError as E;

        let name = |text: &str| text.to_owned();
        for (specs, full, error) in [
            (vec![""], false, E::Specification(name(""))),
            (vec!["a:"], false, E::Specification(name("a:"))),
            (vec!["a>1.0.0"], false, E::Specification(name("a>1.0.0"))),
            (vec!["a>=1"], false, E::Version(name("1"))),
            (
                vec!["a=1.0.0<=2.0.0"],
                false,
                E::Twice(name("a=1.0.0<=2.0.0")),
            ),
            (vec!["a", "a"], false, E::Duplicate(name("a"))),
            (vec!["a", "a:s"], false, E::Duplicate(name("a:s"))),
            (vec!["a:s", "a"], false, E::Duplicate(name("a"))),
            (vec!["a:s", "a:s"], false, E::Duplicate(name("a:s"))),
            (vec!["a>=1.0.0"], true, E::FullAndVersions(name("a"))),
        ] {
            assert_eq!(of(&specs, full), Err(error), "{specs:?}");
        }
        assert!(matches!(of(&["a>=2.0.0<=1.0.0"], false), Err(E::Bounds(_))));
        let other = [(name("b"), name("s"))];
        let spec = ["a".parse().unwrap()];
        let error = CatalogFilter::of(&spec, &other, false).unwrap_err();
        assert_eq!(error, E::DefaultChannel(name("b")));
    }

    #[test]
    fn stanzas_mean_what_they_mean_to_oc_mirror() {
        let read = |stanza: &str| {
            let text = format!(
                "kind: ImageSetConfiguration\napiVersion: mirror.openshift.io/v2alpha1\n\
                 mirror:\n  operators:\n  - catalog: q.example/c:v1\n{stanza}"
            );
            let set = ImageSet::read(text.as_bytes()).unwrap();
            CatalogFilter::of_stanza(&set.mirror.operators[0])
        };
        let text = |stanza: &str| read(stanza).map(|filter| filter.to_string());
        assert_eq!(text("").as_deref(), Ok("heads of all channels"));
        assert!(read("    full: true\n").unwrap().keeps_everything());
        let packages = "    packages:\n    - name: a\n      defaultChannel: s\n      channels:\n      \
                        - name: s\n        minVersion: 1.0.0\n        maxVersion: 1.2.0\n    - name: b\n";
        assert_eq!(
            text(packages).as_deref(),
            Ok("a s 1.0.0..1.2.0 (default channel s); b")
        );
        let mixed = "    packages:\n    - name: a\n      minVersion: 1.0.0\n      channels:\n      \
                     - {name: s, minVersion: 1.0.0}\n";
        assert_eq!(text(mixed), Err(FilterParseError::Mixed("a".to_owned())));
        let twice = "    packages: [{name: a}, {name: a}]\n";
        assert_eq!(
            text(twice),
            Err(FilterParseError::Duplicate("a".to_owned()))
        );
    }
}
