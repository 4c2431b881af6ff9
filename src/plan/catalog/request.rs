//! Request for a part of a catalog.

use std::collections::BTreeMap;
use std::fmt;

use super::VersionBounds;

/// The requested part of a catalog. Without packages: a part of all packages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CatalogFilter {
    /// The requested packages by name; all packages if empty.
    pub packages: BTreeMap<String, PackageFilter>,
    /// True for whole channels instead of their heads, where no versions are given.
    pub full: bool,
    /// True if the requirements of kept bundles are kept too.
    pub dependencies: bool,
}

/// The requested part of a package. Without channels: a part of all channels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackageFilter {
    /// The requested channels by name, each with its versions; all channels if empty.
    pub channels: BTreeMap<String, VersionBounds>,
    /// The requested versions of channels for which none are given.
    pub versions: VersionBounds,
    /// The default channel to set instead of the package's own.
    pub default_channel: Option<String>,
    /// True for whole channels instead of their heads, where no versions are given.
    pub full: bool,
}

/// The requested part of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelSelection<'a> {
    /// All bundles.
    All,
    /// The head of the channel.
    Head,
    /// The bundles of these versions.
    Versions(&'a VersionBounds),
}

impl CatalogFilter {
    /// True if everything is kept, so that the catalog needs no change.
    pub fn keeps_everything(&self) -> bool {
        self.full && self.packages.is_empty()
    }

    /// Returns the requested part of a channel; `None` if the channel was not requested.
    pub(super) fn wanted(&self, package: &str, channel: &str) -> Option<ChannelSelection<'_>> {
        let everything = if self.full {
            ChannelSelection::All
        } else {
            ChannelSelection::Head
        };
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
            Some(versions) => ChannelSelection::Versions(versions),
            None if filter.full => ChannelSelection::All,
            None => everything,
        })
    }
}

/// One line: `a full; b stable 1.2.0..1.4.0, alpha`. Equal filters give equal texts.
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
