//! Names of objects, derived from names of images.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::NameStyle;
use crate::model::{Digest, Reference, Repository};
use crate::plan::naming::{self, Placed};

/// Maximum length of a name: a DNS-1035 label, since services get the name too.
const MAX: usize = 63;

/// Length reserved for a prefix or a number at the name.
const ROOM: usize = 6;

/// Number of characters of a tag that oc-mirror takes into a name (docs/oc-compatibility.md,
/// section 5.5).
const OC_MIRROR_TAG: usize = 12;

/// The name of an object: lower-case letters, digits and inner hyphens, beginning with a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName(String);

impl ObjectName {
    /// The name of a catalog's objects. It depends on the catalog's own names alone, so it is the
    /// same in every bundle.
    pub(super) fn of(placed: &Placed, style: NameStyle) -> Self {
        let target = last_component(&placed.repository);
        let tag = placed.tag.as_str();
        match style {
            NameStyle::OcMirror => {
                let tag: String = tag.chars().take(OC_MIRROR_TAG).collect();
                Self::from_text(&format!("{target}-{tag}"))
            }
            NameStyle::Own => {
                let source = &placed.image.source;
                let path = source.path.as_str().replace('/', "-");
                // A name on the target that does not follow from the source was chosen, for example
                // to keep two parts of one catalog apart.
                let stem = match target == path || target == last_component(source) {
                    true => path.as_str(),
                    false => target,
                };
                Self::from_text(&format!("{stem}-{}", short_tag(placed)))
            }
        }
    }

    /// Converts a text to a valid name. A long one is shortened and gets a hash of the whole text.
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
        let name = name.trim_end_matches('-');
        match name.len() {
            0 => Self("catalog".to_owned()),
            length if length > MAX - ROOM => Self(name.to_owned()).with(&short_hash(text)),
            _ => Self(name.to_owned()),
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

/// The error for a text that cannot be the name of a catalog's objects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be the name of a CatalogSource: 1 to {MAX} of a-z, 0-9 and hyphen, beginning with a letter and ending with a letter or digit", .0.escape_debug())]
pub struct ObjectNameError(String);

impl FromStr for ObjectName {
    type Err = ObjectNameError;

    fn from_str(text: &str) -> Result<Self, ObjectNameError> {
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_valid = text.len() <= MAX
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
            && text.chars().all(valid);
        match is_valid {
            true => Ok(Self(text.to_owned())),
            false => Err(ObjectNameError(text.chars().take(80).collect())),
        }
    }
}

/// Appends a hash of each catalog's name on the target to names that several catalogs share.
pub(super) fn tell_apart(names: &mut [(ObjectName, &Reference)]) {
    let mut count: BTreeMap<ObjectName, usize> = BTreeMap::new();
    for (name, _) in names.iter() {
        *count.entry(name.clone()).or_default() += 1;
    }
    for (name, target) in names {
        if count.get(name).is_some_and(|count| *count > 1) {
            *name = name.with(&short_hash(&target.to_string()));
        }
    }
}

/// A short hash of a text, in hexadecimal digits.
pub(super) fn short_hash(text: &str) -> String {
    let hash = blake3::hash(text.as_bytes()).to_hex();
    hash.chars().take(12).collect()
}

fn last_component(repository: &Repository) -> &str {
    let path = repository.path.as_str();
    path.rsplit_once('/').map_or(path, |(_, last)| last)
}

/// The tag on the target; of a tag made from the whole digest, the digest's first digits.
fn short_tag(placed: &Placed) -> String {
    let root: &Digest = &placed.image.root;
    match naming::digest_tag(root) {
        Ok(tag) if tag == placed.tag => root.hex().chars().take(12).collect(),
        _ => placed.tag.to_string(),
    }
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
