//! The images that a catalog names (docs/oc-compatibility.md, section 4.1).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::{Catalog, Place};
use crate::model::{CatalogMember, MalformedImage, NeededBy, Reference, is_deceptive};

/// The bundle or document that names an image, for messages. Bundles sort first. Clones share the
/// strings, because one document may name many images.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum NamedBy {
    /// A bundle.
    Bundle {
        /// Name of the bundle.
        name: Arc<str>,
        /// Package of the bundle; empty for a bundle of a database that is in no channel.
        package: Arc<str>,
    },
    /// Another document.
    Document {
        /// Schema of the document.
        schema: Arc<str>,
        /// Package of the document.
        package: Option<Arc<str>>,
        /// Name of the document.
        name: Option<Arc<str>>,
        /// File and number of the document.
        place: Place,
    },
}

impl fmt::Display for NamedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle { name, .. } => write!(f, "bundle `{}`", name.escape_debug()),
            Self::Document {
                schema,
                name,
                place,
                ..
            } => {
                write!(f, "{}", schema.escape_debug())?;
                if let Some(name) = name {
                    write!(f, " `{}`", name.escape_debug())?;
                }
                write!(f, " ({place})")
            }
        }
    }
}

/// An image that a catalog names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogImage {
    /// The reference as written; names on the target are derived from it.
    pub text: String,
    /// The parsed reference.
    pub reference: Reference,
    /// The first documents that name it, sorted; at least one and at most [`NeededBy::SHOWN`].
    pub named_by: BTreeSet<NamedBy>,
    /// Number of times that the catalog names it.
    pub mentions: usize,
}

/// A text that should be an image and is not a valid reference. Only this image is skipped, as in
/// `oc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadImage {
    /// The text as written.
    pub text: String,
    /// The first documents that name it, sorted; at least one and at most [`NeededBy::SHOWN`].
    pub named_by: BTreeSet<NamedBy>,
    /// The fault, as a clause.
    pub why: String,
}

impl fmt::Display for BadImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_inventory().fmt(f)
    }
}

impl BadImage {
    /// The row for the inventory.
    pub fn to_inventory(&self) -> MalformedImage {
        MalformedImage {
            text: sanitized(&self.text),
            reason: sanitized(&self.why),
            needed_by: needed_by(&self.named_by),
        }
    }
}

/// All images that a catalog names. Empty texts are ignored, as in `oc`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CatalogImages {
    /// Valid references, sorted by text, without duplicates.
    pub images: Vec<CatalogImage>,
    /// Invalid references, sorted.
    pub bad: Vec<BadImage>,
}

impl CatalogImages {
    /// The rows of the valid references for the inventory, sorted.
    pub fn members(&self) -> Vec<CatalogMember> {
        let members = self.images.iter().map(|image| CatalogMember {
            image: image.reference.clone(),
            written: image.text.clone(),
            needed_by: needed_by(&image.named_by),
        });
        let mut members: Vec<CatalogMember> = members.collect();
        members.sort();
        members
    }

    /// The rows of the invalid references for the inventory, sorted, without duplicates.
    pub fn malformed(&self) -> Vec<MalformedImage> {
        let mut rows: Vec<MalformedImage> = self.bad.iter().map(BadImage::to_inventory).collect();
        rows.sort_by(|a, b| a.text.cmp(&b.text));
        rows.dedup_by(|b, a| a.text == b.text);
        rows
    }
}

/// The rows of what needs an image, for the inventory.
fn needed_by(named_by: &BTreeSet<NamedBy>) -> Vec<NeededBy> {
    let needed = named_by.iter().map(|by| match by {
        NamedBy::Bundle { name, package } => NeededBy {
            name: sanitized(name),
            package: Some(sanitized(package)).filter(|_| !package.is_empty()),
        },
        NamedBy::Document {
            schema,
            package,
            name,
            ..
        } => NeededBy {
            name: match name {
                Some(name) => sanitized(&format!("{schema} {name}")),
                None => sanitized(schema),
            },
            package: package.as_deref().map(sanitized),
        },
    });
    let needed: BTreeSet<NeededBy> = needed.collect();
    needed.into_iter().collect()
}

/// Makes an untrusted text acceptable to the inventory: not empty, at most [`MalformedImage::TEXT`]
/// bytes, deceptive characters replaced.
fn sanitized(text: &str) -> String {
    let plain = |c: char| if is_deceptive(c) { '\u{fffd}' } else { c };
    let mut shown = String::new();
    for c in text.chars().map(plain) {
        if shown.len() + c.len_utf8() > MalformedImage::TEXT {
            break;
        }
        shown.push(c);
    }
    if shown.is_empty() {
        shown.push('\u{fffd}');
    }
    shown
}

/// Collects every image, sorted by text, without duplicates.
pub(super) fn collect(catalog: &Catalog) -> CatalogImages {
    let mut texts: BTreeMap<&str, (BTreeSet<NamedBy>, usize)> = BTreeMap::new();
    let mut add = |text, by: NamedBy| {
        let (named_by, mentions) = texts.entry(text).or_default();
        *mentions += 1;
        named_by.insert(by);
        if named_by.len() > NeededBy::SHOWN {
            named_by.pop_last();
        }
    };
    for bundle in &catalog.bundles {
        let by = NamedBy::Bundle {
            name: bundle.name.as_str().into(),
            package: bundle.package.as_str().into(),
        };
        let related = bundle.related_images.iter().map(|related| &related.image);
        for image in bundle.image.iter().chain(related) {
            add(image, by.clone());
        }
    }
    for (by, image) in &catalog.other_images {
        add(image, by.clone());
    }
    let mut found = CatalogImages::default();
    for (text, (named_by, mentions)) in texts {
        let text = text.to_owned();
        match parse(&text) {
            Ok(reference) => found.images.push(CatalogImage {
                text,
                reference,
                named_by,
                mentions,
            }),
            Err(why) => found.bad.push(BadImage {
                text,
                named_by,
                why,
            }),
        }
    }
    found
}

fn parse(text: &str) -> Result<Reference, String> {
    // `oci://HOST/...` is an artifact on a registry; `oci:///...` and `oci:...` are local
    // directories.
    if let Some(artifact) = text.strip_prefix("oci://")
        && names_a_registry(artifact)
    {
        return artifact
            .parse()
            .map_err(|error: crate::model::NameError| error.to_string());
    }
    if text.starts_with("oci:") || text.starts_with("file:") || text.starts_with("s3:") {
        return Err("it names a local file or directory, not an image on a registry".to_owned());
    }
    // Clusters accept no scheme before an image's name.
    if text.contains("://") {
        return Err("an image name must not have a scheme (`x://`)".to_owned());
    }
    text.parse()
        .map_err(|error: crate::model::NameError| error.to_string())
}

/// True if the first component is the name of a registry, not of a directory.
fn names_a_registry(text: &str) -> bool {
    let host = text.split_once('/').map_or("", |(host, _)| host);
    host == "localhost" || host.contains(['.', ':'])
}
