//! Names of objects, derived from names of images.

use std::collections::BTreeMap;
use std::fmt;

use crate::plan::naming::Placed;

/// Maximum length of a name: a DNS-1035 label, since services get the name too.
const MAX: usize = 63;

/// Length reserved for a number after the name.
const ROOM: usize = 6;

/// The name of an object: lower-case letters, digits and inner hyphens, beginning with a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName(String);

impl ObjectName {
    /// The name that `oc` gives to the objects of a catalog: the source's path without its first
    /// component (docs/oc-compatibility.md, section 4.3), made valid.
    pub fn of(placed: &Placed) -> Self {
        let path = placed.image.source.path.as_str();
        Self::from_text(path.split_once('/').map_or(path, |(_, name)| name))
    }

    /// Converts a text to a valid name.
    pub fn from_text(text: &str) -> Self {
        let mut name = String::new();
        for c in text.chars().map(|c| c.to_ascii_lowercase()) {
            match c {
                'a'..='z' => name.push(c),
                '0'..='9' if name.is_empty() => {
                    name.push_str("catalog-");
                    name.push(c);
                }
                '0'..='9' => name.push(c),
                _ if name.is_empty() || name.ends_with('-') => {}
                _ => name.push('-'),
            }
        }
        name.truncate(MAX - ROOM);
        let name = name.trim_end_matches('-');
        match name.is_empty() {
            true => Self("catalog".to_owned()),
            false => Self(name.to_owned()),
        }
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Appends a suffix, and shortens the name if both together are too long.
    fn with(&self, suffix: &str) -> Self {
        let suffix = Self::from_text(&format!("x{suffix}")).0;
        let suffix: String = suffix.chars().skip(1).take(MAX - ROOM - 2).collect();
        let room = (MAX - ROOM - 1).saturating_sub(suffix.len());
        let kept: String = self.0.chars().take(room).collect();
        Self(format!("{}-{suffix}", kept.trim_end_matches('-')))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns a name for each of several catalogs. Catalogs that would share a name get their tag as a
/// suffix, and if names still collide, a hash of their name on the target.
pub(super) fn unique_names(catalogs: &[Placed]) -> Vec<ObjectName> {
    let mut names: Vec<ObjectName> = catalogs.iter().map(ObjectName::of).collect();
    let with_tag = |placed: &Placed| ObjectName::of(placed).with(placed.tag.as_str());
    let with_hash = |placed: &Placed| ObjectName::of(placed).with(&short_hash(placed));
    for longer in [&with_tag as &dyn Fn(&Placed) -> ObjectName, &with_hash] {
        let mut count: BTreeMap<ObjectName, usize> = BTreeMap::new();
        for name in &names {
            *count.entry(name.clone()).or_default() += 1;
        }
        for (name, placed) in names.iter_mut().zip(catalogs) {
            if count.get(name).is_some_and(|count| *count > 1) {
                *name = longer(placed);
            }
        }
    }
    names
}

/// A short hash of the catalog's name on the target.
fn short_hash(placed: &Placed) -> String {
    let hash = blake3::hash(placed.target().to_string().as_bytes());
    hash.to_hex().chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_whatever_the_index_is_called() {
        for (text, expected) in [
            ("lightspeed", "lightspeed"),
            ("a/b_c.d", "a-b-c-d"),
            ("4-index", "catalog-4-index"),
            ("x--y__z", "x-y-z"),
            ("", "catalog"),
            ("Index", "index"),
        ] {
            assert_eq!(ObjectName::from_text(text).as_str(), expected);
        }
        let long = ObjectName::from_text(&"ab-".repeat(40));
        assert!(long.as_str().len() <= MAX - ROOM && !long.as_str().ends_with('-'));
        let longer = long.with("v4.18");
        assert!(longer.as_str().ends_with("-v4-18"), "{longer}");
        assert!(longer.as_str().len() <= MAX - ROOM, "{longer}");
    }
}
