//! The images that a catalog names (reference section 4.1).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Catalog, Place};
use crate::model::Reference;

/// Who names an image, for messages. Sorted so that bundles come first. Copies share the texts,
/// because one document may name many images.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum NamedBy {
    /// A bundle, by name.
    Bundle(Arc<str>),
    /// Another document.
    Document {
        /// Its schema.
        schema: Arc<str>,
        /// Its package.
        package: Option<Arc<str>>,
        /// Its name.
        name: Option<Arc<str>>,
        /// Where it stands.
        place: Place,
    },
}

impl fmt::Display for NamedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(name) => write!(f, "bundle `{}`", name.escape_debug()),
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
    /// The reference as written: names on the target are made of it.
    pub text: String,
    /// The reference.
    pub reference: Reference,
    /// The first that names it.
    pub named_by: NamedBy,
    /// How many name it, that one included.
    pub mentions: usize,
}

/// A text where an image should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{named_by} names the image `{}`: {why}", text.chars().take(200).collect::<String>().escape_debug())]
pub struct BadImage {
    /// The text.
    pub text: String,
    /// The first that names it.
    pub named_by: NamedBy,
    /// Why it is none.
    pub why: String,
}

/// Collects every image by text, sorted, each text once.
pub(super) fn collect(catalog: &Catalog) -> Result<Vec<CatalogImage>, Vec<BadImage>> {
    let mut texts: BTreeMap<&str, (NamedBy, usize)> = BTreeMap::new();
    let mut add = |text, by: NamedBy| {
        let known = texts.entry(text).or_insert_with(|| (by.clone(), 0));
        known.1 += 1;
        if by < known.0 {
            known.0 = by;
        }
    };
    for bundle in &catalog.bundles {
        let name: Arc<str> = bundle.name.as_str().into();
        let related = bundle.related_images.iter().map(|related| &related.image);
        for image in bundle.image.iter().chain(related) {
            add(image, NamedBy::Bundle(Arc::clone(&name)));
        }
    }
    for (by, image) in &catalog.other_images {
        add(image, by.clone());
    }
    let mut images = Vec::with_capacity(texts.len());
    let mut bad = Vec::new();
    for (text, (named_by, mentions)) in texts {
        match parse(text) {
            Ok(reference) => images.push(CatalogImage {
                text: text.to_owned(),
                reference,
                named_by,
                mentions,
            }),
            Err(why) => bad.push(BadImage {
                text: text.to_owned(),
                named_by,
                why,
            }),
        }
    }
    if bad.is_empty() { Ok(images) } else { Err(bad) }
}

fn parse(text: &str) -> Result<Reference, String> {
    if text.starts_with("oci:") || text.starts_with("file:") || text.starts_with("s3:") {
        return Err("it is on somebody's disk and not on a registry".to_owned());
    }
    // Clusters know no scheme in front of an image's name.
    if text.contains("://") {
        return Err("a scheme has no place in an image's name".to_owned());
    }
    text.parse()
        .map_err(|error: crate::model::NameError| error.to_string())
}
