//! What a person wants of a catalog.

use std::collections::BTreeMap;
use std::fmt;

use super::VersionBounds;

/// What is wanted of a catalog. Without packages: of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CatalogFilter {
    /// The packages by name; all when empty.
    pub packages: BTreeMap<String, PackageFilter>,
    /// Whole channels instead of their heads, where no versions are given.
    pub full: bool,
    /// What the bundles that are kept require is kept too.
    pub dependencies: bool,
}

/// What is wanted of a package. Without channels: of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackageFilter {
    /// The channels by name with the versions wanted of each; all channels when empty.
    pub channels: BTreeMap<String, VersionBounds>,
    /// The versions wanted of channels for which none are given.
    pub versions: VersionBounds,
    /// The default channel, in place of the package's own.
    pub default_channel: Option<String>,
    /// Whole channels instead of their heads, where no versions are given.
    pub full: bool,
}

/// What is wanted of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// Every bundle.
    All,
    /// Its head.
    Head,
    /// Bundles of these versions.
    Versions(&'a VersionBounds),
}

impl CatalogFilter {
    /// Whether everything is kept, so that the catalog can stay what it is.
    pub fn keeps_everything(&self) -> bool {
        self.full && self.packages.is_empty()
    }

    /// What is wanted of a channel; nothing when it was not asked for.
    pub(super) fn wanted(&self, package: &str, channel: &str) -> Option<Wanted<'_>> {
        let everything = if self.full { Wanted::All } else { Wanted::Head };
        if self.packages.is_empty() {
            return Some(everything);
        }
        let filter = self.packages.get(package)?;
        let own = match filter.channels.get(channel) {
            None if !filter.channels.is_empty() => return None,
            own => own.filter(|versions| !versions.is_unbounded()),
        };
        let common = Some(&filter.versions).filter(|versions| !versions.is_unbounded());
        Some(match own.or(common) {
            Some(versions) => Wanted::Versions(versions),
            None if filter.full => Wanted::All,
            None => everything,
        })
    }
}

/// In one line: `a full; b stable 1.2.0..1.4.0, alpha`. The same filter has the same text.
impl fmt::Display for CatalogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        if self.packages.is_empty() {
            f.write_str(if self.full {
                "everything"
            } else {
                "heads of all channels"
            })?;
            between = "; ";
        }
        for (name, filter) in &self.packages {
            write!(f, "{between}{}{filter}", name.escape_debug())?;
            between = "; ";
        }
        if self.full && !self.packages.is_empty() {
            write!(f, "{between}whole channels")?;
        }
        if self.dependencies {
            write!(f, "{between}with what they require")?;
        }
        Ok(())
    }
}

impl fmt::Display for PackageFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.full {
            f.write_str(" full")?;
        }
        if !self.versions.is_unbounded() {
            write!(f, " {}", self.versions)?;
        }
        let mut between = " ";
        for (channel, versions) in &self.channels {
            write!(f, "{between}{}", channel.escape_debug())?;
            if !versions.is_unbounded() {
                write!(f, " {versions}")?;
            }
            between = ", ";
        }
        match &self.default_channel {
            Some(channel) => write!(f, " (default channel {})", channel.escape_debug()),
            None => Ok(()),
        }
    }
}
